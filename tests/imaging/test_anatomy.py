"""Labels and intensities against anatomy, on real CT and on CT spoilt on purpose."""

from __future__ import annotations

import tomllib
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from fve_pipeline.imaging.anatomy import check_anatomy
from fve_pipeline.volume import Labels, Volume, read_image, read_labels
from fve_pipeline.volume.label_file import LabelFile

CASES = {
    "abdomen": ("ct_totalseg/example_ct_sm.nii.gz", "ct_totalseg/example_seg.nii.gz"),
    "spine": ("ct_totalseg/example_ct.nii.gz", "ct_totalseg/totalseg.nii.gz"),
    "dicom": ("ct_dicom_series", "ct_dicom_series_labels/example_seg_dicom.nii.gz"),
}


@pytest.fixture(scope="module")
def names() -> dict[int, str]:
    text = (files("fve_catalogs") / "totalsegmentator_ct.toml").read_text()
    return {c["id"]: c["name"] for c in tomllib.loads(text)["classes"] if "ids" not in c}


def load(root: Path, case: str) -> tuple[Volume, Labels]:
    image, label = CASES[case]
    volume = read_image(root / image)
    return volume, read_labels([LabelFile(label)], root, volume)


def mean_hu(volume: Volume, labels: Labels, names: dict[int, str], organ: str) -> float:
    ids = [i for i, name in names.items() if name.split()[-1] == organ]
    return float(volume.array[np.isin(labels.array, ids)].mean())


@pytest.mark.parametrize("case", CASES)
def test_real_ct_fits(case: str, shared_data: Path, names: dict[int, str]) -> None:
    volume, labels = load(shared_data, case)
    assert check_anatomy(labels.array, volume.affine, names, volume.array) == []


def test_organs_have_their_textbook_hu(shared_data: Path, names: dict[int, str]) -> None:
    volume, labels = load(shared_data, "abdomen")  # without contrast
    for organ, low, high in (
        ("liver", 40, 65),
        ("spleen", 25, 60),
        ("kidney", 5, 45),
        ("aorta", 30, 50),
        ("lung", -900, -600),
    ):
        assert low < mean_hu(volume, labels, names, organ) < high, organ
    volume, labels = load(shared_data, "dicom")  # with contrast
    for organ, low, high in (("liver", 80, 120), ("spleen", 70, 140), ("aorta", 120, 300)):
        assert low < mean_hu(volume, labels, names, organ) < high, organ


def test_left_lies_left_and_head_lies_up(shared_data: Path, names: dict[int, str]) -> None:
    volume, labels = load(shared_data, "abdomen")
    number = {name: i for i, name in names.items()}

    def centre(name: str) -> np.ndarray:
        index = np.argwhere(labels.array == number[name]).mean(axis=0)
        return (volume.affine @ [*index, 1])[:3]

    assert centre("left kidney")[0] > centre("right kidney")[0] + 100
    assert centre("spleen")[0] > centre("liver")[0] + 100
    volume, labels = load(shared_data, "spine")
    heights = [centre(f"vertebra {v}")[2] for v in ("T11", "T12", "L1", "L2", "L3", "L4", "L5", "S1")]
    assert np.all(np.diff(heights) < -10)


@pytest.mark.parametrize(
    ("axis", "kinds"),
    [(0, {"up-down"}), (1, {"front-back", "intensity"}), (2, {"left-right", "intensity"})],
)
def test_flipped_labels_are_found(
    axis: int, kinds: set[str], shared_data: Path, names: dict[int, str]
) -> None:
    volume, labels = load(shared_data, "abdomen")
    found = check_anatomy(np.flip(labels.array, axis), volume.affine, names, volume.array)
    assert kinds <= {finding.kind for finding in found}


def test_labels_by_index_instead_of_by_place_are_found(shared_data: Path, names: dict[int, str]) -> None:
    """The series' label file has y the other way: read by index, the liver comes out at −75 HU."""
    volume, labels = load(shared_data, "dicom")
    by_index = labels.array[:, ::-1]
    (liver,) = (
        f for f in check_anatomy(by_index, volume.affine, names, volume.array) if f.classes == ("liver",)
    )
    assert liver.message == (
        "liver: mean -75 HU, expected 0..170 HU; the labels may lie elsewhere than the organ"
    )
    findings = check_anatomy(by_index, volume.affine, names)
    assert "front-back" in {f.kind for f in findings}
    assert "intensity" not in {f.kind for f in findings}


def test_swapped_names_are_found() -> None:
    labels = np.zeros((10, 20, 20), np.uint8)
    labels[2:8, 5:15, 2:7], labels[2:8, 5:15, 13:18] = 1, 2  # x rises to the patient's left
    affine = np.zeros((4, 4))
    affine[[2, 1, 0, 3], [0, 1, 2, 3]] = 1
    assert check_anatomy(labels, affine, {1: "kidney_right", 2: "kidney_left"}) == []
    (finding,) = check_anatomy(labels, affine, {1: "Left Kidney", 2: "Right Kidney"})
    assert finding.message == (
        "left kidney: its centre lies 11 mm to the right of right kidney's, expected to the left; "
        "the labels may be mirrored"
    )
    # Too small to judge, and classes that nobody named.
    assert check_anatomy(labels[:, :6, :4], affine, {1: "left kidney", 2: "right kidney"}) == []
    assert check_anatomy(labels, affine, {7: "left kidney"}, labels) == []
    assert check_anatomy(labels * 0, affine, {1: "left kidney"}, labels) == []


def test_a_tumour_is_not_its_organ() -> None:
    labels = np.ones((5, 10, 10), np.uint8)
    air = np.full(labels.shape, -1000, np.int16)
    assert check_anatomy(labels, np.eye(4), {1: "liver tumour"}, air) == []
    assert [f.kind for f in check_anatomy(labels, np.eye(4), {1: "liver"}, air)] == ["intensity"]


@pytest.mark.parametrize("front", ["liver", "stomach"])
def test_a_body_mirrored_front_to_back_is_found_without_vertebrae(front: str) -> None:
    labels = np.zeros((10, 20, 20), np.uint8)
    labels[2:8, 3:9, 5:15], labels[2:8, 13:16, 9:12] = 1, 2  # y rises to the back
    affine = np.zeros((4, 4))
    affine[[2, 1, 0, 3], [0, 1, 2, 3]] = 1
    names = {1: front, 2: "aorta"}
    assert check_anatomy(labels, affine, names) == []
    (finding,) = check_anatomy(labels[:, ::-1], affine, names)
    assert (finding.kind, finding.classes) == ("front-back", ("aorta", front))
