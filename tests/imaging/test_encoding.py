"""The encoding's properties: what decodes, which voxels it holds, and Theorem 1 of the paper."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
import zlib
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import fve_pipeline
from fve_pipeline.errors import BuildError
from fve_pipeline.imaging.encoding import KernelInputError, context_depth, decode, encode
from fve_pipeline.runtime.device import choose_device


def test_context_depth_is_the_papers() -> None:
    assert [context_depth(order) for order in range(7)] == [0, 1, 4, 7, 10, 13, 16]
    for order in (-1, 1.0, True, "2", None):
        with pytest.raises(KernelInputError, match="expected a whole number"):
            context_depth(order)  # type: ignore[arg-type]


def level_of(distance: int, order: int) -> int:
    """How often the slice at this distance is halved."""
    return min((distance + 2) // 3, order - 1)


@pytest.mark.parametrize("order", range(1, 7))
def test_share_of_voxels_by_distance(order: int) -> None:
    """Fig. 17: a slice of level j takes 4^−j of its channel; near slices keep their share at every order."""
    depth = context_depth(order)
    side = 2 ** (order - 1)  # one super pixel
    volume = np.broadcast_to(
        np.arange(2 * depth + 1, dtype=np.uint8)[:, None, None], (2 * depth + 1, side, side)
    )
    image = encode(volume, order, focal=[depth])[0]
    assert (image[..., 0] == depth).all()
    for channel, sign in ((1, -1), (2, 1)):
        counts = np.bincount(image[..., channel].ravel(), minlength=volume.shape[0])
        assert counts.sum() == side * side
        for distance in range(1, depth + 1):
            share = Fraction(int(counts[depth + sign * distance]), side * side)
            assert share == Fraction(1, 4 ** level_of(distance, order))


def kernel_of(weights: NDArray[np.float64], order: int, downsample: str) -> NDArray[np.float64]:
    """The 3D convolution kernel (M, 2N + 1, p, p) that a patch embedding (M, p, p, 3) amounts to.

    Worked out from where the paper puts the slices: those of level j lie at rows and columns
    2^(j−1) − 1 + 2^j·a, shifted by 2^(j−1) along the columns for the second and the rows for the third.
    """
    outputs, patch = weights.shape[:2]
    depth = context_depth(order)
    kernel = np.zeros((outputs, 2 * depth + 1, patch, patch))
    kernel[:, depth] = weights[..., 0]
    for channel, sign in ((1, -1), (2, 1)):
        for distance in range(1, depth + 1):
            level = level_of(distance, order)
            size = 2**level
            place = (distance - 1) % 3 if distance < depth else 3
            first, shift = (0, 0) if order == 1 else (size // 2 - 1, size // 2)
            top = first + shift * (place in (2, 3))
            left = first + shift * (place in (1, 3))
            for row in range(patch // size):
                for column in range(patch // size):
                    weight = weights[:, top + size * row, left + size * column, channel]
                    block = kernel[:, depth + sign * distance, size * row :, size * column :]
                    if downsample == "stride":
                        block[:, 0, 0] = weight
                    else:
                        block[:, :size, :size] = weight[:, None, None] / size**2
    return kernel


@pytest.mark.parametrize("order", range(1, 6))
@pytest.mark.parametrize("downsample", ["mean", "stride"])
def test_theorem_1(order: int, downsample: str) -> None:
    """A patch embedding of the encoded image is an adaptive-resolution 3D convolution of the volume.

    Exactly so where each encoded value is one voxel (``stride``). Under ``mean`` the values are rounded to
    whole grey levels, by half a level at most each time a slice is halved.
    """
    rng = np.random.default_rng(order)
    patch, outputs, depth = 2 ** (order - 1), 5, context_depth(order)
    side = 3 * patch
    volume = rng.integers(0, 256, (2 * depth + 1, side, side), np.uint8)
    weights = rng.standard_normal((outputs, patch, patch, 3))

    image = encode(volume, order, "repeat", downsample, focal=[depth])[0].astype(np.float64)
    patches = image.reshape(3, patch, 3, patch, 3)
    embedded = np.einsum("iujvc,muvc->mij", patches, weights)

    blocks = volume.astype(np.float64).reshape(2 * depth + 1, 3, patch, 3, patch)
    convolved = np.einsum("diujv,mduv->mij", blocks, kernel_of(weights, order, downsample))

    rounding = 0.0
    if downsample == "mean":
        rounding = 0.5 * (order - 1) * float(np.abs(weights[..., 1:]).sum(axis=(1, 2, 3)).max())
    np.testing.assert_allclose(embedded, convolved, rtol=0, atol=rounding + 1e-9)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 4),
    st.sampled_from(["repeat", "mirror"]),
    st.sampled_from(["mean", "stride"]),
    st.integers(1, 15),
    st.integers(1, 3),
    st.integers(1, 3),
    st.data(),
)
def test_slabs_decode_and_agree(
    order: int, boundary: str, downsample: str, depth: int, rows: int, columns: int, data: st.DataObject
) -> None:
    block = 2 ** max(order - 1, 0)
    rng = np.random.default_rng(data.draw(st.integers(0, 9)))
    volume = rng.integers(0, 256, (depth, rows * block, columns * block), np.uint8)
    first = data.draw(st.integers(0, depth - 1))
    last = data.draw(st.integers(first, depth - 1))
    context = context_depth(order)
    low, high = max(0, first - context), min(depth, last + 1 + context)
    whole = encode(volume, order, boundary, downsample)
    slab = encode(volume[low:high], order, boundary, downsample, focal=range(first - low, last + 1 - low))
    np.testing.assert_array_equal(slab, whole[first : last + 1])
    decoded = decode(whole[first], order)
    np.testing.assert_array_equal(decoded.focal, volume[first])
    assert len(decoded.before) == len(decoded.after) == context
    if order == 1 and first > 0:
        np.testing.assert_array_equal(decoded.before[0], volume[first - 1])


def test_order_0_is_the_focal_slice_three_times() -> None:
    volume = np.arange(2 * 3 * 5, dtype=np.uint8).reshape(2, 3, 5)
    encoded = encode(volume, 0)
    for channel in range(3):
        np.testing.assert_array_equal(encoded[..., channel], volume)
    assert decode(encoded[0], 0).before == []


def test_boundaries_of_order_1() -> None:
    """repeat: the focal slice where a side is empty; mirror: slices 0, 1, 1 at the first, as released."""
    volume = np.arange(4, dtype=np.uint8).reshape(4, 1, 1)
    assert encode(volume)[:, 0, 0].tolist() == [[0, 0, 1], [1, 0, 2], [2, 1, 3], [3, 2, 3]]
    assert encode(volume, 1, "mirror")[:, 0, 0].tolist() == [[0, 1, 1], [1, 0, 2], [2, 1, 3], [3, 2, 2]]
    assert encode(volume[:1], 1, "mirror")[:, 0, 0].tolist() == [[0, 0, 0]]


def test_the_released_models_channels(golden: Path) -> None:
    volume, _ = runpy.run_path(str(golden / "fill_rule.py"))["volume"]()
    expected = np.load(golden / "tiny_forward.npz")["rgb_channel_slice_sums"]
    sums = encode(volume, 1, "mirror").astype(np.int64).sum(axis=(1, 2))
    np.testing.assert_array_equal(sums, expected)


def formula_volume() -> NDArray[np.uint8]:
    """(24, 64, 96) uint8 that anyone can make: whole numbers only."""
    z, y, x = np.meshgrid(np.arange(24), np.arange(64), np.arange(96), indexing="ij")
    return ((37 * z + 3 * y * y + 5 * x * z + 11 * x) % 251).astype(np.uint8)


# crc32 of the encoded formula volume: stores built by any version hold these bytes. A change here is a change
# of the encoding and needs a new ENCODE_VERSION.
GOLDEN = {
    (0, "repeat", "mean"): 0xE83D26BC,
    (1, "repeat", "mean"): 0x1CD87C9C,
    (1, "mirror", "mean"): 0x5A40834A,
    (2, "repeat", "mean"): 0xA96E6E8C,
    (2, "repeat", "stride"): 0x9975B326,
    (2, "mirror", "mean"): 0x33427E1F,
    (2, "mirror", "stride"): 0x294521DF,
    (3, "repeat", "mean"): 0xA912B859,
    (3, "repeat", "stride"): 0xEBE492FC,
    (3, "mirror", "mean"): 0xF148ADE6,
    (3, "mirror", "stride"): 0x8A77BD7F,
    (4, "repeat", "mean"): 0xF242F717,
    (4, "repeat", "stride"): 0x09FC20D0,
    (4, "mirror", "mean"): 0xB372644B,
    (4, "mirror", "stride"): 0x6861EAC7,
    (5, "repeat", "mean"): 0x83E44EC9,
    (5, "repeat", "stride"): 0xFBE17EA2,
    (5, "mirror", "mean"): 0x3C644252,
    (5, "mirror", "stride"): 0xF83E640E,
    (6, "repeat", "mean"): 0x14432603,
    (6, "repeat", "stride"): 0xAC9270CC,
    (6, "mirror", "mean"): 0x0B21EEA1,
    (6, "mirror", "stride"): 0x2AB61E43,
}


@pytest.mark.parametrize(("settings_", "expected"), GOLDEN.items(), ids=str)
def test_bytes_that_never_change(settings_: tuple[int, str, str], expected: int) -> None:
    assert zlib.crc32(encode(formula_volume(), *settings_)) == expected


@pytest.mark.parametrize(
    ("shape", "order"), [((8, 8), 1), ((8, 8, 4), 1), ((12, 8, 3), 4), ((8, 9, 3), 2), ((1, 8, 8, 3), 1)]
)
def test_images_that_were_not_encoded_are_refused(shape: tuple[int, ...], order: int) -> None:
    with pytest.raises(KernelInputError, match=r"expected \(H, W, 3\) with H and W divisible by"):
        decode(np.zeros(shape, np.uint8), order)


def test_the_example_of_the_documentation() -> None:
    text = (Path(__file__).parents[2] / "docs" / "fve.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(compile(example, "docs/fve.md", "exec"), {})


def test_the_package_loads_its_names_late() -> None:
    script = (
        "import sys, fve_pipeline; assert not {'numpy', 'numba', 'torch'} & set(sys.modules); "
        "from fve_pipeline import encode, decode, context_depth; assert 'numba' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    assert {"encode", "decode", "context_depth"} <= set(dir(fve_pipeline))
    with pytest.raises(AttributeError, match="no attribute 'recode'"):
        _ = fve_pipeline.recode


def test_a_gpu_that_is_not_there_is_said() -> None:
    if choose_device("auto") == "cuda":
        pytest.skip("there is a GPU, or a simulator of one")
    with pytest.raises(BuildError, match="no GPU can be used"):
        encode(np.zeros((3, 8, 8), np.uint8), device="cuda")
