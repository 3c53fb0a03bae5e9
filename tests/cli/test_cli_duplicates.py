"""fve duplicates on stores and scans: what is there twice is told, pictured and machine-readable."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tiny
from command import run
from scipy import ndimage

from fve_pipeline.runtime.executor import Executor


def write_scan(root: Path, name: str, image: np.ndarray) -> None:
    labels = np.zeros(image.shape, np.uint8)
    labels[2:4, 8:16, 8:16] = 1
    tiny.write_nifti(root / f"{name}_ct.nii.gz", image, (4.0, 2.0, 2.0))
    tiny.write_nifti(root / f"{name}_seg.nii.gz", labels, (4.0, 2.0, 2.0))


def cohort(root: Path) -> Path:
    """Three subjects, and the second once more: fewer slices, mirrored, in other values."""
    root.mkdir()
    (root / "tiny.toml").write_text(tiny.CATALOG)
    images = []
    for seed in range(3):
        field = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(24, 64, 64)), (1.5, 2, 2))
        images.append((40 + 90 * field / field.std()).astype(np.int16))
        write_scan(root, f"c{seed:02d}", images[-1])
    write_scan(root, "other", (images[1][6:20, :, ::-1] * 0.9 + 5).astype(np.int16))
    return root


@pytest.mark.parametrize("storage", ["encoded", "slices"])
def test_a_store_tells_what_is_there_twice(
    tmp_path: Path,
    executor: Executor,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    storage: str,
) -> None:
    root = cohort(tmp_path / "cohort")
    out = tmp_path / "s.zarr"
    tiny.build(tiny.datasets(root), out, executor, settings=tiny.settings(storage=storage, size=64))
    page = tmp_path / "page.html"
    words = ("duplicates", out, "--workers", "1")
    assert run(monkeypatch, *words, "--json", "--page", page) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["compared"] == 4
    (group,) = told["groups"]
    assert [case["case"] for case in group["cases"]] == ["tiny/c01", "tiny/other"]
    (pair,) = group["pairs"]
    assert pair["likeness"]["flipped"] == "x"
    text = page.read_text()
    assert text.count("<img") == 1
    assert "tiny/other" in text


def test_a_scan_with_hashes_does_as_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = cohort(tmp_path / "cohort")
    scan = ("scan", root / "tiny.toml", "--root", root, "--out", tmp_path / "scan", "--workers", "1")
    assert run(monkeypatch, *scan) == 0
    capsys.readouterr()
    assert run(monkeypatch, "duplicates", tmp_path / "scan", "--workers", "1") == 2
    assert "scan again with --hash" in capsys.readouterr().err
    assert run(monkeypatch, *scan, "--hash") == 0
    assert run(monkeypatch, "duplicates", tmp_path / "scan", "--workers", "1") == 1
    told = capsys.readouterr().out
    assert "one scan in 2 cases" in told
    assert "tiny/c01 and tiny/other" in told
    (root / "other_ct.nii.gz").unlink()
    assert run(monkeypatch, *scan, "--hash") == 0
    assert run(monkeypatch, "duplicates", tmp_path / "scan", "--workers", "1") == 0
    assert "no scan is there twice" in capsys.readouterr().out
