"""A scan says what a build would say, without preparing anything."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tiny
from typer.testing import CliRunner

from fve_pipeline.build.scan import SCAN_SCHEMA, ScanSummary, scan_datasets
from fve_pipeline.cli.main import app
from fve_pipeline.coreset import Pool, load_selection, select
from fve_pipeline.coreset.open import open_tables
from fve_pipeline.errors import BuildError
from fve_pipeline.runtime.executor import Executor
from fve_pipeline.runtime.progress import Silent
from fve_pipeline.store.reader import open_store


def _scan(root: Path, out: Path, executor: Executor, hashes: bool = False) -> ScanSummary:
    return scan_datasets(
        tiny.datasets(root),
        out,
        executor,
        Silent(),
        seed=0,
        val_fraction=0.1,
        test_fraction=0.0,
        hashes=hashes,
    )


def test_facts_are_those_of_a_build(tmp_path: Path, executor: Executor) -> None:
    root = tiny.write_cohort(tmp_path / "cohort", 6)
    summary = _scan(root, tmp_path / "scan", executor, hashes=True)
    assert summary.cases == 6
    scanned = open_tables(str(tmp_path / "scan"))
    tiny.build(tiny.datasets(root), tmp_path / "s.zarr", executor, work=tmp_path / "w")
    built = open_store(tmp_path / "s.zarr")
    for name in SCAN_SCHEMA.names:
        if name == "shown_sha256":
            continue  # a build knows the prepared pixels' instead
        assert scanned.cases.column(name).to_pylist() == built.cases.column(name).to_pylist(), name
    assert scanned.classes.to_pylist() == built.classes.to_pylist()


def test_same_scan_same_content_and_hashes_find_duplicates(tmp_path: Path, executor: Executor) -> None:
    root = tiny.write_cohort(tmp_path / "cohort", 4)
    for kind in ("ct", "seg"):
        (root / f"c09_{kind}.nii.gz").write_bytes((root / f"c01_{kind}.nii.gz").read_bytes())
    plain = _scan(root, tmp_path / "a", executor)
    assert _scan(root, tmp_path / "b", executor).content_id == plain.content_id
    assert Pool.of([open_tables(str(tmp_path / "a"))], splits=("train", "val")).duplicates == 0
    _scan(root, tmp_path / "a", executor, hashes=True)
    assert Pool.of([open_tables(str(tmp_path / "a"))], splits=("train", "val")).duplicates == 1


def test_a_case_that_a_build_would_refuse_is_named(tmp_path: Path, executor: Executor) -> None:
    root = tiny.write_cohort(tmp_path / "cohort", 3)
    image, labels = tiny.volume(0)
    tiny.write_nifti(root / "c01_seg.nii.gz", np.where(labels == 2, 77, labels).astype(np.uint8))
    (root / "c02_seg.nii.gz").write_bytes(b"not gzip")
    assert image.shape == labels.shape
    summary = _scan(root, tmp_path / "scan", executor)
    assert summary.cases == 1
    assert [failure.case for failure in summary.failures] == ["tiny/c01", "tiny/c02"]
    assert "label id 77" in summary.failures[0].reason
    assert str(tmp_path) not in summary.failures[1].reason
    with pytest.raises(BuildError, match="is not empty and holds no scan"):
        _scan(root, root, executor)


def test_scan_then_choose_then_build(tmp_path: Path) -> None:
    root = tiny.write_cohort(tmp_path / "cohort", 5)
    scan, chosen, out = (tmp_path / name for name in ("scan", "coreset.parquet", "s.zarr"))
    common = [str(root / "tiny.toml"), "--root", str(root), "--workers", "1"]
    runner = CliRunner()
    result = runner.invoke(app, ["scan", *common, "--out", str(scan), "--json"], catch_exceptions=False)
    assert json.loads(result.stdout)["cases"] == 5
    command = ["coreset", str(scan), "--cases", "2", "--out", str(chosen)]
    assert runner.invoke(app, command, catch_exceptions=False).exit_code == 0
    command = ["build", *common, "--only", str(chosen), "--out", str(out), "--size", "32", "--json"]
    assert runner.invoke(app, command, catch_exceptions=False).exit_code == 0
    assert set(open_store(out).cases.column("case").to_pylist()) == set(load_selection(chosen).case_ids)


def test_choosing_from_a_scan_without_intensities(tmp_path: Path, executor: Executor) -> None:
    root = tiny.write_cohort(tmp_path / "cohort", 5)
    _scan(root, tmp_path / "scan", executor)
    pool = Pool.of([open_tables(str(tmp_path / "scan"))])
    for method in ("facility", "kcenter", "herding"):
        assert len(select(pool, method=method, cases=2)) == 2
