"""Catalogs drafted from dataset.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fve_pipeline.catalog import discover
from fve_pipeline.catalog.nnunet import from_nnunet
from fve_pipeline.errors import CatalogError


def make(root: Path, about: dict[str, Any], *paths: str) -> Path:
    folder = root / "nnUNet_raw" / "Dataset042_Liver-Test"
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset.json").write_text(json.dumps(about))
    return folder


V2 = {
    "channel_names": {"0": "T1", "1": "T1ce"},
    "labels": {"background": 0, "whole tumor": [1, 2, 3], "tumor core": [2, 3], "enhancing": 3, "ignore": 4},
    "regions_class_order": [1, 2, 3],
    "numTraining": 2,
    "file_ending": ".nii.gz",
    "licence": "CC0",
    "reference": "somebody",
}


def test_v2_with_channels_regions_ignore_and_splits(tmp_path: Path) -> None:
    files = [f"imagesTr/c{case}_000{channel}.nii.gz" for case in (1, 2) for channel in (0, 1)]
    folder = make(tmp_path, V2, *files, "labelsTr/c1.nii.gz", "labelsTr/c2.nii.gz")
    splits = tmp_path / "nnUNet_preprocessed" / folder.name
    splits.mkdir(parents=True)
    folds = [{"train": ["c1"], "val": ["c2"]}, {"train": ["c2"], "val": ["c1"]}]
    (splits / "splits_final.json").write_text(json.dumps(folds))

    draft = from_nnunet(folder, fold=1)
    catalog = draft.catalog()
    cases = discover(catalog, folder)

    assert catalog.name == "dataset042_liver_test"
    assert (catalog.modality, catalog.licence, catalog.citation) == ("MR", "CC0", "somebody")
    assert {spec.name: spec.ids for spec in catalog.classes} == {
        "enhancing": (3,),
        "whole tumor": (1, 2, 3),
        "tumor core": (2, 3),
    }
    assert [spec.id for spec in catalog.classes] == [3, 5, 6]
    assert catalog.declared_ids == {1, 2, 3, 4}
    assert [(case.name, case.split) for case in cases] == [("c1", "val"), ("c2", "train")]
    assert [one.name for one in cases[0].renditions] == ["t1", "t1ce"]
    assert [one.image for one in cases[0].renditions] == [
        "imagesTr/c1_0000.nii.gz",
        "imagesTr/c1_0001.nii.gz",
    ]
    assert any("fold 1 of 2" in note for note in draft.notes)


def test_v1_with_labelled_tests(tmp_path: Path) -> None:
    about = {
        "name": "Liver",
        "modality": {"0": "CT"},
        "labels": {"0": "background", "1": "kidney_left", "2": "tumor"},
        "training": [{"image": "./imagesTr/a.nii.gz", "label": "./labelsTr/a.nii.gz"}],
    }
    folder = make(
        tmp_path,
        about,
        "imagesTr/a_0000.nii.gz",
        "labelsTr/a.nii.gz",
        "imagesTs/b_0000.nii.gz",
        "labelsTs/b.nii.gz",
    )

    catalog = from_nnunet(folder).catalog()
    cases = discover(catalog, folder)

    assert catalog.window == "soft_tissue"
    assert [(spec.id, spec.name, spec.side) for spec in catalog.classes] == [
        (1, "left kidney", "left"),
        (2, "tumor", None),
    ]
    assert [(case.name, case.split, case.labels[0].path) for case in cases] == [
        ("a", "train", "labelsTr/a.nii.gz"),
        ("b", "test", "labelsTs/b.nii.gz"),
    ]


def test_decathlon_channels_are_volumes_of_one_file(tmp_path: Path) -> None:
    about = {
        "name": "BRATS",
        "modality": {"0": "FLAIR", "1": "T1w", "2": "t1gd", "3": "T2w"},
        "labels": {"0": "background", "1": "edema"},
        "licence": "CC-BY-SA 4.0",
    }
    folder = make(
        tmp_path,
        about,
        "imagesTr/BRATS_001.nii.gz",
        "imagesTr/._BRATS_001.nii.gz",
        "labelsTr/BRATS_001.nii.gz",
    )

    [case] = discover(from_nnunet(folder).catalog(), folder)

    assert [(one.name, one.channel, one.image) for one in case.renditions] == [
        ("flair", 0, None),
        ("t1w", 1, None),
        ("t1gd", 2, None),
        ("t2w", 3, None),
    ]


def test_channels_of_another_modality_are_left_out_and_named(tmp_path: Path) -> None:
    about = {
        "channel_names": {"0": "CT", "1": "SUV"},
        "labels": {"background": 0, "tumor": 1},
        "file_ending": ".nii.gz",
    }
    folder = make(tmp_path, about, "imagesTr/a_0000.nii.gz", "imagesTr/a_0001.nii.gz", "labelsTr/a.nii.gz")

    draft = from_nnunet(folder, modality="PET")
    [case] = discover(draft.catalog(), folder)

    assert [(one.name, one.image, one.window) for one in case.renditions] == [
        ("suv", "imagesTr/a_0001.nii.gz", None)
    ]
    assert any("channels CT" in note for note in draft.notes)


@pytest.mark.parametrize(
    ("about", "files", "message"),
    [
        ({"labels": {}}, [], "expected labels and channel_names"),
        ({**V2, "dataset": {}}, [], "lists the files of each case"),
        (V2, [], "no .nii.gz files there"),
        ({**V2, "channel_names": {"0": "zscore"}}, ["imagesTr/a_0000.nii.gz"], "name no modality; give it"),
        ({**V2, "labels": {"background": 0}}, ["imagesTr/a_0000.nii.gz"], "nothing but the background"),
    ],
)
def test_what_is_refused(tmp_path: Path, about: dict[str, Any], files: list[str], message: str) -> None:
    with pytest.raises(CatalogError, match=message):
        from_nnunet(make(tmp_path, about, *files))


def test_no_dataset_json(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"dataset.json does not exist; expected the folder of an nnU-Net"):
        from_nnunet(tmp_path)


def test_a_wrong_fold(tmp_path: Path) -> None:
    folder = make(tmp_path, V2, "imagesTr/c1_0000.nii.gz")
    (folder / "splits_final.json").write_text("[]")

    with pytest.raises(CatalogError, match="expected a list of folds with train and val, and a fold 0"):
        from_nnunet(folder)
