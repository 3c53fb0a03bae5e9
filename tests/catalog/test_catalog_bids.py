"""Catalogs drafted from BIDS."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fve_pipeline.catalog import discover
from fve_pipeline.catalog.bids import from_bids
from fve_pipeline.errors import CatalogError


def make(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).touch()


def test_dseg_with_sessions_and_a_table(tmp_path: Path) -> None:
    for subject, session in (("01", "a"), ("01", "b"), ("02", "a")):
        stem = f"sub-{subject}/ses-{session}/anat/sub-{subject}_ses-{session}"
        make(tmp_path, f"{stem}_T1w.nii.gz", f"derivatives/manual/{stem}_space-orig_dseg.nii.gz")
    make(tmp_path, "sub-01/ses-a/anat/sub-01_ses-a_FLAIR.nii.gz")
    (tmp_path / "derivatives/manual/space-orig_dseg.tsv").write_text(
        "index\tname\n0\tbackground\n17\tHippocampus_Left\n"
    )
    (tmp_path / "dataset_description.json").write_text(
        json.dumps({"Name": "My Brains", "License": "CC0", "Authors": ["A", "B"]})
    )

    catalog = from_bids(tmp_path).catalog()
    cases = discover(catalog, tmp_path)

    assert (catalog.name, catalog.modality, catalog.licence, catalog.citation) == (
        "my_brains",
        "MR",
        "CC0",
        "A; B",
    )
    assert [(spec.id, spec.name, spec.side) for spec in catalog.classes] == [(17, "left Hippocampus", "left")]
    assert [(case.name, case.subject) for case in cases] == [
        ("01_a", "my_brains/01"),
        ("01_b", "my_brains/01"),
        ("02_a", "my_brains/02"),
    ]
    assert (
        cases[0].labels[0].path == "derivatives/manual/sub-01/ses-a/anat/sub-01_ses-a_space-orig_dseg.nii.gz"
    )


def test_masks_with_a_label_entity_are_one_file_a_class(tmp_path: Path) -> None:
    for subject in ("1", "2"):
        make(
            tmp_path,
            f"sub-{subject}/ct/sub-{subject}_ct.nii.gz",
            *(
                f"derivatives/seg/sub-{subject}/ct/sub-{subject}_label-{name}_mask.nii.gz"
                for name in ("liver", "lesion")
            ),
        )

    catalog = from_bids(tmp_path).catalog()
    cases = discover(catalog, tmp_path)

    assert catalog.window == "soft_tissue"
    assert [(file.path.rsplit("/", 1)[-1], file.value) for file in cases[0].labels] == [
        ("sub-1_label-lesion_mask.nii.gz", 1),
        ("sub-1_label-liver_mask.nii.gz", 2),
    ]


def test_another_suffix_is_asked_for(tmp_path: Path) -> None:
    make(
        tmp_path,
        "sub-1/anat/sub-1_T1w.nii.gz",
        "sub-1/anat/sub-1_FLAIR.nii.gz",
        "derivatives/x/sub-1/sub-1_mask.nii.gz",
    )

    assert from_bids(tmp_path, suffix="FLAIR").catalog().layout.images.endswith("_FLAIR.nii.gz")
    with pytest.raises(CatalogError, match=r"no images with the suffix 'T2w'; found \{"):
        from_bids(tmp_path, suffix="T2w")


def test_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match="no sub-\\* folders"):
        from_bids(tmp_path)
    make(tmp_path, "sub-1/anat/sub-1_T1w.nii.gz")
    with pytest.raises(CatalogError, match="no label maps, which BIDS names"):
        from_bids(tmp_path)
    make(tmp_path, "derivatives/x/sub-1/sub-1_dseg.nii.gz")
    (tmp_path / "derivatives/x/dseg.tsv").write_text("id\tlabel\n1\tx\n")
    with pytest.raises(CatalogError, match="expected the columns index"):
        from_bids(tmp_path)
