"""Prediction by a catalog sees the image that a build by it saw."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from command import run

from fve_pipeline.prediction import pictures
from fve_pipeline.prediction.settings import SliceSettings
from fve_pipeline.prediction.sources import find_sources
from fve_pipeline.volume import read_image

CATALOG = """\
name = "mine"
modality = "MR"
licence = "CC0"
citation = "made here"
{more}
classes = [{{ id = 1, name = "liver" }}]
[layout]
images = "{images}"
labels = "{labels}"
"""


def write_catalog(path: Path, images: str, labels: str, more: str = "", end: str = "") -> Path:
    path.write_text(CATALOG.format(images=images, labels=labels, more=more) + end)
    return path


def described(out: Path, name: str) -> str:
    report: dict[str, Any] = json.loads((out / f"{name}.json").read_text())
    return str(report["decision"])


@pytest.mark.parametrize("ending", ["npz", "h5"])
def test_the_images_array_and_percentiles_are_the_catalogs(
    tmp_path: Path, image: np.ndarray, weights: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    scan, truth = image.astype(np.float32) - 90, np.ones(image.shape, np.uint8)
    if ending == "npz":
        np.savez(tmp_path / "a.npz", t2=scan, mask=truth, spacing=np.ones(3))
    else:
        h5py = pytest.importorskip("h5py")
        with h5py.File(tmp_path / "a.h5", "w") as file:
            file["t2"], file["mask"] = scan, truth
    layout = 'image_member = "t2"\nlabel_member = "mask"\n'
    catalog = write_catalog(
        tmp_path / "mine.toml", f"{{case}}.{ending}", "{image}", 'percentiles_over = "all"', layout
    )
    out = tmp_path / "out"
    assert (
        run(monkeypatch, "predict", tmp_path, "--catalog", catalog, "--weights", weights, "--out", out) == 0
    )
    assert "percentiles 0.5 and 99.5 of all voxels" in described(out, "a")
    if ending == "h5":
        assert read_image(out / "a.nii.gz").shape == image.shape
    # Without the catalog's word, the array is not to be found.
    ask = ("--prompts", "liver", "--modality", "MR")
    assert (
        run(
            monkeypatch,
            "predict",
            tmp_path / f"a.{ending}",
            "--weights",
            weights,
            "--out",
            tmp_path / "b",
            *ask,
        )
        == 2
    )


def test_a_rendition_with_files_of_its_own_is_predicted_from_them(
    tmp_path: Path, image: np.ndarray, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    for name, factor in (("a_t1", 1), ("a_t2", 3), ("a_seg", 0)):
        nibabel.save(nibabel.Nifti1Image(image.astype(np.int16) * factor, np.eye(4)), root / f"{name}.nii.gz")
    renditions = '[[renditions]]\nname = "t1"\n[[renditions]]\nname = "t2"\nimage = "{case}_t2.nii.gz"\n'
    catalog = write_catalog(tmp_path / "mine.toml", "{case}_t1.nii.gz", "{case}_seg.nii.gz", end=renditions)
    highest = {}
    for rendition in ("t1", "t2"):
        out = tmp_path / rendition
        ask = ("--catalog", catalog, "--rendition", rendition, "--weights", weights)
        assert run(monkeypatch, "predict", root, "--out", out, *ask) == 0
        (written,) = out.glob("*.nii.gz")
        assert written.name == f"a_{rendition}.nii.gz"
        highest[rendition] = float(described(out, f"a_{rendition}").split(" to ")[1].split(" ")[0])
    assert highest["t2"] == pytest.approx(3 * highest["t1"], rel=0.02)


def test_all_renditions_in_one_call_each_with_its_classes(
    tmp_path: Path,
    image: np.ndarray,
    weights: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    for name, factor in (("a_t1", 1), ("a_t2", 3), ("a_seg", 0)):
        nibabel.save(nibabel.Nifti1Image(image.astype(np.int16) * factor, np.eye(4)), root / f"{name}.nii.gz")
    end = (
        '[[renditions]]\nname = "t1"\nclasses = [1]\n'
        '[[renditions]]\nname = "t2"\nimage = "{case}_t2.nii.gz"\nclasses = [2, 3]\n'
    )
    catalog = write_catalog(tmp_path / "mine.toml", "{case}_t1.nii.gz", "{case}_seg.nii.gz", end=end)
    text = catalog.read_text().replace(
        'classes = [{ id = 1, name = "liver" }]',
        'classes = [{ id = 1, name = "liver" }, { id = 2, name = "spleen" }, { id = 3, name = "aorta" }]',
    )
    catalog.write_text(text)
    ask = ("--catalog", catalog, "--weights", weights)
    assert run(monkeypatch, "predict", root, "--out", tmp_path / "out", *ask) == 0
    assert [path.name for path in sorted((tmp_path / "out").glob("*.nii.gz"))] == ["a_t1.nii.gz"]
    report = json.loads((tmp_path / "out" / "a_t1.json").read_text())
    assert [one["id"] for one in report["classes"]] == [1, 2, 3]
    t1, t2 = report["decision"].split("; t2: ")
    assert t1.startswith("t1: MR: percentiles")
    assert float(t2.split(" to ")[1].split(" ")[0]) > 2 * float(t1.split(" to ")[1].split(" ")[0])
    shown = report["made_by"]["request"]["shown"]
    assert [(one["intensity"]["rendition"], one["places"]) for one in shown] == [("t1", [0]), ("t2", [1, 2])]
    # A file alone does not say where its other rendition lies.
    assert run(monkeypatch, "predict", root / "a_t1.nii.gz", "--out", tmp_path / "b", *ask) == 2
    assert "rendition 't2' has files of its own" in " ".join(capsys.readouterr().err.split())


def test_windows_of_one_file_are_read_once(
    tmp_path: Path, image: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        nibabel.save(nibabel.Nifti1Image(image.astype(np.int16), np.eye(4)), tmp_path / f"{name}.nii.gz")
    reads: list[str] = []
    monkeypatch.setattr(
        pictures, "read_image", lambda path, **how: reads.append(path.name) or read_image(path, **how)
    )
    (source, _) = find_sources([tmp_path])
    source = replace(source, images=(("own", tmp_path / "b.nii.gz"),))
    ways = [
        pictures.Intensity(modality="CT", window=window, rendition=name)
        for name, window in (("soft", "soft_tissue"), ("lung", "lung"), ("own", "bone"))
    ]
    settings = SliceSettings(1, "repeat", "opencv", 64)
    found = pictures.open_pictures(source, ways, settings)
    assert reads == ["a.nii.gz", "b.nii.gz"]
    for way, picture in zip(ways, found, strict=True):
        (alone,) = pictures.open_pictures(source, [way], settings)
        np.testing.assert_array_equal(picture.image, alone.image)
    assert len({picture.image.tobytes() for picture in found}) == 3


def test_what_a_catalog_says_is_scaled_is_scaled_in_each_rendition(
    tmp_path: Path, image: np.ndarray, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    np.savez(tmp_path / "a.npz", imgs=image.astype(np.int16) % 256, gts=image * 0, spacing=np.ones(3))
    end = '[[renditions]]\nname = "plain"\n'
    catalog = write_catalog(tmp_path / "mine.toml", "{case}.npz", "{image}", "scaled = true", end)
    out = tmp_path / "out"
    assert (
        run(monkeypatch, "predict", tmp_path, "--catalog", catalog, "--weights", weights, "--out", out) == 0
    )
    assert "declared as scaled" in described(out, "a")
