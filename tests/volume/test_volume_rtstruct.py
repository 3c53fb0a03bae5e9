"""RTSTRUCT files as labels: names, overlaps, what is missing, and what is not told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rtstruct_maker import write_rtstruct
from volume_make import ramp, write_nifti, write_series

from fve_pipeline.errors import GeometryError, ReadError
from fve_pipeline.volume import Labels, read_image, read_labels
from fve_pipeline.volume.label_file import LabelFile
from fve_pipeline.volume.structures import Structure

HEIGHTS = [2.5 * n for n in range(6)]


@pytest.fixture
def series(tmp_path: Path) -> Path:
    """Slices of 20 × 24, 0.7 mm a row and 0.5 mm a column, from (-20, -30, 0) on."""
    positions = [(-20.0, -30.0, z) for z in HEIGHTS]
    return write_series(tmp_path / "ct", ramp((6, 20, 24)), positions)


def block(rows: tuple[float, float], columns: tuple[float, float], slices: range) -> list[np.ndarray]:
    """A rectangle a slice, in pixels of the series."""
    (top, bottom), (left, right) = rows, columns
    corners = np.array([[top, left], [top, right], [bottom, right], [bottom, left]])
    return [
        np.stack([-20 + 0.5 * corners[:, 1], -30 + 0.7 * corners[:, 0], np.full(4, HEIGHTS[n])], axis=1)
        for n in slices
    ]


LUNG, TUMOUR = block((2.5, 12.5), (3.5, 15.5), range(1, 5)), block((5.5, 8.5), (6.5, 9.5), range(2, 4))


def labels_of(series: Path, path: Path, *wanted: Structure, **options: Any) -> Labels:
    return read_labels([LabelFile(path.name, structures=wanted)], path.parent, read_image(series), **options)


def test_structures_become_classes_by_name_alias_and_pattern(series: Path, tmp_path: Path) -> None:
    other = block((14.5, 17.5), (3.5, 6.5), range(2, 3))
    path = write_rtstruct(
        tmp_path / "rs.dcm", {"LUNG_Left": LUNG, "GTV-1": TUMOUR, "gtv-2": other, "body": LUNG}
    )
    wanted = (Structure(1, ("left lung", "lung left")), Structure(2, (), r"(?i)gtv-\d"))
    labels = labels_of(series, path, *wanted, overlaps=True)
    assert (labels.where(1).sum(), labels.where(2).sum()) == (4 * 10 * 12, 2 * 9 + 9)
    assert labels.where(1)[2, 6, 7]
    assert labels.where(2)[2, 6, 7]
    assert (labels.resampled, labels.notes) == (False, ())
    [shared] = labels.sets
    assert labels.sets[shared] == (1, 2)
    assert (labels.array == shared).sum() == 2 * 9


def test_as_scikit_image_fills_the_same_contours(series: Path, tmp_path: Path) -> None:
    draw = pytest.importorskip("skimage.draw", reason="polygons are compared with scikit-image's")
    rng = np.random.default_rng(3)
    angles = np.linspace(0, 2 * np.pi, 23, endpoint=False)
    contours, expected = [], np.zeros((6, 20, 24), bool)
    for n in range(1, 5):
        pixels = np.stack([9.5 + 7 * np.sin(angles), 11.5 + 8 * np.cos(angles)], 1) + rng.normal(
            0, 0.5, (23, 2)
        )
        points = np.stack(
            [-20 + 0.5 * pixels[:, 1], -30 + 0.7 * pixels[:, 0], np.full(23, HEIGHTS[n])], axis=1
        )
        contours.append(points)
        expected[n] = draw.polygon2mask((20, 24), (np.round(points, 3)[:, [1, 0]] + (30, 20)) / (0.7, 0.5))
    path = write_rtstruct(tmp_path / "rs.dcm", {"heart": contours})
    labels = labels_of(series, path, Structure(4, ("heart",)))
    np.testing.assert_array_equal(labels.array, expected * 4)


def refused(series: Path, path: Path, *wanted: Structure) -> str:
    with pytest.raises(ReadError) as caught:
        labels_of(series, path, *wanted)
    assert "Doe" not in str(caught.value)
    return str(caught.value)


def test_what_is_missing_or_empty_is_named(series: Path, tmp_path: Path) -> None:
    between = [np.add(points, (0.1, 0.1, 0)) for points in block((3.1, 3.3), (3.1, 3.3), range(1, 3))]
    path = write_rtstruct(tmp_path / "rs.dcm", {"Doe^Jane lung": LUNG, "heart": [], "lens": between})
    assert refused(series, path, Structure(1, ("lung",))) == (
        "rs.dcm: no structure is called 'lung'; there are 3; expected one for each class of the catalog. See what they "
        "are called with fve catalogs structures, and name them in the class's structures; or set sparse where cases "
        "may lack some."
    )
    assert "structure 'heart' has 0 contours and encloses no voxel" in refused(
        series, path, Structure(1, ("heart",))
    )
    assert "structure 'lens' has 2 contours and encloses no voxel" in refused(
        series, path, Structure(1, ("lens",))
    )
    sparse = [Structure(n, (name,), optional=True) for n, name in enumerate(("heart", "lens", "lung"), 1)]
    labels = labels_of(series, path, *sparse)
    assert not labels.array.any()
    assert labels.notes == (
        "rs.dcm: no structure for 'lung', which the case may lack",
        "rs.dcm: structure 'heart' has 0 contours and encloses no voxel",
        "rs.dcm: structure 'lens' has 2 contours and encloses no voxel",
    )


def test_other_places_images_and_objects_are_refused(series: Path, tmp_path: Path) -> None:
    far = [np.add(points, (900, 0, 0)) for points in LUNG]
    path = write_rtstruct(tmp_path / "rs.dcm", {"lung": far})
    assert "lies at 882..888, -28..-21, 2..10, outside the image at -20..-8, -30..-17, 0..12" in refused(
        series, path, Structure(1, ("lung",))
    )
    path.write_bytes(write_rtstruct(tmp_path / "b.dcm", {"lung": LUNG}).read_bytes()[:-100])
    assert "damaged or incomplete" in refused(series, path, Structure(1, ("lung",)))
    turned = [points[:, [2, 1, 0]] if n else points for n, points in enumerate(LUNG)]
    write_rtstruct(path, {"lung": turned})
    assert "do not lie in parallel planes" in refused(series, path, Structure(1, ("lung",)))
    np.savez(tmp_path / "a.npz", imgs=ramp((6, 20, 24)), spacing=np.array([1.0, 1.0, 1.0]))
    with pytest.raises(GeometryError, match="does not say where it lies"):
        read_labels(
            [LabelFile("rs.dcm", structures=(Structure(1, ("lung",)),))],
            tmp_path,
            read_image(tmp_path / "a.npz"),
        )


def test_points_and_lines_are_passed_over(series: Path, tmp_path: Path) -> None:
    path = write_rtstruct(tmp_path / "rs.dcm", {"lung": LUNG, "Lung": LUNG}, kind={"Lung": "OPEN_PLANAR"})
    labels = labels_of(series, path, Structure(1, ("lung",)))
    assert labels.array.sum() == 4 * 120
    assert labels.notes == ("rs.dcm: structure 'lung': 4 points and open lines were passed over",)


def test_an_image_in_any_format_takes_the_contours(series: Path, tmp_path: Path) -> None:
    """NIfTI made from the series: another order of axes, the same places."""
    volume = read_image(series)
    ras = np.diag([-1, -1, 1, 1]) @ volume.affine[:, [2, 1, 0, 3]]
    write_nifti(tmp_path / "ct.nii.gz", volume.array, ras)
    path = write_rtstruct(tmp_path / "rs.dcm", {"lung": LUNG})
    other = read_labels(
        [LabelFile("rs.dcm", structures=(Structure(1, ("lung",)),))],
        tmp_path,
        read_image(tmp_path / "ct.nii.gz"),
    )
    np.testing.assert_array_equal(other.array, labels_of(series, path, Structure(1, ("lung",))).array)


@pytest.mark.parametrize(
    ("referred", "said"),
    [
        ({"series": "1.2.3.4", "frame": "9.9"}, None),  # the image's series
        ({"series": "9.9.9", "frame": "1.2.3"}, None),  # the CT of a PET/CT
        (
            {"series": "9.9.9", "frame": "9.9"},
            "another series and another frame of reference than the image's",
        ),
    ],
)
def test_contours_drawn_on_another_image_are_refused(
    tmp_path: Path, referred: dict[str, str], said: str | None
) -> None:
    ct = write_series(
        tmp_path / "ct", ramp((6, 20, 24)), [(-20.0, -30.0, z) for z in HEIGHTS], FrameOfReferenceUID="1.2.3"
    )
    path = write_rtstruct(tmp_path / "rs.dcm", {"lung": LUNG}, **referred)
    if said is None:
        assert labels_of(ct, path, Structure(1, ("lung",))).array.any()
        return
    with pytest.raises(GeometryError, match=said) as caught:
        labels_of(ct, path, Structure(1, ("lung",)))
    assert "9.9" not in str(caught.value)
    # A copy as NIfTI does not say what it was.
    write_nifti(tmp_path / "ct.nii.gz", ramp((6, 20, 24)), np.diag([-0.5, -0.7, 2.5, 1.0]) + _corner())
    assert labels_of(tmp_path / "ct.nii.gz", path, Structure(1, ("lung",))).array.any()


def _corner() -> np.ndarray:
    moved = np.zeros((4, 4))
    moved[:3, 3] = (20.0, 30.0, 0.0)
    return moved
