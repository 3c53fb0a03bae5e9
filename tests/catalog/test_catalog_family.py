"""The challenge's family of datasets: one prompt file, many datasets."""

from __future__ import annotations

import csv
import hashlib
import json
import logging
from pathlib import Path

import pytest

from fve_pipeline.catalog import discover, expand, load_catalog
from fve_pipeline.errors import CatalogError

PROMPTS = {
    "CT_AMOS": {"2": ["Right kidney", "Right kidney in CT"], "1": ["Liver"], "instance_label": 0},
    "CT_LiverTumor": {"1": ["Liver tumors", "Hepatic masses"], "instance_label": 1},
    "MR_BraTS-T1c": {"1": ["Enhancing tissue"], "instance_label": 0},
    "MR_BraTS-T1n": {"1": ["Enhancing tissue"], "instance_label": 0},
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "CVPR25_TextSegFMData_with_class.json").write_text(json.dumps(PROMPTS))
    for path in (
        "CT/CT_AMOS/CT_AMOS_amos_0001.npz",
        "CT/CT_LiverTumor/CT_AbdTumor_liver_52.npz",
        "MR/MR_BraTS-T1c/MR_BraTS-T1c_bratsgli_0006.npz",
        "MR_BraTS-T1n_bratsgli_0006.npz",
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    return tmp_path


def test_a_family_expands_to_its_datasets(root: Path) -> None:
    family = load_catalog("cvpr25_challenge")

    datasets = expand(family, root)

    assert [one.name for one in datasets] == ["CT_AMOS", "CT_LiverTumor", "MR_BraTS-T1c", "MR_BraTS-T1n"]
    amos, liver, *_ = datasets
    assert [(spec.id, spec.name, spec.side) for spec in amos.classes] == [
        (1, "Liver", None),
        (2, "Right kidney", "right"),
    ]
    assert amos.classes[1].prompts == ("Right kidney", "Right kidney in CT")
    assert (amos.mask_dtype, liver.mask_dtype, liver.instance) == ("uint8", "uint16", True)
    digest = hashlib.sha256((root / "CVPR25_TextSegFMData_with_class.json").read_bytes()).hexdigest()
    assert amos.model_dump()["prompt_sha256"] == digest
    assert amos.licence == family.licence


def test_cases_know_their_dataset_and_patient(root: Path) -> None:
    cases = discover(load_catalog("cvpr25_challenge"), root)

    assert [(case.id, case.subject) for case in cases] == [
        ("CT_AMOS/CT_AMOS_amos_0001", "amos22/amos_0001"),
        ("CT_LiverTumor/CT_AbdTumor_liver_52", "CT_LiverTumor/CT_AbdTumor_liver_52"),
        ("MR_BraTS-T1c/MR_BraTS-T1c_bratsgli_0006", "cvpr25_brats/bratsgli_0006"),
        ("MR_BraTS-T1n/MR_BraTS-T1n_bratsgli_0006", "cvpr25_brats/bratsgli_0006"),
    ]
    assert cases[0].image == cases[0].labels[0].path == "CT/CT_AMOS/CT_AMOS_amos_0001.npz"
    assert cases[0].labels[0].member == "gts"
    assert all(case.scaled for case in cases)


def test_the_prompt_file_may_lie_above_or_be_given(
    root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    family = load_catalog("cvpr25_challenge")

    assert [one.name for one in expand(family, root / "CT")] == ["CT_AMOS", "CT_LiverTumor"]
    elsewhere = tmp_path_factory.mktemp("prompts") / "p.json"
    elsewhere.write_text(json.dumps({"CT_AMOS": {"1": ["Spleen"], "instance_label": 0}}))
    assert [spec.name for one in expand(family, root, prompts=elsewhere) for spec in one.classes] == [
        "Spleen"
    ]


def test_files_of_no_dataset_are_named(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    (root / "prediction_1.npz").touch()

    with caplog.at_level(logging.WARNING):
        assert len(expand(load_catalog("cvpr25_challenge"), root)) == 4

    assert "1 files under" in caplog.text
    assert "prediction_1.npz" in caplog.text


def test_what_is_wrong_with_a_family(tmp_path: Path) -> None:
    family = load_catalog("cvpr25_challenge")

    with pytest.raises(CatalogError, match=r"no prompt file at .*CVPR25_TextSegFMData_with_class.json or "):
        expand(family, tmp_path)
    path = tmp_path / "CVPR25_TextSegFMData_with_class.json"
    for text in ("{", '{"CT_A": {"1": ["x"]}}', '{"CT_A": {"a": ["x"], "instance_label": 0}}', '{"CT_A": 3}'):
        path.write_text(text)
        with pytest.raises(CatalogError, match="expected JSON of"):
            expand(family, tmp_path)
    path.write_text(json.dumps(PROMPTS))
    with pytest.raises(CatalogError, match=r"no file under .* belongs to a dataset of"):
        expand(family, tmp_path)


def test_the_real_prompt_file_and_the_official_ten_percent(shared_data: Path, tmp_path: Path) -> None:
    prompts = shared_data / "challenge" / "CVPR25_TextSegFMData_with_class.json"
    with (shared_data / "challenge" / "random10_cases.csv").open() as file:
        said = {row["case"]: row["dataset"] for row in csv.DictReader(file)}
    for name in said:
        (tmp_path / f"{name}.npz").touch()

    datasets = expand(load_catalog("cvpr25_challenge"), tmp_path, prompts=prompts)
    found = {case.name: case.dataset for one in datasets for case in discover(one, tmp_path)}

    renamed = {"cremi": "Microscopy_cremi", "nucmm": "Microscopy_nucmm"}
    assert found == {name: renamed.get(dataset, dataset) for name, dataset in said.items()}


def test_all_68_datasets_make_catalogs(shared_data: Path, tmp_path: Path) -> None:
    prompts = shared_data / "challenge" / "CVPR25_TextSegFMData_with_class.json"
    content = json.loads(prompts.read_text())
    for name in content:
        (tmp_path / name).mkdir()
        (tmp_path / name / "x_1.npz").touch()

    datasets = expand(load_catalog("cvpr25_challenge"), tmp_path, prompts=prompts)

    assert len(datasets) == 68
    assert sum(len(one.classes) for one in datasets) == 326
    assert sum(len(spec.prompts) for one in datasets for spec in one.classes) == 3186
    assert {one.name: one.modality for one in datasets if one.modality in ("PET", "US")} == {
        "US_Low-limb-Leg": "US",
        "US_Cardiac": "US",
        "US_SegThy": "US",
        "US_RESECT": "US",
        "autoPET": "PET",
    }
    for one in datasets:
        assert {str(spec.id) for spec in one.classes} == set(content[one.name]) - {"instance_label"}
