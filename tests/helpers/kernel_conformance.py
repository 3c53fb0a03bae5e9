"""What every encoding kernel must do: one abstract class, and a subclass a kernel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fve_kernels import reference
from fve_kernels.geometry import KernelInputError, context_depth
from fve_pipeline.imaging.encoding import decode

Array = NDArray[np.uint8]


def random_volume(depth: int, height: int, width: int, seed: int = 0) -> Array:
    return np.random.default_rng([seed, depth, height, width]).integers(
        0, 256, (depth, height, width), np.uint8
    )


def halved(image: Array, level: int, downsample: str) -> Array:
    """The slice as its level holds it, worked out here and not by the code under test."""
    for _ in range(level):
        if downsample == "stride":
            image = image[::2, ::2]
        else:
            h, w = image.shape
            total = image.reshape(h // 2, 2, w // 2, 2).astype(np.int64).sum(axis=(1, 3))
            image = ((total + 2) // 4).astype(np.uint8)
    return image


class EncodingConformance:
    """Subclass it and say how the kernel encodes; ``sides`` and ``depths`` may be cut for slow machines."""

    orders = range(7)
    depths: tuple[int, ...] = (1, 2, 3, 5, 8, 19, 40)
    sides: tuple[int, ...] = (64, 192)
    large: int = 1024

    def side(self, order: int) -> int:
        """How large slices are where any size would do."""
        return max(64, 2 ** (order - 1))

    def further(self, block: int) -> tuple[tuple[int, int], ...]:
        """Sizes to try besides the smallest that an order allows."""
        return ((2 * block, 3 * block),)

    def encode(self, volume: Any, *args: Any, **kwargs: Any) -> Array:
        raise NotImplementedError

    @pytest.mark.parametrize("order", range(7))
    @pytest.mark.parametrize("boundary", ["repeat", "mirror"])
    @pytest.mark.parametrize("downsample", ["mean", "stride"])
    def test_equals_the_reference(self, order: int, boundary: str, downsample: str) -> None:
        block = 1 << max(order - 1, 0)
        for depth in self.depths:
            for height, width in ((block, block), *self.further(block)):
                volume = random_volume(depth, height, width)
                expected = reference.encode(volume, order, boundary, downsample)
                result = self.encode(volume, order, boundary, downsample)
                assert result.dtype == np.uint8
                np.testing.assert_array_equal(result, expected, err_msg=f"{depth}×{height}×{width}")

    @pytest.mark.parametrize("order", range(7))
    def test_larger_slices_equal_the_reference(self, order: int) -> None:
        depth = min(5, max(self.depths))
        for side in (side for side in self.sides if side >= 2**order):
            volume = random_volume(depth, side, side // 2)
            expected = reference.encode(volume, order, focal=[depth // 2])
            np.testing.assert_array_equal(self.encode(volume, order, focal=[depth // 2]), expected)

    def test_a_slice_of_the_largest_size(self) -> None:
        volume = random_volume(3, self.large, self.large)
        for order in self.orders:
            expected = reference.encode(volume, order, focal=[1])
            np.testing.assert_array_equal(self.encode(volume, order, focal=[1]), expected)

    @pytest.mark.parametrize("order", range(7))
    @pytest.mark.parametrize("downsample", ["mean", "stride"])
    def test_decoding_gives_every_slice_back(self, order: int, downsample: str) -> None:
        depth, focus = max(self.depths), max(self.depths) // 2
        volume = random_volume(depth, self.side(order), self.side(order))
        image = self.encode(volume, order, "mirror", downsample, focal=[focus])[0]
        decoded = decode(image, order)
        np.testing.assert_array_equal(decoded.focal, volume[focus])
        around = np.pad(np.arange(depth), context_depth(order), mode="reflect")
        for sign, context in ((-1, decoded.before), (1, decoded.after)):
            assert len(context) == context_depth(order)
            for distance, part in enumerate(context, start=1):
                source = volume[around[context_depth(order) + focus + sign * distance]]
                level = min((distance + 2) // 3, order - 1)
                np.testing.assert_array_equal(part, halved(source, level, downsample))

    @pytest.mark.parametrize("boundary", ["repeat", "mirror"])
    @pytest.mark.parametrize("order", range(7))
    def test_chosen_slices_equal_the_rows_of_the_whole(self, order: int, boundary: str) -> None:
        depth, side = max(self.depths), self.side(order)
        volume = random_volume(depth, side, 2 * side)
        whole = self.encode(volume, order, boundary)
        for index in range(depth):
            np.testing.assert_array_equal(
                self.encode(volume, order, boundary, focal=[index])[0], whole[index]
            )
        chosen = [depth - 1, 0, depth // 2, 0]
        np.testing.assert_array_equal(self.encode(volume, order, boundary, focal=chosen), whole[chosen])
        assert self.encode(volume, order, boundary, focal=[]).shape == (0, side, 2 * side, 3)

    @pytest.mark.parametrize("boundary", ["repeat", "mirror"])
    @pytest.mark.parametrize("order", range(7))
    def test_a_slab_with_its_context_equals_the_rows_of_the_whole(self, order: int, boundary: str) -> None:
        depth, context = max(self.depths), context_depth(order)
        volume = random_volume(depth, self.side(order), self.side(order))
        whole = self.encode(volume, order, boundary)
        step = max(1, depth // 6)
        for first in range(0, depth, step):
            rows = range(first, min(first + step, depth))
            low, high = max(first - context, 0), min(rows[-1] + context + 1, depth)
            part = self.encode(volume[low:high], order, boundary, focal=[row - low for row in rows])
            np.testing.assert_array_equal(part, whole[list(rows)])

    @pytest.mark.parametrize("order", [0, 1, 3])
    def test_strided_and_read_only_input(self, order: int) -> None:
        depth = min(5, max(self.depths))
        block = random_volume(24, 2 * depth, 20)
        views = {
            "sliced axis last": block.transpose(1, 2, 0),
            "every second slice": block.transpose(1, 0, 2)[::2],
            "flipped": block.transpose(1, 0, 2)[::-1, ::-1, ::-1],
            "cropped": block.transpose(1, 0, 2)[:, 4:20, 2:18],
        }
        for name, view in views.items():
            view.flags.writeable = False
            for focal in (None, [1, depth - 1]):
                expected = reference.encode(np.ascontiguousarray(view), order, focal=focal)
                np.testing.assert_array_equal(self.encode(view, order, focal=focal), expected, err_msg=name)

    @pytest.mark.parametrize("order", [0, 1, 4])
    @pytest.mark.parametrize("layout", ["hwc", "chw"])
    def test_layouts_and_a_given_output(self, order: int, layout: str) -> None:
        depth = min(5, max(self.depths))
        volume = random_volume(depth, 16, 24)
        expected = reference.encode(volume, order)
        if layout == "chw":
            expected = expected.transpose(0, 3, 1, 2)
        np.testing.assert_array_equal(self.encode(volume, order, layout=layout), expected)
        buffer = np.full((depth + 2, *expected.shape[1:]), 7, np.uint8)
        result = self.encode(volume, order, layout=layout, out=buffer[1:-1])
        assert np.shares_memory(result, buffer)
        np.testing.assert_array_equal(buffer[1:-1], expected)
        assert (buffer[[0, -1]] == 7).all()

    @pytest.mark.parametrize(
        ("volume", "arguments", "message"),
        [
            (np.zeros((2, 8, 8), np.float32), {}, "float32; only uint8"),
            (np.zeros((2, 8, 8), np.int16), {}, "int16; only uint8"),
            (np.zeros((8, 8), np.uint8), {}, r"\(8, 8\); expected \(D, H, W\)"),
            (np.zeros((2, 8, 8, 3), np.uint8), {}, r"\(2, 8, 8, 3\); expected \(D, H, W\)"),
            (np.zeros((0, 8, 8), np.uint8), {}, "at least one voxel"),
            (np.zeros((2, 8, 0), np.uint8), {}, "at least one voxel"),
            (
                np.zeros((2, 12, 8), np.uint8),
                {"order": 4},
                "12×8 cannot be encoded at order 4: not divisible by 8",
            ),
            (np.zeros((2, 8, 9), np.uint8), {"order": 2}, "not divisible by 2"),
            (np.zeros((2, 8, 8), np.uint8), {"order": -1}, "order is -1"),
            (np.zeros((2, 8, 8), np.uint8), {"order": 1.5}, "order is 1.5"),
            (
                np.zeros((2, 8, 8), np.uint8),
                {"boundary": "wrap"},
                "boundary is 'wrap'; expected one of repeat, mirror",
            ),
            (np.zeros((2, 8, 8), np.uint8), {"downsample": "max"}, "downsample is 'max'"),
            (np.zeros((2, 8, 8), np.uint8), {"layout": "cwh"}, "layout is 'cwh'"),
            (np.zeros((2, 8, 8), np.uint8), {"focal": [2]}, "the volume has slices 0 to 1"),
            (np.zeros((2, 8, 8), np.uint8), {"focal": [-1]}, "focal slices run from -1"),
            (np.zeros((2, 8, 8), np.uint8), {"focal": [0.5]}, "expected a list of slice numbers"),
            (
                np.zeros((2, 8, 8), np.uint8),
                {"out": np.zeros((2, 8, 8), np.uint8)},
                r"expected uint8 \(2, 8, 8, 3\)",
            ),
            (np.zeros((2, 8, 8), np.uint8), {"out": np.zeros((2, 8, 8, 3), np.int8)}, "out is int8"),
        ],
    )
    def test_bad_input_gets_one_clear_error(
        self, volume: Any, arguments: dict[str, Any], message: str
    ) -> None:
        with pytest.raises(KernelInputError, match=message):
            self.encode(volume, **arguments)
