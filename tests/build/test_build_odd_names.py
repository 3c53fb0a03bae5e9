"""Odd names and links fail alone, on record, and never reach a terminal raw."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import tiny
from disturbed import SerialExecutor

from fve_pipeline.catalog import load_catalog
from fve_pipeline.errors import CatalogError
from fve_pipeline.runtime.text import printable
from fve_pipeline.store.reader import open_store
from fve_pipeline.store.verify import verify


def build(root: Path, out: Path) -> tuple[int, dict[str, str]]:
    """Cases built, and reasons of those that failed."""
    summary = tiny.build(tiny.datasets(root), out, SerialExecutor())
    return summary.cases, {failure.case: failure.reason for failure in summary.failures}


@pytest.mark.parametrize(
    ("name", "shown"),
    [(b"caf\xe9", "caf\\xe9"), (b"x\x1b[2K\ry", "x\\x1b[2K\\x0dy"), (b"two\nlines", "two\\x0alines")],
    ids=["latin-1", "escape", "newline"],
)
def test_a_name_that_is_no_text_fails_alone(tmp_path: Path, name: bytes, shown: str) -> None:
    root = tiny.write_cohort(tmp_path / "cohort", 2)
    for kind in ("ct", "seg"):
        source = os.fsencode(root / f"c01_{kind}.nii.gz")
        shutil.copy(source, os.fsencode(root) + b"/" + name + f"_{kind}.nii.gz".encode())
    cases, failed = build(root, tmp_path / "slices.zarr")
    assert cases == 2
    assert list(failed) == [f"tiny/{shown}"]
    assert "Rename it" in failed[f"tiny/{shown}"]
    assert all(printable(text) == text for text in (*failed, *failed.values()))
    store = open_store(tmp_path / "slices.zarr")
    assert verify(store, deep=True) == []
    assert [failure.case for failure in store.manifest.failures] == [f"tiny/{shown}"]


def test_a_link_to_itself_fails_alone(tmp_path: Path) -> None:
    root = tiny.write_cohort(tmp_path / "cohort", 2)
    (root / "loop_ct.nii.gz").symlink_to("loop_ct.nii.gz")
    shutil.copy(root / "c00_seg.nii.gz", root / "loop_seg.nii.gz")
    cases, failed = build(root, tmp_path / "slices.zarr")
    assert cases == 2
    assert list(failed) == ["tiny/loop"]


@pytest.mark.parametrize("table", ["../splits.csv", "/etc/splits.csv", "a/../../splits.csv"])
def test_a_table_outside_of_the_dataset_is_refused(tmp_path: Path, table: str) -> None:
    text = tiny.CATALOG + f'[split]\ntable = "{table}"\nkey = "case"\ncolumn = "split"\n'
    (tmp_path / "tiny.toml").write_text(text)
    with pytest.raises(CatalogError, match="must be a path relative to the dataset's root"):
        load_catalog(str(tmp_path / "tiny.toml"))


def test_a_class_with_a_control_character_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(tiny.CATALOG.replace('name = "box"', 'name = "box\\u001b[31m"'))
    with pytest.raises(CatalogError, match="it holds a control character"):
        load_catalog(str(tmp_path / "tiny.toml"))
