"""Every export, read back as its readers read it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import SimpleITK as sitk
from typer.testing import CliRunner

from fve_pipeline.catalog.nnunet import from_nnunet
from fve_pipeline.cli.main import app
from fve_pipeline.errors import ExportError, LoadingError
from fve_pipeline.export.challenge import export_challenge
from fve_pipeline.export.nnunet import _named
from fve_pipeline.export.reference_png import class_prompts, export_reference_png
from fve_pipeline.runtime.progress import Silent
from fve_pipeline.store.class_table import ClassEntry
from fve_pipeline.store.reader import open_store
from fve_pipeline.volume import read_image, read_labels
from fve_pipeline.volume.label_file import LabelFile

Exported = tuple[Path, Path]


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, ["export", *map(str, arguments)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def truth(cohort: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Image and labels of a made CT case, in LPS."""
    image = read_image(cohort / "ct" / name / "image.nii.gz", modality="CT")
    labels = read_labels((LabelFile(f"ct/{name}/labels.nii.gz"),), cohort, image)
    return image.array, labels.array


def test_reference_png_is_what_its_loader_reads(exported: Exported, tmp_path: Path) -> None:
    store = open_store(exported[0])
    text = run(exported[0], "--to", "reference-png", "--out", tmp_path / "png")
    assert "reference-png" in text
    rows = {
        f"{r['case']} {r['rendition']} {r['view']} {r['slice']}": i
        for i, r in enumerate(store.index.to_pylist())
    }
    seen = 0
    for folder in sorted((tmp_path / "png").iterdir()):
        for document in folder.glob("*.json"):
            content = json.loads(document.read_text())
            split = document.stem
            for entry in content["annotations"]:
                # as the reference trains: OpenCV's channel order is the array's
                image = cv2.imread(str(folder / split / entry["file_name"]), cv2.IMREAD_UNCHANGED)
                mask = cv2.imread(str(folder / f"{split}_mask" / entry["mask_file"]), cv2.IMREAD_UNCHANGED)
                name, rendition, view, number = entry["file_name"].removesuffix(".png").rsplit("_", 3)
                if rendition == "tissue":  # soft_tissue
                    name, rendition = name.removesuffix("_soft"), "soft_tissue"
                row = rows[f"{folder.name}/{name} {rendition} {view} {int(number)}"]
                assert np.array_equal(image, store.images[row])
                stored = store.masks[row]
                assert store.index.column("split")[row].as_py() == split == entry["split"]
                assert mask.dtype == np.uint8
                if entry["instance_label"]:
                    pairs = np.unique(np.stack([mask.ravel(), stored.ravel()]), axis=1)
                    assert len(pairs[0]) == len(set(pairs[0])) == len(set(pairs[1]))
                    assert (mask > 0).tolist() == (stored > 0).tolist()
                else:
                    assert np.array_equal(mask, stored)
                    assert set(entry["class_ids"]) <= set(
                        map(int, content["class_prompts"].keys() - {"instance_label"})
                    )
                seen += 1
            assert content["class_prompts"]["instance_label"] == (folder.name == "demo_microscopy")
    assert seen == len(store)
    kidneys = json.loads((tmp_path / "png" / "demo_ct" / "train.json").read_text())["class_prompts"]
    assert set(kidneys) == {"1", "2", "3", "4", "5", "6", "instance_label"}


def test_what_is_left_out_is_said(exported: Exported, tmp_path: Path) -> None:
    notes = export_reference_png(open_store(exported[0]), tmp_path / "png", Silent(), datasets=("demo_ct",))
    assert notes == ["demo_ct: no mask id of its own for kidneys: left out"]
    assert [p.name for p in (tmp_path / "png").iterdir()] == ["demo_ct"]
    written = json.loads(
        run(exported[0], "--to", "nnunet", "--dataset", "demo_ct", "--out", tmp_path / "nn", "--json")
    )
    assert written["left_out"] == []


def test_challenge_npz_has_the_volumes_own_geometry(exported: Exported, tmp_path: Path) -> None:
    store_path, cohort = exported
    run(
        store_path,
        "--to",
        "challenge-npz",
        "--dataset",
        "demo_ct",
        "--dataset",
        "demo_npz",
        "--out",
        tmp_path / "npz",
    )
    files = {path.name: path for path in (tmp_path / "npz").rglob("*.npz")}
    assert set(files) == {
        *(f"ct_0{i}_{rendition}.npz" for i in (1, 2) for rendition in ("soft_tissue", "lung")),
        "npz_01.npz",
        "npz_02.npz",
    }
    for number in (1, 2):
        with (
            np.load(files[f"npz_0{number}.npz"]) as made,
            np.load(cohort / "challenge" / f"npz_0{number}.npz") as source,
        ):
            assert np.array_equal(made["gts"], source["gts"])
            assert made["spacing"] == pytest.approx(source["spacing"])
            assert made["imgs"].dtype == np.uint8
            assert np.abs(made["imgs"].astype(float) - source["imgs"]).mean() < 6  # cubic there, areas back
        image, labels = truth(cohort, f"ct_0{number}")
        with np.load(files[f"ct_0{number}_soft_tissue.npz"]) as made:
            assert np.array_equal(made["gts"], np.where(labels == 6, 0, labels))
            window = np.clip((image.astype(float) + 160) / 400 * 255, 0, 255)
            assert np.abs(made["imgs"] - window).mean() < 9
        with np.load(files[f"ct_0{number}_lung.npz"]) as made:
            assert np.array_equal(made["gts"], np.where(labels == 6, 6, 0))
    prompts = json.loads((tmp_path / "npz" / "class_prompts.json").read_text())
    assert prompts["demo_npz"].keys() == {"1", "2", "instance_label"}


def test_more_instances_than_8_bits_hold_are_refused(exported: Exported, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"demo_microscopy/mic_01: label id 400.*255"):
        export_challenge(open_store(exported[0]), tmp_path / "npz", Silent(), datasets=("demo_microscopy",))


def test_nnunet_folders(exported: Exported, tmp_path: Path) -> None:
    store_path, cohort = exported
    said = json.loads(run(store_path, "--to", "nnunet", "--out", tmp_path / "raw", "--json"))["left_out"]
    assert "demo_microscopy: every cell nucleus became the one class 1: nnU-Net knows no instances" in said
    raw, preprocessed = (tmp_path / "raw" / f"nnUNet_{part}" for part in ("raw", "preprocessed"))
    folders = {path.name.split("_", 1)[1]: path for path in raw.iterdir()}
    assert set(folders) == {"demo_ct", "demo_npz", "demo_microscopy"}
    described = json.loads((folders["demo_ct"] / "dataset.json").read_text())
    assert described["channel_names"] == {"0": "soft_tissue", "1": "lung"}
    assert described["labels"] == {
        "background": 0, "kidneys": [3, 4],
        "liver": 1, "spleen": 2, "right kidney": 3, "left kidney": 4, "aorta": 5, "lungs": 6
    }  # fmt: skip
    # One for each region in the order above; kidneys are painted first, each kidney over them.
    assert described["regions_class_order"] == [3, 1, 2, 3, 4, 5, 6]
    assert "regions_class_order" not in json.loads((folders["demo_npz"] / "dataset.json").read_text())
    again = from_nnunet(folders["demo_ct"]).catalog()
    assert again.modality == "CT"
    assert next(c for c in again.classes if c.name == "kidneys").ids == (3, 4)
    assert described["numTraining"] == 2
    split_of = {row["case"]: row["split"] for row in open_store(store_path).index.to_pylist()}
    for dataset, folder in folders.items():
        (fold,) = json.loads((preprocessed / folder.name / "splits_final.json").read_text())
        for split in ("train", "val"):
            own = {
                case.split("/")[1] for case, found in split_of.items() if found == split and dataset in case
            }
            assert {name.removesuffix("_soft_tissue") for name in fold[split]} == own
    assert "val" in split_of.values()
    for name in ("ct_01", "ct_02"):
        image, labels = truth(cohort, name)
        written = read_image(folders["demo_ct"] / "imagesTr" / f"{name}_0000.nii.gz", modality="CT")
        assert written.array.shape == image.shape
        found = read_labels((LabelFile(f"labelsTr/{name}.nii.gz"),), folders["demo_ct"], written)
        assert not found.resampled
        assert np.array_equal(found.array, labels)
        source = read_image(cohort / "ct" / name / "image.nii.gz", modality="CT")
        assert written.spacing == pytest.approx(source.spacing, rel=1e-4)
        assert written.affine[2, 3] == pytest.approx(source.affine[2, 3])
        other = sitk.ReadImage(str(folders["demo_ct"] / "imagesTr" / f"{name}_0001.nii.gz"))
        assert other.GetSize() == image.shape[::-1]
    cells = sitk.GetArrayFromImage(
        sitk.ReadImage(str(folders["demo_microscopy"] / "labelsTr" / "mic_01.nii.gz"))
    )
    assert set(np.unique(cells)) == {0, 1}


def test_a_folder_with_something_in_it_is_refused(exported: Exported, tmp_path: Path) -> None:
    (tmp_path / "old.txt").write_text("")
    for to in ("reference-png", "challenge-npz", "nnunet"):
        with pytest.raises(ExportError, match="not empty"):
            run(exported[0], "--to", to, "--out", tmp_path)


def test_usage_errors(exported: Exported, tmp_path: Path) -> None:
    assert CliRunner().invoke(app, ["export", str(exported[0]), "--to", "csv"]).exit_code == 2
    assert CliRunner().invoke(app, ["export", str(exported[0]), "--to", "nnunet"]).exit_code == 2
    with pytest.raises(LoadingError, match="no sample has dataset 'liver'"):
        run(exported[0], "--to", "nnunet", "--dataset", "liver", "--out", tmp_path / "x")


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the validator's own dependencies
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_croissant_validates_and_reads(exported: Exported, tmp_path: Path) -> None:
    mlcroissant = pytest.importorskip("mlcroissant")
    store_path = tmp_path / "demo.zarr"
    shutil.copytree(exported[0], store_path)
    run(store_path, "--to", "croissant")
    document = json.loads((store_path / "croissant.json").read_text())
    assert document["license"] == "Apache-2.0 (made by fve_pipeline)"
    assert {source["name"]: source["license"] for source in document["isBasedOn"]} == dict.fromkeys(
        ("demo_ct", "demo_npz", "demo_microscopy"), "Apache-2.0 (made by fve_pipeline)"
    )
    dataset = mlcroissant.Dataset(str(store_path / "croissant.json"))
    issues = dataset.metadata.ctx.issues
    assert not issues.errors
    assert len(issues.warnings) <= 1, issues.report()  # the date of publication is not ours to know
    store = open_store(store_path)
    records = list(dataset.records("index"))
    assert len(records) == len(store)
    assert [r["index/slice"] for r in records] == store.index.column("slice").to_pylist()
    assert records[0]["index/class_ids"] == store.index.column("class_ids")[0].as_py()
    classes = [record["classes/name"].decode() for record in dataset.records("classes")]
    assert classes == store.classes.column("name").to_pylist()
    run(store_path, "--to", "croissant")
    assert json.loads((store_path / "croissant.json").read_text()) == document


def test_exports_need_no_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import fve_pipeline.export.challenge, fve_pipeline.export.croissant, fve_pipeline.export.nnunet\n"
        "import fve_pipeline.export.reference_png, fve_pipeline.loading.sampler\n"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )


def test_two_classes_of_one_label_share_it() -> None:
    classes = [
        ClassEntry("d", 3, "kidney", (3,), prompts=("kidney",)),
        ClassEntry("d", 30, "kidney again", (3,), prompts=("the kidney",)),
        ClassEntry("d", 5, "both", (1, 2), prompts=("both",)),
    ]
    prompts, dropped = class_prompts(classes)
    assert prompts == {"3": ["kidney", "the kidney"], "instance_label": 0}
    assert dropped == ["both"]
    assert {label: one.name for label, one in _named(classes).items()} == {3: "kidney"}


def test_metadata_of_a_remote_store_want_a_file() -> None:
    done = CliRunner().invoke(app, ["export", "s3://bucket/a.zarr", "--to", "croissant"])
    assert done.exit_code == 2
    assert "give a local file" in done.output
