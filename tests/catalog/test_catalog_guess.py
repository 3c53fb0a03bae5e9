# ruff: noqa: E501 (a table of cases)
"""Layouts guessed from paths."""

from __future__ import annotations

import pytest

from fve_pipeline.catalog.guess import guess_layout
from fve_pipeline.catalog.kinds import says_label


def layout(*paths: str) -> tuple[list[str], list[str], int]:
    guess = guess_layout(paths)
    assert guess is not None
    return (
        [kind.pattern for kind in guess.images],
        [kind.pattern for kind in guess.labels],
        len(guess.matched),
    )


def test_two_folders() -> None:
    files = [f"{kind}Tr/case_{number:03}.nii.gz" for kind in ("images", "labels") for number in range(4)]

    assert layout(*files, "imagesTr/case_099.nii.gz") == (
        ["imagesTr/{case}.nii.gz"],
        ["labelsTr/{case}.nii.gz"],
        4,
    )


def test_several_folders_of_images() -> None:
    files = [
        f"{what}_{kind}/case{n}.nii.gz"
        for what in ("fixed", "moving")
        for kind in ("images", "labels")
        for n in range(3)
    ]

    assert layout(*files) == (["fixed_images/{case}.nii.gz"], ["fixed_labels/{case}.nii.gz"], 3)


def test_channels_by_number() -> None:
    files = [f"imagesTr/p{number}_000{channel}.nii.gz" for number in range(3) for channel in (0, 1)]
    files += [f"labelsTr/p{number}.nii.gz" for number in range(3)]

    assert layout(*files) == (
        ["imagesTr/{case}_0000.nii.gz", "imagesTr/{case}_0001.nii.gz"],
        ["labelsTr/{case}.nii.gz"],
        3,
    )


def test_side_by_side() -> None:
    files = [f"{name}{end}.nrrd" for name in ("anna", "bert", "case_7") for end in ("", "_seg")]

    assert layout(*files) == (["{case}.nrrd"], ["{case}_seg.nrrd"], 3)


def test_names_with_different_letters_in_front() -> None:
    files = [
        f"{folder}/{name}{number:04}.nii.gz"
        for folder, name in (("img", "img"), ("label", "label"))
        for number in range(3)
    ]

    assert layout(*files) == (["img/img{case}.nii.gz"], ["label/label{case}.nii.gz"], 3)


def test_a_folder_a_case() -> None:
    files = [f"BraTS_{n}/BraTS_{n}_{kind}.nii.gz" for n in ("001", "002") for kind in ("flair", "t1", "seg")]

    assert layout(*files) == (
        ["{case}/{case}_flair.nii.gz", "{case}/{case}_t1.nii.gz"],
        ["{case}/{case}_seg.nii.gz"],
        2,
    )


def test_folders_in_folders() -> None:
    files = [
        f"{site}/p{n}/{kind}.nii.gz" for site in ("bern", "rome") for n in (1, 2) for kind in ("mr", "mask")
    ]

    assert layout(*files) == (["{group}/{case}/mr.nii.gz"], ["{group}/{case}/mask.nii.gz"], 4)


def test_one_file_a_class() -> None:
    files = [
        f"s{n:04}/segmentations/{organ}.nii.gz" for n in range(3) for organ in ("liver", "spleen", "aorta")
    ]
    files += [f"s{n:04}/ct.nii.gz" for n in range(3)]

    assert layout(*files) == (
        ["{case}/ct.nii.gz"],
        [f"{{case}}/segmentations/{organ}.nii.gz" for organ in ("aorta", "liver", "spleen")],
        3,
    )


def test_dicom_folders() -> None:
    files = [f"{name}/{part}" for name in ("anna", "bert") for part in ("series/", "labels.nii.gz")]

    assert layout(*files) == (["{case}/series/"], ["{case}/labels.nii.gz"], 2)


def test_a_word_in_the_common_folder_says_nothing() -> None:
    files = [f"segmentation_challenge/{kind}/c{n}.mha" for kind in ("scans", "masks") for n in range(3)]

    assert layout(*files)[0] == ["segmentation_challenge/scans/{case}.mha"]


def test_nothing_to_pair() -> None:
    assert guess_layout(["a/b.nii.gz", "c.nrrd"]) is None
    assert guess_layout([]) is None


@pytest.mark.parametrize(
    ("name", "said"),
    [("labelsTr", True), ("GroundTruth", True), ("x_seg", True), ("gt", True), ("masks3d", True), ("segovia", False), ("imagesTr", False), ("images", False)],
)  # fmt: skip
def test_words_for_labels(name: str, said: bool) -> None:
    assert says_label(name) is said
