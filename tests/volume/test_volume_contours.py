"""Contours to voxels: analytic phantoms, holes, gaps, askew planes, and an implementation that is not ours."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rtstruct_maker import grid, turned

from fve_pipeline.volume.contours import NotParallelError, fill_polygons, fill_structure

Distance = Callable[[np.ndarray], np.ndarray]
Rings = Callable[[float], list[np.ndarray]]

SPACINGS = [(1.0, 1.0, 1.0), (3.0, 1.0, 1.0), (2.0, 0.8, 0.7)]
TURNS = [None, (12.0, -20.0, 35.0)]
AROUND = np.linspace(0, 2 * np.pi, 180, endpoint=False)
CIRCLE = np.stack([np.cos(AROUND), np.sin(AROUND)], axis=1)


def sphere(radius: float) -> tuple[Distance, Rings, float]:
    def distance(p: np.ndarray) -> np.ndarray:
        return np.linalg.norm(p, axis=-1) - radius

    def rings(w: float) -> list[np.ndarray]:
        return [CIRCLE * np.sqrt(radius**2 - w**2)] if abs(w) < radius else []

    return distance, rings, 4 / 3 * np.pi * radius**3


def torus(large: float, small: float) -> tuple[Distance, Rings, float]:
    """About the axis across the planes: two rings a plane, the inner one a hole."""

    def distance(p: np.ndarray) -> np.ndarray:
        return np.hypot(np.hypot(p[..., 0], p[..., 1]) - large, p[..., 2]) - small

    def rings(w: float) -> list[np.ndarray]:
        half = np.sqrt(small**2 - w**2) if abs(w) < small else 0
        return [CIRCLE * (large + half), CIRCLE * (large - half)] if half else []

    return distance, rings, 2 * np.pi**2 * large * small**2


def box(u: float, v: float, w: float) -> tuple[Distance, Rings, float]:
    half = np.array([u, v, w])

    def distance(p: np.ndarray) -> np.ndarray:
        return (np.abs(p) - half).max(axis=-1)

    def rings(at: float) -> list[np.ndarray]:
        return [np.array([[u, v], [-u, v], [-u, -v], [u, -v]])] if abs(at) < w else []

    return distance, rings, 8 * u * v * w


SHAPES = {"sphere": sphere(24.3), "torus": torus(20.5, 12.2)}


def drawn(rings: Rings, centre: np.ndarray, axes: np.ndarray, first: float, step: float) -> list[np.ndarray]:
    """Contours in planes across ``axes[:, 2]``, at ``first`` + n ``step`` mm along it."""
    along = centre @ axes[:, 2]
    places = first + step * np.arange(np.floor((along - 40 - first) / step), (along + 40 - first) / step)
    return [
        np.round(centre + ring @ axes[:, :2].T + (place - along) * axes[:, 2], 3)
        for place in places
        for ring in rings(place - along)
    ]


def checked(
    mask: np.ndarray,
    affine: np.ndarray,
    axes: np.ndarray,
    centre: np.ndarray,
    distance: Distance,
    volume: float,
) -> None:
    """Every voxel whose centre is further than half a voxel from the surface is right; the volume is, to 1 %."""
    voxels = np.indices(mask.shape).reshape(3, -1).T @ affine[:3, :3].T + affine[:3, 3]
    far = distance((voxels - centre) @ axes)
    wrong = mask.ravel() != (far < 0)
    half = np.sqrt((affine[:3, :3] ** 2).sum(axis=0)).max() / 2
    assert np.abs(far[wrong]).max(initial=0) <= half
    assert mask.sum() * abs(np.linalg.det(affine[:3, :3])) == pytest.approx(volume, rel=0.01)


@pytest.mark.parametrize("turn", TURNS, ids=["straight", "oblique"])
@pytest.mark.parametrize("spacing", SPACINGS, ids=str)
@pytest.mark.parametrize("name", [*SHAPES, "box"])
def test_phantoms(name: str, spacing: tuple[float, float, float], turn: tuple[float, ...] | None) -> None:
    # Of whole voxels: a box along the grid has no other volumes there.
    distance, rings, volume = (
        SHAPES[name] if name in SHAPES else box(*(round(17 / s) * s for s in reversed(spacing)))
    )
    shape = tuple(int(70 / s) for s in spacing)
    rotation = np.eye(3) if turn is None else turned(*turn)
    affine = grid(spacing, rotation)
    centre = affine[:3, :3] @ (np.array(shape) / 2 - 0.31) + affine[:3, 3]
    contours = drawn(rings, centre, rotation, float(affine[:3, 3] @ rotation[:, 2]), spacing[0])
    mask, notes = fill_structure(contours, affine, shape)
    assert notes == []
    checked(mask, affine, rotation, centre, distance, volume)


@pytest.mark.parametrize("axis", [1, 2], ids=["coronal", "sagittal"])
def test_stacks_across_other_axes(axis: int) -> None:
    distance, rings, volume = SHAPES["torus"]
    shape = (35, 70, 75)
    affine = grid((2.0, 1.0, 1.0))
    centre = affine[:3, :3] @ (np.array(shape) / 2 - 0.31) + affine[:3, 3]
    axes = np.eye(3)[:, [2, 0, 1] if axis == 1 else [1, 2, 0]]
    contours = drawn(rings, centre, axes, float(affine[:3, 3] @ axes[:, 2]), 1.0)
    mask, _ = fill_structure(contours, affine, shape)
    checked(mask, affine, axes, centre, distance, volume)


@pytest.mark.parametrize("name", ["sphere", "torus"])
def test_contours_between_slices(name: str) -> None:
    """Drawn 1.7 mm apart and off the image's slices of 1 mm: what lies between is made from both neighbours."""
    distance, rings, volume = SHAPES[name]
    shape = (70, 70, 75)
    affine = grid((1.0, 1.0, 1.0))
    centre = affine[:3, :3] @ (np.array(shape) / 2 - 0.31) + affine[:3, 3]
    contours = drawn(rings, centre, np.eye(3), float(affine[2, 3]) + 0.37, 1.7)
    mask, _ = fill_structure(contours, affine, shape)
    voxels = np.indices(shape).reshape(3, -1).T @ affine[:3, :3].T + affine[:3, 3]
    far = distance(voxels - centre)
    wrong = mask.ravel() != (far < 0)
    assert np.abs(far[wrong]).max() <= 0.85  # half of what contours are apart: at the poles nothing is known
    assert (np.abs(far[wrong]) > 0.5).sum() < 0.01 * mask.sum()
    assert mask.sum() == pytest.approx(volume, rel=0.01)


def test_contours_askew_to_the_image() -> None:
    distance, rings, volume = SHAPES["sphere"]
    shape = (35, 70, 75)
    affine = grid((2.0, 1.0, 1.0))
    axes = turned(25, 10, -30)
    centre = affine[:3, :3] @ (np.array(shape) / 2 - 0.31) + affine[:3, 3]
    mask, [note] = fill_structure(drawn(rings, centre, axes, 0.4, 1.0), affine, shape)
    assert "askew" in note
    checked(mask, affine, axes, centre, distance, volume)


def square(z: float, low: float, high: float) -> np.ndarray:
    """In (x, y, z) mm, on a grid of 1 mm at the origin."""
    return np.array([[low, low, z], [high, low, z], [high, high, z], [low, high, z]])


UNIT = np.array([[0, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]], float)


def test_holes_islands_and_keyholes() -> None:
    ring = [square(2, 0.5, 10.5), square(2, 2.5, 8.5), square(2, 4.5, 6.5)]
    mask, _ = fill_structure(ring, UNIT, (5, 12, 12))
    assert mask[2].sum() == 100 - 36 + 4
    assert mask[2, 5, 5]
    assert not mask[2, 3, 3]
    # One line: out along the outer square, in through a channel of no width, round the hole, and back.
    outer, hole = square(2, 0.5, 10.5), square(2, 2.5, 8.5)[::-1]
    keyhole = np.concatenate([outer, outer[:1], hole, hole[:1]])
    mask, _ = fill_structure([keyhole], UNIT, (5, 12, 12))
    assert mask[2].sum() == 100 - 36
    apart = [square(2, 0.5, 3.5), square(2, 6.5, 9.5)]
    assert fill_structure(apart, UNIT, (5, 12, 12))[0][2].sum() == 18


def test_a_gap_is_left_empty_and_said() -> None:
    contours = [square(z, 0.5, 4.5) for z in (0, 1, 2, 7, 8)]
    mask, [note] = fill_structure(contours, UNIT, (12, 6, 6))
    assert mask.any(axis=(1, 2)).tolist() == [True] * 3 + [False] * 4 + [True] * 2 + [False] * 3
    assert note == "1 gaps between contours (5.00 mm, usually 1.00) were left empty"
    every_third = [square(z, 0.5, 4.5) for z in (0, 3, 6)]
    mask, notes = fill_structure(every_third, UNIT, (12, 6, 6))
    assert (mask.sum(axis=(1, 2)) > 0).sum() == 8  # to half of three slices beyond the last; 0 is the first
    assert notes == []


def test_contours_half_way_between_slices_fill_as_many_slices() -> None:
    mask, _ = fill_structure([square(z + 0.5, 0.5, 4.5) for z in range(2, 6)], UNIT, (12, 6, 6))
    assert mask.sum() == 4 * 16


def test_what_is_outside_is_said() -> None:
    mask, [note] = fill_structure([square(z, -3, 2.5) for z in (-2, -1, 0, 1)], UNIT, (4, 6, 6))
    assert mask.sum() == 2 * 9
    assert note == "2 of 4 planes of contours lie outside of the image"


def test_planes_that_are_not_parallel_are_refused() -> None:
    one = square(2, 0.5, 9.5)
    other = one @ turned(40, 0, 0).T
    with pytest.raises(NotParallelError, match="parallel planes"):
        fill_structure([one, other], UNIT, (12, 12, 12))


@given(st.integers(0, 2**32 - 1))
def test_polygons_as_scikit_image_fills_them(seed: int) -> None:
    draw = pytest.importorskip("skimage.draw", reason="polygons are compared with scikit-image's")
    """Stars with corners off the pixels' centres, where no rule for edges can differ."""
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 30)))
    radii = rng.uniform(2, 14, len(angles))
    points = np.stack([15 + radii * np.sin(angles), 16 + radii * np.cos(angles)], axis=1) + 1e-3
    assert np.array_equal(fill_polygons([points], (31, 33)), draw.polygon2mask((31, 33), points))


@given(st.integers(0, 2**32 - 1))
def test_shapes_that_touch_share_no_pixel_and_leave_none(seed: int) -> None:
    """A rectangle cut along a line through pixel centres: its halves make the whole."""
    cut = np.random.default_rng(seed).integers(0, 11, 4)
    left = np.array([[0, 0], [0, cut[0]], [10, cut[1]], [10, 0]], float)
    right = np.array([[0, cut[0]], [0, 10], [10, 10], [10, cut[1]]], float)
    one, other = (fill_polygons([half], (12, 12)) for half in (left, right))
    assert not (one & other).any()
    whole = fill_polygons([np.array([[0, 0], [0, 10], [10, 10], [10, 0]], float)], (12, 12))
    assert np.array_equal(one | other, whole)
