"""Exports of oblique scans lie on their sources: looked up in world coordinates with SimpleITK."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pyarrow as pa
import pytest
import SimpleITK as sitk
import store_maker as maker
import tiny
from command import run

from fve_pipeline.build.cases import Dataset
from fve_pipeline.catalog import load_catalog
from fve_pipeline.export.volumes import stored_runs, unplaced
from fve_pipeline.files.local import LocalFiles
from fve_pipeline.runtime.executor import Executor
from fve_pipeline.store.reader import open_store

GOLDEN = Path(__file__).parents[1] / "store" / "golden_v1"


def export(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    assert run(monkeypatch, "export", *arguments) == 0


def turned(degrees: tuple[float, float, float]) -> np.ndarray:
    """A rotation about x, then y, then z."""
    out = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        turn = np.eye(3)
        a, b = (n for n in range(3) if n != axis)
        turn[a, a] = turn[b, b] = np.cos(angle)
        turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
        out = turn @ out
    return out


def write_oblique(path: Path, zyx: np.ndarray, affine: np.ndarray) -> None:
    nib.save(nib.Nifti1Image(zyx.transpose(2, 1, 0), affine), path)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory, executor: Executor) -> tuple[Path, Path]:
    """A store of two oblique cases, one with its axes in another order and mirrored; and their folder."""
    root = tmp_path_factory.mktemp("oblique")
    (root / "tiny.toml").write_text(tiny.CATALOG)
    for number, (degrees, scale) in enumerate((((12, -7, 20), (-1, -1.5, 2)), ((-8, 15, 5), (1, 1.25, -2)))):
        affine = np.eye(4)
        affine[:3, :3] = turned(degrees) * scale
        affine[:3, 3] = (-31.5, 40.25, 17.75)
        if number:
            affine = affine[:, [1, 0, 2, 3]]
        image, labels = tiny.volume(number)
        for name, array in (("ct", image), ("seg", labels)):
            stored = array.transpose(0, 2, 1) if number else array
            write_oblique(root / f"c{number:02d}_{name}.nii.gz", stored, affine)
    datasets = [Dataset(load_catalog(root / "tiny.toml"), root)]
    tiny.build(datasets, root / "slices.zarr", executor, work=root / "work", settings=tiny.settings(size=32))
    return root / "slices.zarr", root


def at_source(written: sitk.Image, source: Path) -> float:
    """The share of the source's labelled voxels whose label is found at the same place of the world."""
    truth = sitk.ReadImage(str(source))
    array = sitk.GetArrayViewFromImage(truth)
    hits = []
    for z, y, x in np.argwhere(array):
        point = truth.TransformIndexToPhysicalPoint((int(x), int(y), int(z)))
        index = written.TransformPhysicalPointToContinuousIndex(point)
        assert np.abs(np.array(index) - np.rint(index)).max() < 1e-3  # on a voxel's centre
        hits.append(written[[round(i) for i in index]] == array[z, y, x])
    assert len(hits) > 100
    return float(np.mean(hits))


@pytest.mark.parametrize("case", ["c00", "c01"])
def test_nifti_and_nnunet_and_npz_lie_on_the_source(
    stored: tuple[Path, Path], tmp_path: Path, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, root = stored
    for to in ("nifti", "nnunet", "challenge-npz"):
        export(monkeypatch, store, "--to", to, "--out", tmp_path / to)
    [npz] = (tmp_path / "challenge-npz").rglob(f"{case}_soft_tissue.npz")
    with np.load(npz) as data:
        placed = sitk.GetImageFromArray(data["gts"])
        placed.SetSpacing(data["spacing"].tolist())
        placed.SetOrigin(data["origin"].tolist())
        placed.SetDirection(data["direction"].ravel().tolist())
    nnunet = tmp_path / "nnunet" / "nnUNet_raw" / "Dataset501_tiny" / "labelsTr" / f"{case}.nii.gz"
    nifti = tmp_path / "nifti" / "tiny" / case
    source = root / f"{case}_seg.nii.gz"
    for written in (placed, sitk.ReadImage(str(nnunet)), sitk.ReadImage(str(nifti / "labels.nii.gz"))):
        assert at_source(written, source) == 1
    image = sitk.ReadImage(str(nifti / "lung.nii.gz"))
    assert image.GetOrigin() == pytest.approx(sitk.ReadImage(str(nifti / "labels.nii.gz")).GetOrigin())
    assert {one["name"] for one in json.loads((tmp_path / "nifti" / "tiny" / "classes.json").read_text())} == {
        "box", "left ball", "both"
    }  # fmt: skip


def test_straight_is_to_be_had_by_name(
    stored: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, _ = stored
    export(monkeypatch, store, "--to", "nifti", "--out", tmp_path / "out", "--straight")
    written = sitk.ReadImage(str(tmp_path / "out" / "tiny" / "c00" / "labels.nii.gz"))
    assert written.GetDirection() == pytest.approx(np.eye(3).ravel())
    export(monkeypatch, store, "--to", "challenge-npz", "--out", tmp_path / "npz", "--straight")
    [first, *_] = (tmp_path / "npz").rglob("*.npz")
    with np.load(first) as data:
        assert set(data.files) == {"imgs", "gts", "spacing"}


def test_a_store_of_version_1_is_written_straight_and_says_so() -> None:
    store = open_store(GOLDEN)
    assert store.cases["affine"].to_pylist() == [None, None]
    runs = list(stored_runs(store))
    assert runs[0].affine.tolist() == np.array(
        [[0, 0, 1, 0], [0, 1, 0, 0], [2.5, 0, 0, 0], [0, 0, 0, 1]]
    ).tolist()  # fmt: skip
    [said] = unplaced(store, runs)
    assert said.startswith("2 cases, such as made/a, are written straight")


def test_what_a_store_of_version_1_grows_by_has_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "grown"
    shutil.copytree(GOLDEN, place)
    old = open_store(place)
    made, committed = maker.cases_table, open_store(place).cases
    monkeypatch.setattr(maker, "cases_table", lambda rows: pa.concat_tables([committed, made(rows).slice(2)]))
    rows = maker.plan({"a": 3, "b": 2, "c": 6})
    maker.build(LocalFiles(place), rows, maker.settings(), old.manifest)
    assert open_store(place).manifest.format_version == 2
    assert open_store(place).cases["case"].to_pylist() == ["made/a", "made/b", "made/c"]
    assert old.cases["case"].to_pylist() == ["made/a", "made/b"]  # opened before it grew
