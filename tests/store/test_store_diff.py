"""``fve diff`` on stores that were built from files: the same, extended, corrected, made otherwise."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import tiny
from command import run

from fve_pipeline.runtime.executor import Executor
from fve_pipeline.store.diff import StoreDiff, diff_stores
from fve_pipeline.store.reader import open_store


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, executor: Executor) -> Path:
    """Stores of three cases: `base`; `plain` with another storage; `fixed`, where one is corrected, gone, new."""
    folder = tmp_path_factory.mktemp("diff")
    root = tiny.write_cohort(folder / "cohort", 3)
    build(root, folder / "base", executor)
    build(root, folder / "plain", executor, storage="slices")
    image, labels = tiny.volume(1, (6, 24, 20))
    labels[2, 5:7, 5:7] = 2
    tiny.write_nifti(root / "c01_seg.nii.gz", labels)
    for path in root.glob("c00_*"):
        path.unlink()
    tiny.write_case(root, "c09", 9)
    text = (root / "tiny.toml").read_text()
    (root / "tiny.toml").write_text(text.replace('name = "box" }', 'name = "box", prompts = ["a box"] }'))
    build(root, folder / "fixed", executor)
    assert image.any()
    return folder


def build(root: Path, out: Path, executor: Executor, **settings: Any) -> None:
    tiny.build(
        tiny.datasets(root),
        out / "slices.zarr",
        executor,
        work=out / "work",
        settings=tiny.settings(**settings),
    )


def diff(folder: Path, first: str, second: str) -> StoreDiff:
    return diff_stores(*(open_store(folder / name / "slices.zarr") for name in (first, second)))


def test_a_copy_does_not_differ(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "base" / "slices.zarr", tmp_path / "copy.zarr")
    found = diff_stores(open_store(folder / "base" / "slices.zarr"), open_store(tmp_path / "copy.zarr"))
    assert found.same


def test_the_same_content_in_another_form(folder: Path) -> None:
    found = diff(folder, "base", "plain")
    assert found.content[0] == found.content[1]
    assert found.settings == {"storage": ("encoded", "slices")}
    held = (found.changed, found.removed, found.added, found.classes, found.voxels, found.order)
    assert not any(held)
    assert not found.same


def test_what_was_corrected_taken_out_and_added(folder: Path) -> None:
    found = diff(folder, "base", "fixed")
    assert (found.removed, found.added) == (["tiny/c00"], ["tiny/c09"])
    assert list(found.changed) == ["tiny/c01"]
    what = found.changed["tiny/c01"]
    _, before = tiny.volume(1, (6, 24, 20))
    assert what["voxels of class 2"] == (int((before == 2).sum()), int((before == 2).sum()) + 4)
    assert "labels_sha256" in what
    assert "pixels_sha256" not in what
    ((name, differing),) = found.classes.items()
    assert (name, list(differing)) == ("tiny/1", ["prompts"])
    assert differing["prompts"][1] == ["a box"]
    back = diff(folder, "fixed", "base")
    assert (back.removed, back.added) == (found.added, found.removed)
    assert back.changed["tiny/c01"]["voxels of class 2"] == what["voxels of class 2"][::-1]
    total = sum(int((tiny.volume(n, (5 + n % 3, 24, 20))[1] == 2).sum()) for n in range(3))
    assert found.voxels["tiny/2"][0] == total


def test_the_command(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    base, fixed = (folder / name / "slices.zarr" for name in ("base", "fixed"))
    assert run(monkeypatch, "diff", base, base) == 0
    assert "nothing differs" in capsys.readouterr().out
    assert run(monkeypatch, "diff", base, fixed) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert "1 cases only in" in said
    assert "tiny/c01: labels_sha256" in said
    assert run(monkeypatch, "diff", base, fixed, "--json") == 1
    assert json.loads(capsys.readouterr().out)["added"] == ["tiny/c09"]
    assert run(monkeypatch, "diff", base, folder) == 2
