"""Catalogs guessed from folders of real files."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest
import SimpleITK as sitk
import tifffile
from numpy.typing import NDArray

from fve_pipeline.catalog import discover
from fve_pipeline.catalog.folder import from_folder, list_volumes
from fve_pipeline.catalog.look import look_at
from fve_pipeline.demo.cohort.make import make_dicom_case
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

    with pytest.raises(
        CatalogError, match=r"so many ids \(a 59, b 59\) that they may be instances .* --instances"
    ):
        from_folder(tmp_path)
    catalog = from_folder(tmp_path, instances=True).catalog()

    assert catalog.modality == "Microscopy"
    assert catalog.instance
    assert len(from_folder(tmp_path, instances=False).catalog().classes) == 59


@pytest.mark.parametrize("ending", ["npz", "h5"])
def test_arrays_of_one_file_are_found_by_their_names(tmp_path: Path, ending: str) -> None:
    labels = np.zeros((2, 3, 4), np.uint8)
    labels[0] = 3
    image = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    for name in ("x_1", "x_2"):
        path = tmp_path / "data" / f"{name}.{ending}"
        path.parent.mkdir(exist_ok=True)
        if ending == "npz":
            np.savez(path, volume=image, label=labels, spacing=np.ones(3))
        else:
            with h5py.File(path, "w") as file:
                file["volumes/raw"], file["volumes/label"] = image, labels

    catalog = from_folder(tmp_path, modality="MR").catalog()
    cases = discover(catalog, tmp_path)

    assert [spec.id for spec in catalog.classes] == [3]
    assert [case.image for case in cases] == [f"data/x_1.{ending}", f"data/x_2.{ending}"]
    looks = [look_at(case, tmp_path) for case in cases]
    assert [look.ids for look in looks] == [{3: 12}] * 2
    assert not catalog.scaled


def test_arrays_that_may_all_be_the_image_are_shown(tmp_path: Path) -> None:
    zeros = np.zeros((2, 3, 4), np.uint8)
    np.savez(tmp_path / "a.npz", t1=zeros, t2=zeros, mask=zeros + 1)
    with pytest.raises(CatalogError, match=r"a.npz: 2 arrays that may be the image: t1, t2. Write"):
        from_folder(tmp_path)


def test_a_folder_of_several_modalities_is_not_drafted_as_one(tmp_path: Path) -> None:
    gts = np.ones((2, 3, 4), np.uint8)
    for name in ("CT_a_1", "CT_a_2", "MR_b_1", "Microscopy_c_1"):
        np.savez(tmp_path / f"{name}.npz", imgs=gts, gts=gts, spacing=np.ones(3))
    said = r"several kinds: 2 CT \(such as CT_a_1, 1 to 1\); 1 MR .*; 1 Microscopy .*--modality says"
    with pytest.raises(CatalogError, match=said):
        from_folder(tmp_path)
    assert from_folder(tmp_path, modality="MR").catalog().modality == "MR"


def test_hu_and_values_that_are_none_are_not_drafted_as_one(tmp_path: Path) -> None:
    for name, low in (("a", -1000), ("b", 0)):
        write(tmp_path / f"{name}.nrrd", np.linspace(low, 900, 24).astype(np.int16).reshape(2, 3, 4))
        write(tmp_path / f"{name}_seg.nrrd", np.ones((2, 3, 4), np.uint8))
    with pytest.raises(CatalogError, match=r"1 unknown, without HU \(such as b, 0 to 900\); 1 CT"):
        from_folder(tmp_path)


def test_names_say_the_modality(tmp_path: Path) -> None:
    for name in ("fetal_US_1", "fetal_US_2"):
        write(tmp_path / f"{name}.nrrd", np.arange(24, dtype=np.uint8).reshape(2, 3, 4))
        write(tmp_path / f"{name}_seg.nrrd", np.ones((2, 3, 4), np.uint8))
    assert from_folder(tmp_path).catalog().modality == "US"


def test_a_case_that_cannot_be_read_is_noted(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(tmp_path / f"{name}.nrrd", np.arange(24, dtype=np.uint8).reshape(2, 3, 4))
        write(tmp_path / f"{name}_seg.nrrd", np.ones((2, 3, 4), np.uint8))
    (tmp_path / "a.nrrd").write_bytes(b"")
    draft = from_folder(tmp_path)
    assert any(note.startswith("1 of 2 cases could not be read") for note in draft.notes)
    (tmp_path / "b.nrrd").write_bytes(b"")
    with pytest.raises(CatalogError, match="2 of 2 cases cannot be read"):
        from_folder(tmp_path)


def test_renditions_in_folders_of_their_own(tmp_path: Path) -> None:
    for case in ("p01", "p02", "p03"):
        for kind in ("T1", "T2"):
            write(tmp_path / kind / f"{case}.nrrd", np.arange(24, dtype=np.int16).reshape(2, 3, 4))
        write(tmp_path / "seg" / f"{case}.nrrd", np.ones((2, 3, 4), np.uint8))

    draft = from_folder(tmp_path)
    cases = discover(draft.catalog(), tmp_path)

    assert [case.name for case in cases] == ["p01", "p02", "p03"]
    assert [(one.name, one.image) for one in cases[0].renditions] == [("t1", None), ("t2", "T2/p01.nrrd")]
    assert "Several images a case, with the number of cases that have each: t1 3, t2 3." in draft.notes


@pytest.mark.parametrize("labels", ["labels/{}_{}.nrrd", "masks/{1}/{0}.nrrd", "images/{}_{}.nrrd"])
def test_one_file_a_class_beside_each_other(tmp_path: Path, labels: str) -> None:
    for case in ("p01", "p02", "p03"):
        write(tmp_path / f"images/{case}.nrrd", np.arange(24, dtype=np.int16).reshape(2, 3, 4))
        for organ in ("liver", "kidney_left"):
            write(tmp_path / labels.format(case, organ), np.ones((2, 3, 4), np.uint8))

    catalog = from_folder(tmp_path).catalog()
    cases = discover(catalog, tmp_path)

    assert {spec.file: spec.name for spec in catalog.classes} == {
        "kidney_left": "left kidney",
        "liver": "liver",
    }
    assert [case.name for case in cases] == ["p01", "p02", "p03"]
    assert [one.path for one in cases[0].labels] == [
        labels.format("p01", organ) for organ in ("kidney_left", "liver")
    ]


def test_equal_names_in_parts_of_a_split_are_no_renditions(tmp_path: Path) -> None:
    for part in ("train", "val"):
        for case in ("a", "b", "c"):
            write(tmp_path / part / "images" / f"{case}.nrrd", np.arange(24, dtype=np.int16).reshape(2, 3, 4))
            write(tmp_path / part / "labels" / f"{case}.nrrd", np.ones((2, 3, 4), np.uint8))
    draft = from_folder(tmp_path)
    catalog = draft.catalog()
    assert not catalog.renditions
    assert catalog.layout.images.partition("/")[0] == catalog.layout.labels.partition("/")[0]
    assert "6 volumes fit neither and are left out." in draft.notes


@pytest.mark.parametrize("at_root", [False, True])
def test_a_single_series_needs_no_name_of_a_case(tmp_path: Path, at_root: bool) -> None:
    make_dicom_case(tmp_path, 1, size=64)
    if at_root:
        for path in (tmp_path / "series").iterdir():
            path.rename(tmp_path / path.name)
        (tmp_path / "series").rmdir()

    catalog = from_folder(tmp_path, name="mine").catalog()
    (case,) = discover(catalog, tmp_path)

    assert (case.name, case.image) == ("mine", "." if at_root else "series")
    assert catalog.modality == "CT"
    assert not look_at(case, tmp_path).error


def test_scattered_ids_are_asked_about_in_any_modality(tmp_path: Path) -> None:
    ids = np.zeros((3, 4, 5), np.uint16)
    ids.flat[:12] = np.arange(12) * 37 + 5
    write(tmp_path / "a.nrrd", np.arange(60, dtype=np.int16).reshape(3, 4, 5))
    write(tmp_path / "a_mask.nrrd", ids)
    with pytest.raises(CatalogError, match=r"so many ids \(a 12\) that they may be instances"):
        from_folder(tmp_path, modality="MR")


@pytest.mark.parametrize("folder", ["micro_cells", "micro_nuclei"])
def test_real_cells_are_asked_about(shared_data: Path, folder: str) -> None:
    with pytest.raises(CatalogError, match="may be instances"):
        from_folder(shared_data / folder)
    assert from_folder(shared_data / folder, instances=True).catalog().instance


def test_label_maps_with_layers_are_not_drafted_from_what_is_left(shared_data: Path) -> None:
    with pytest.raises(CatalogError, match=r"4 of 5 cases cannot be read; the first: .* Name a channel"):
        from_folder(shared_data / "us_mr_prostate")


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
