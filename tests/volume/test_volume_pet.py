"""PET in SUV: phantoms whose true value is 1.00, however the scanner wrote it, and refusals of what is missing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from volume_make import ramp, write_nifti, write_series

from fve_pipeline.errors import ReadError
from fve_pipeline.volume import read_header, read_image

WEIGHT, DOSE, HALF_LIFE = 73.5, 3.57e8, 6586.2
INJECTED, WAITED = "101530.00", 3725.0  # seconds to the scan's start
START = "20200229111735.00"  # 10:15:30 and 3725 s
POSITIONS = [(-20.0, -30.0, 2.5 * n) for n in range(3)]

Change = Callable[[pydicom.Dataset], None]


def activity(decayed: bool) -> float:
    """Bq/ml of tissue that took up just its share: the dose, left or as injected, over the body's grams."""
    left = DOSE * 2 ** (-WAITED / HALF_LIFE) if decayed else DOSE
    return left / (WEIGHT * 1000)


def phantom(folder: Path, value: float, change: Change = lambda _: None, **tags: Any) -> Path:
    """Three slices whose voxels mean ``value``, each slice stored with a slope of its own."""
    stored = np.array([20000, 15000, 30000])
    tags = {
        "modality": "PT", "slope": [value / n for n in stored], "intercept": 0.0, "Units": "BQML",
        "CorrectedImage": [["DECY", "ATTN", "SCAT"]] * 3, "DecayCorrection": "START", "PatientWeight": WEIGHT,
        "SeriesDate": START[:8], "SeriesTime": START[8:], "AcquisitionDate": START[:8],
        "AcquisitionTime": [f"{int(START[8:14]) + 10 * n}.00" for n in range(3)],
    } | tags  # fmt: skip
    write_series(
        folder, np.full((3, 8, 9), 1, np.uint16) * stored[:, None, None].astype(np.uint16), POSITIONS, **tags
    )
    for file in folder.iterdir():
        data = pydicom.dcmread(file)
        given = pydicom.Dataset()
        given.RadionuclideTotalDose, given.RadionuclideHalfLife = DOSE, HALF_LIFE
        given.RadiopharmaceuticalStartTime = INJECTED
        data.RadiopharmaceuticalInformationSequence = [given]
        change(data)
        data.save_as(file)
    return folder


def given_of(data: pydicom.Dataset) -> pydicom.Dataset:
    given: pydicom.Dataset = data.RadiopharmaceuticalInformationSequence[0]
    return given


def private(creator: str, group: int, element: int, vr: str, value: Any) -> Change:
    def change(data: pydicom.Dataset) -> None:
        data.private_block(group, creator, create=True).add_new(element, vr, value)

    return change


def philips(element: int, value: float) -> Change:
    return private("Philips PET Private Group", 0x7053, element, "DS", f"{value:.8g}")


def late(data: pydicom.Dataset) -> None:
    """A series that was made anew an hour after the scan."""
    data.SeriesTime = "121735.00"


def late_ge(data: pydicom.Dataset) -> None:
    late(data)
    data.AcquisitionTime = "115000.00"
    private("GEMS_PETD_01", 0x0009, 0x0D, "DT", START)(data)


def late_frames(data: pydicom.Dataset) -> None:
    """Frames of 180 s from 600 s on, with their reference times as the standard defines them."""
    late(data)
    data.AcquisitionTime = "112735.00"
    decay = np.log(2) / HALF_LIFE * 180
    data.ActualFrameDuration = "180000"
    average = HALF_LIFE / np.log(2) * np.log(decay / (1 - np.exp(-decay)))
    data.FrameReferenceTime = f"{(600 + average) * 1000:.6f}"


def over_midnight(data: pydicom.Dataset) -> None:
    data.SeriesDate = data.AcquisitionDate = "20200301"
    data.SeriesTime, data.AcquisitionTime = "001205.00", "001205.00"
    given_of(data).RadiopharmaceuticalStartTime = "231000.00"


def dated(data: pydicom.Dataset) -> None:
    given_of(data).RadiopharmaceuticalStartDateTime = "20200229101530.00+0100"
    del given_of(data).RadiopharmaceuticalStartTime


PHANTOMS: dict[str, tuple[float, Change, dict[str, Any]]] = {
    "BQML, START": (activity(True), lambda _: None, {}),
    "BQML, ADMIN": (activity(False), lambda _: None, {"DecayCorrection": "ADMIN"}),
    "made anew, earliest acquisition": (activity(True), late, {}),
    "made anew, GE": (activity(True), late_ge, {}),
    "made anew, frames": (activity(True), late_frames, {}),
    "over midnight": (activity(True), over_midnight, {}),
    "injection with its date": (activity(True), dated, {}),
    "CNTS, factor to SUV": (812.0, philips(0x00, 1 / 812), {"Units": "CNTS"}),
    "CNTS, factor to Bq/ml": (activity(True) / 0.37, philips(0x09, 0.37), {"Units": "CNTS"}),
    "GML": (1.0, lambda _: None, {"Units": "GML"}),
    "GML, by body weight": (1.0, lambda _: None, {"Units": "GML", "SUVType": "BW"}),
}


@pytest.mark.parametrize("name", PHANTOMS)
def test_a_phantom_of_one_is_one(name: str, tmp_path: Path) -> None:
    value, change, tags = PHANTOMS[name]
    folder = phantom(tmp_path / "pet", value, change, **tags)
    volume = read_image(folder, modality="PET", suv=True)
    assert volume.array.dtype == np.float32
    np.testing.assert_allclose(volume.array, 1.0, rtol=1e-3)
    [note] = [note for note in volume.notes if note.startswith("SUV (body weight)")]
    assert not any(text in note for text in ("73.5", "357", "3.57"))
    assert read_header(folder).dtype == np.float32
    assert read_image(folder).array.mean() == pytest.approx(
        value, rel=1e-3
    )  # not asked for: as the file has it


def without(*tags: str) -> Change:
    def change(data: pydicom.Dataset) -> None:
        for tag in tags:
            for place in (data, given_of(data)):
                if tag in place:
                    delattr(place, tag)

    return change


REFUSED: dict[str, tuple[Change, dict[str, Any], str]] = {
    "weight": (without("PatientWeight"), {}, "expected the patient's weight"),
    "no weight": (lambda _: None, {"PatientWeight": 0}, "expected the patient's weight"),
    "dose": (without("RadionuclideTotalDose"), {}, "expected the injected dose"),
    "half-life": (without("RadionuclideHalfLife"), {}, "expected the half-life"),
    "time": (without("RadiopharmaceuticalStartTime"), {}, "no time of injection"),
    "scan": (without("SeriesTime", "AcquisitionTime"), {}, "no time of series or acquisition"),
    "drug": (lambda data: data.pop("RadiopharmaceuticalInformationSequence"), {}, "no radiopharmaceutical"),
    "units": (without("Units"), {}, "units missing; expected BQML, CNTS or GML"),
    "other units": (lambda _: None, {"Units": "PROPCPS"}, "units PROPCPS"),
    "lean body": (lambda _: None, {"Units": "GML", "SUVType": "LBM"}, "SUV of type LBM"),
    "counts": (lambda _: None, {"Units": "CNTS"}, "counts .CNTS. without a factor"),
    "decay": (lambda _: None, {"DecayCorrection": "NONE"}, "decay correction NONE"),
    "attenuation": (
        lambda _: None,
        {"CorrectedImage": "DECY"},
        "corrected for DECY; expected ATTN and DECY",
    ),
    "MBq": (lambda data: setattr(given_of(data), "RadionuclideTotalDose", 357), {}, "none in Bq"),
    "days": (
        lambda data: setattr(given_of(data), "RadiopharmaceuticalStartDateTime", "20200220101530"),
        {},
        "half-lives from injection to scan",
    ),
    "CT": (lambda _: None, {"modality": "CT"}, "modality CT, and a window of SUV"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_missing_is_refused_by_name(name: str, tmp_path: Path) -> None:
    change, tags, said = REFUSED[name]
    folder = phantom(tmp_path / "pet", activity(True), change, **tags)
    with pytest.raises(ReadError, match=said) as caught:
        read_image(folder, suv=True)
    for secret in ("Doe", "4711", "73.5", "3.57", "357000000"):
        assert secret not in str(caught.value)


def test_other_files_are_taken_to_hold_suv(tmp_path: Path) -> None:
    path = write_nifti(tmp_path / "pet.nii.gz", ramp().astype(np.float32) / 10)
    assert read_image(path, suv=True).array.max() == pytest.approx(11.9)
