"""Catalogs guessed from folders of real files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import tifffile
from numpy.typing import NDArray

from fve_pipeline.catalog import discover
from fve_pipeline.catalog.folder import from_folder, list_volumes
from fve_pipeline.errors import CatalogError


def write(path: Path, array: NDArray[np.generic]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(sitk.GetImageFromArray(array), str(path))


def test_two_folders_of_ct(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(3):
        labels = np.zeros((4, 6, 5), np.uint8)
        labels[0, :2] = 1
        if number:
            labels[1, 0, 0] = 7
        write(
            tmp_path / f"imagesTr/case_{number}.nii.gz", rng.integers(-1000, 1000, (4, 6, 5)).astype(np.int16)
        )
        write(tmp_path / f"labelsTr/case_{number}.nii.gz", labels)

    draft = from_folder(tmp_path, name="My CT")
    catalog = draft.catalog()

    assert (catalog.name, catalog.modality, catalog.window) == ("my_ct", "CT", "soft_tissue")
    assert [(spec.id, spec.name) for spec in catalog.classes] == [(1, "label 1"), (7, "label 7")]
    assert [case.name for case in discover(catalog, tmp_path)] == ["case_0", "case_1", "case_2"]
    text = draft.toml()
    assert text.startswith(
        "# 6 volumes: 3 images as imagesTr/{case}.nii.gz, 3 label files as labelsTr/{case}.nii.gz; 3 cases have both."
    )
    assert "1 (3 cases, 8.33%), 7 (2 cases, 0.56%)" in text


def test_one_file_a_class_and_channels(tmp_path: Path) -> None:
    for case in ("anna", "bert"):
        for kind in ("t1", "t2"):
            write(tmp_path / case / f"{kind}.nrrd", np.arange(24, dtype=np.int16).reshape(2, 3, 4))
        for organ in ("kidney_left", "liver"):
            write(tmp_path / case / "segmentations" / f"{organ}.nrrd", np.ones((2, 3, 4), np.uint8))

    catalog = from_folder(tmp_path).catalog()
    cases = discover(catalog, tmp_path)

    assert catalog.modality == "MR"
    assert [(spec.id, spec.name, spec.file, spec.side) for spec in catalog.classes] == [
        (1, "left kidney", "kidney_left", "left"),
        (2, "liver", "liver", None),
    ]
    assert [one.image for one in cases[0].renditions] == [None, "anna/t2.nrrd"]
    assert cases[1].labels[1].path == "bert/segmentations/liver.nrrd"


def test_classes_that_some_cases_lack(tmp_path: Path) -> None:
    for case, organs in (("anna", ("liver", "spleen")), ("bert", ("liver",)), ("cora", ("liver", "spleen"))):
        write(tmp_path / case / "mr.nrrd", np.arange(24, dtype=np.int16).reshape(2, 3, 4))
        for organ in organs:
            write(tmp_path / case / "masks" / f"{organ}.nrrd", np.ones((2, 3, 4), np.uint8))

    catalog = from_folder(tmp_path).catalog()

    assert catalog.layout.sparse
    assert [len(case.labels) for case in discover(catalog, tmp_path)] == [2, 1, 2]


def test_instances(tmp_path: Path) -> None:
    for name in ("a", "a_mask", "b", "b_mask"):
        stack = np.arange(60, dtype=np.uint16).reshape(3, 4, 5)
        tifffile.imwrite(tmp_path / f"{name}.tif", stack, photometric="minisblack")

    catalog = from_folder(tmp_path).catalog()

    assert catalog.modality == "Microscopy"
    assert catalog.instance


def test_a_modality_that_is_given_wins(tmp_path: Path) -> None:
    write(tmp_path / "a.mha", np.arange(60, dtype=np.int16).reshape(3, 4, 5))
    write(tmp_path / "a_mask.mha", np.ones((3, 4, 5), np.uint8))

    draft = from_folder(tmp_path, modality="US")

    assert draft.catalog().modality == "US"
    assert any(note.startswith("Modality US as given.") for note in draft.notes)


def test_challenge_npz(tmp_path: Path) -> None:
    gts = np.zeros((2, 3, 4), np.uint8)
    gts[0] = 3
    for name in ("x_1", "x_2"):
        np.savez(tmp_path / f"{name}.npz", imgs=np.zeros((2, 3, 4), np.uint8), gts=gts, spacing=np.ones(3))

    catalog = from_folder(tmp_path).catalog()

    assert [spec.id for spec in catalog.classes] == [3]
    assert [case.labels[0].member for case in discover(catalog, tmp_path)] == ["gts", "gts"]


def test_real_files(shared_data: Path) -> None:
    catalog = from_folder(shared_data / "mr_pyradiomics").catalog()

    assert {case.name for case in discover(catalog, shared_data / "mr_pyradiomics")} >= {"brain1"}


def test_dicom_folders_are_volumes(tmp_path: Path) -> None:
    for path in ("a/series/1.dcm", "a/series/2.dcm", "a/labels.nii.gz", "a/.hidden/x.nii.gz"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()

    assert list_volumes(tmp_path) == ["a/labels.nii.gz", "a/series/"]


def test_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"no volumes; looked for .nii.gz, .nii"):
        from_folder(tmp_path)
    write(tmp_path / "a.nrrd", np.zeros((2, 3, 4), np.uint8))
    with pytest.raises(CatalogError, match=r"1 volumes such as a.nrrd, but no label maps that go with them"):
        from_folder(tmp_path)
    write(tmp_path / "a_seg.nrrd", np.zeros((2, 3, 4), np.uint8))
    with pytest.raises(CatalogError, match="no label ids in 1 label maps"):
        from_folder(tmp_path)


def test_dicom_is_found_by_its_bytes(tmp_path: Path) -> None:
    for name, content in {
        "a/IM001": b"\0" * 128 + b"DICM",
        "b/slice.IMA": b"any",
        "c/notes.txt": b"words",
    }.items():
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(content)
    assert list_volumes(tmp_path) == ["a/", "b/"]
