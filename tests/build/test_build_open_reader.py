"""Rows below N never change: a reader that was open during an append sees its own store."""

from __future__ import annotations

from pathlib import Path

import tiny

from fve_pipeline.build.cases import Dataset
from fve_pipeline.catalog import load_catalog
from fve_pipeline.runtime.executor import Executor
from fve_pipeline.store.reader import open_store
from fve_pipeline.store.verify import verify


def other_dataset(root: Path) -> Dataset:
    """A dataset with classes of its own, whose ids mean something else."""
    tiny.write_case(root, "o00", 7)
    text = tiny.CATALOG.replace('name = "tiny"', 'name = "other"').replace('name = "box"', 'name = "vessel"')
    (root / "other.toml").write_text(text)
    return Dataset(load_catalog(str(root / "other.toml")), root)


def test_an_append_leaves_a_reader_its_own_tables(tmp_path: Path, executor: Executor) -> None:
    first = tiny.datasets(tiny.write_cohort(tmp_path / "tiny", 2))
    (tmp_path / "other").mkdir()
    out = tmp_path / "slices.zarr"
    tiny.build(first, out, executor)
    expected = [getattr(open_store(out), name) for name in ("index", "cases", "classes")]
    reader, half_open = open_store(out), open_store(out)
    assert half_open.classes.equals(expected[2])

    tiny.write_case(tmp_path / "tiny", "c02", 2)
    # The new dataset is named first, and the old one has a new case.
    datasets = [other_dataset(tmp_path / "other"), *first]
    tiny.build(datasets, out, executor)

    for store in (reader, half_open):
        assert [store.index, store.cases, store.classes] == expected
        assert [entry.name for entry in store.class_table] == ["box", "left ball", "both"]
    now = open_store(out)
    assert now.index.slice(0, len(reader)).to_pylist() == expected[0].to_pylist()
    assert [now.cases.slice(0, 2), now.classes.slice(0, 3)] == expected[1:]
    assert [source.dataset for source in now.manifest.sources] == ["tiny", "other"]
    assert [entry.name for entry in now.class_table.of_dataset("other")] == ["vessel", "left ball", "both"]
    assert verify(now, deep=True) == []
