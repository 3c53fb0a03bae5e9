"""Windows, percentile clipping and what is left alone, with the decision in words."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from fve_pipeline.errors import FveError, IntensityError
from fve_pipeline.imaging.intensity import percentiles, to_uint8
from fve_pipeline.imaging.windows import WINDOWS, Window, parse_window


def ct(seed: int = 0) -> NDArray[np.int16]:
    return np.random.default_rng(seed).integers(-1024, 2000, (4, 20, 21)).astype(np.int16)


def medsam_script(image: NDArray[Any], window: Window | None) -> NDArray[np.uint8]:
    """What MedSAM's preprocessing does, written as its script writes it."""
    if window is not None:
        data = np.clip(image, window.lower, window.upper)
        data = (data - np.min(data)) / (np.max(data) - np.min(data)) * 255.0
    else:
        lower, upper = np.percentile(image[image > 0], 0.5), np.percentile(image[image > 0], 99.5)
        data = np.clip(image, lower, upper)
        data = (data - np.min(data)) / (np.max(data) - np.min(data)) * 255.0
        data[image == 0] = 0
    return np.uint8(data)


def test_the_windows_are_the_papers_and_the_radiologists() -> None:
    bounds = {name: (window.lower, window.upper) for name, window in WINDOWS.items()}
    assert bounds == {
        "soft_tissue": (-160, 240),
        "lung": (-910, 590),
        "lung_radiology": (-1350, 150),
        "brain": (0, 80),
        "bone": (-500, 1300),
    }


def test_windows_are_parsed() -> None:
    assert parse_window("brain") is WINDOWS["brain"]
    assert parse_window("400/40") == Window("400/40", 400, 40)
    assert parse_window(" 1500/-600.5 ").lower == -1350.5
    suv = parse_window("suv_0-7.5")
    assert (suv.lower, suv.upper, suv.suv, str(suv)) == (0, 7.5, True, "suv_0-7.5 (SUV 0 to 7.5)")
    assert not parse_window("brain").suv
    for name in ("liver", "400", "0/40", "-400/40", "400/40/1", "", "suv_10-0", "suv_-1-10", "suv 0-10"):
        with pytest.raises(
            IntensityError, match=r"soft_tissue, lung, .* width/level such as 400/40, or suv_0-10"
        ):
            parse_window(name)


def test_a_window_rescales_by_its_bounds_and_rounds() -> None:
    volume = np.array([-1000, -160, -159, 40, 240, 3000], np.int16)
    result, decision = to_uint8(volume, modality="CT", window="soft_tissue")
    assert result.tolist() == [0, 0, 1, 128, 255, 255]  # 0.6375 → 1, 127.5 → 128: half up
    assert (decision.rule, decision.lower, decision.upper) == ("window", -160, 240)
    assert str(decision) == (
        "window soft_tissue (width 400, level 40): -160 to 240 becomes 0 to 255, rounded"
    )
    again, _ = to_uint8(
        volume.astype(np.float32), modality="MR", window=WINDOWS["soft_tissue"], parallel=True
    )
    np.testing.assert_array_equal(again, result)


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_medsam_does_as_its_script_with_a_window(dtype: type) -> None:
    for volume in (ct().astype(dtype), (ct() // 20).astype(dtype)):  # the second spans part of the window
        result, decision = to_uint8(volume, modality="CT", window="soft_tissue", rule="medsam")
        np.testing.assert_array_equal(result, medsam_script(volume, WINDOWS["soft_tissue"]))
    assert decision.rule == "medsam"
    assert (decision.lower, decision.upper) == (volume.min(), volume.max())
    assert "by the clipped volume's own range: -52 to 99 becomes 0 to 255, truncated" in decision.text


@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.int32, np.float64])
def test_medsam_does_as_its_script_without_one(dtype: type) -> None:
    volume = np.maximum(ct(1), 0).astype(dtype)
    result, _ = to_uint8(volume, modality="MR", rule="medsam")
    np.testing.assert_array_equal(result, medsam_script(volume, None))


def test_percentiles_leave_zeros_at_zero() -> None:
    volume = np.maximum(ct(2), 0)
    positive = volume[volume > 0]
    lower, upper = np.percentile(positive, 0.5), np.percentile(positive, 99.5)
    result, decision = to_uint8(volume, modality="MR")
    assert (decision.lower, decision.upper) == (lower, upper)
    assert decision.text.startswith("percentiles 0.5 and 99.5 of the voxels above 0: ")
    assert (result[volume == 0] == 0).all()
    expected = np.floor((np.clip(volume, lower, upper) - lower) * 255 / (upper - lower) + 0.5)
    assert np.abs(result - expected).max() <= 1  # computed in single precision
    assert (result != expected).mean() < 0.001


def test_percentiles_over_all_voxels() -> None:
    volume = ct(3).astype(np.float32)
    result, decision = to_uint8(volume, modality="PET", percentiles_over="all")
    assert (decision.lower, decision.upper) == pytest.approx(np.percentile(volume.astype(float), (0.5, 99.5)))
    assert "of all voxels" in decision.text
    assert result.min() == 0
    assert result.max() == 255
    with pytest.raises(IntensityError, match="rule medsam takes percentiles over voxels above zero"):
        to_uint8(volume, modality="PET", percentiles_over="all", rule="medsam")


def test_volumes_without_contrast() -> None:
    blank, decision = to_uint8(np.zeros((2, 3, 4), np.int16), modality="MR")
    assert not blank.any()
    assert "none is above 0" in decision.text
    assert "constant, so all 0" in decision.text
    negative, decision = to_uint8(np.linspace(-9, -1, 801, dtype=np.float32), modality="MR")
    assert (negative.min(), negative.max()) == (0, 255)
    assert "all voxels (none is above 0)" in decision.text
    binary, decision = to_uint8(np.array([0, 1, 1, 0], np.int16), modality="MR")
    assert binary.tolist() == [0, 255, 255, 0]
    assert decision.text.startswith(
        "full range (percentiles 0.5 and 99.5 of the voxels above 0 coincide at 1)"
    )
    air, decision = to_uint8(np.full((2, 2), -1000, np.int16), modality="CT", window="brain", rule="medsam")
    assert not air.any()
    assert "constant" in decision.text


def test_uint8_is_left_alone_whatever_the_modality() -> None:
    volume = np.random.default_rng(0).integers(0, 256, (3, 4, 5), np.uint8)
    for modality in ("CT", "MR"):
        result, decision = to_uint8(volume, modality=modality, window="soft_tissue")
        assert result is volume
        assert str(decision) == "untouched: the data is uint8"
    out = np.zeros_like(volume)
    assert to_uint8(volume, modality="CT", out=out)[0] is out
    np.testing.assert_array_equal(out, volume)


def test_declared_data_is_left_alone_and_checked() -> None:
    volume = np.arange(181).astype(np.int16)
    result, decision = to_uint8(volume, modality="CT", scaled=True)
    np.testing.assert_array_equal(result, volume)
    assert str(decision) == "untouched: declared as scaled (int16, 0 to 180)"
    for wrong in (volume - 1, volume * 2, np.array([1, np.nan])):
        with pytest.raises(IntensityError, match=r"declared as scaled to 0\.\.255, but its voxels run from"):
            to_uint8(wrong, modality="MR", scaled=True)


def test_int16_that_peaks_at_180_is_not_scaled_data() -> None:
    result, _ = to_uint8(np.arange(181).astype(np.int16), modality="MR")
    assert result.max() == 255


def test_ct_without_a_window_says_what_to_do() -> None:
    with pytest.raises(IntensityError, match=r"CT needs a window.* soft_tissue, .*in the catalog"):
        to_uint8(ct(), modality="ct")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rule": "minmax"}, "rule is 'minmax'; expected one of window, medsam"),
        ({"percentiles_over": "body"}, "percentiles_over is 'body'"),
        ({"window": "liver"}, "unknown window 'liver'"),
    ],
)
def test_unknown_settings(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(IntensityError, match=message):
        to_uint8(ct(), modality="CT", **arguments)


def test_infinite_voxels_have_no_percentiles() -> None:
    with pytest.raises(FveError, match="1 voxels are NaN or infinite"):
        to_uint8(np.array([1.0, np.inf, 3.0]), modality="MR")


@settings(deadline=None)  # the first example may compile
@given(hnp.arrays(np.int16, hnp.array_shapes(max_dims=3, max_side=8)), st.sampled_from(["all", "positive"]))
def test_any_volume_becomes_uint8_in_order(volume: NDArray[np.int16], over: str) -> None:
    result, decision = to_uint8(volume, modality="MR", percentiles_over=over)
    assert result.dtype == np.uint8
    assert result.shape == volume.shape
    order = np.argsort(volume, axis=None, kind="stable")
    assert (np.diff(result.ravel()[order].astype(int)) >= 0).all()
    assert decision.lower <= decision.upper


def test_percentiles_by_name() -> None:
    volume = np.array([0, 0, 1, 2, 3], np.uint8)
    assert percentiles(volume, (0, 50, 100)) == (0, 1, 3)
    assert percentiles(volume, (0, 50, 100), over="positive") == (1, 2, 3)
