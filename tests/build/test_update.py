"""Updates: what changed at the sources is in the store, as if it had been built so; the rest is untouched."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from disturbed import SerialExecutor
from rewritten import kills, rows

from fve_pipeline.build.digests import row_digests
from fve_pipeline.build.update import UpdateSummary, update_store, what_changed
from fve_pipeline.errors import BuildError, CatalogError, StoreFormatError
from fve_pipeline.runtime.resources import Resources
from fve_pipeline.store.diff import diff_stores
from fve_pipeline.store.reader import open_store
from fve_pipeline.store.verify import verify

RESOURCES = Resources(SerialExecutor())
SETTINGS = tiny.settings(views_rule="axial", size=16, shard_samples=4)


def build(root: Path, out: Path, **options: Any) -> None:
    settings = options.pop("settings", SETTINGS)
    tiny.build(tiny.datasets(root), out, RESOURCES.executor, settings=settings, **options)


def update(root: Path, folder: Path) -> UpdateSummary:
    return update_store(str(folder / "s.zarr"), tiny.datasets(root), folder / "s.work", RESOURCES)


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``root`` with eight cases, and a store of them."""
    folder = tmp_path_factory.mktemp("first")
    root = tiny.write_cohort(folder / "root", 8)
    build(root, folder / "s.zarr")
    return folder


@pytest.fixture
def live(first: Path, tmp_path: Path) -> Path:
    shutil.copytree(first, tmp_path, dirs_exist_ok=True)
    return tmp_path


def relabel(root: Path, name: str, seed: int) -> None:
    _, labels = tiny.volume(seed, (5 + int(name[1:]) % 3, 24, 20))
    tiny.write_nifti(root / f"{name}_seg.nii.gz", np.where(labels == 2, 1, labels).astype(np.uint8))


def equals_a_fresh_build(folder: Path, tmp_path: Path) -> None:
    """Same rows, same tables, whole; in the store's own order."""
    build(folder / "root", tmp_path / "fresh.zarr", work=tmp_path / "fresh.work")
    store, fresh = open_store(folder / "s.zarr"), open_store(tmp_path / "fresh.zarr")
    assert verify(store, deep=True) == []
    assert rows(store) == rows(fresh)
    assert sorted(map(repr, store.cases.to_pylist())) == sorted(map(repr, fresh.cases.to_pylist()))
    assert store.classes.equals(fresh.classes)
    diff = diff_stores(store, fresh)
    assert (diff.removed, diff.added, diff.changed, diff.voxels, diff.classes) == ([], [], {}, {}, {})


def everything(root: Path) -> None:
    """A label changed, an image changed in length, one new, one renamed, one vanished."""
    relabel(root, "c01", 5)
    tiny.write_case(root, "c03", 33, (9, 24, 20))
    tiny.write_case(root, "c20", 20, (6, 24, 20))
    for kind in ("ct", "seg"):
        (root / f"c05_{kind}.nii.gz").rename(root / f"d05_{kind}.nii.gz")
        (root / f"c02_{kind}.nii.gz").unlink()


def test_all_kinds_of_change_at_once(live: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    before = open_store(live / "s.zarr")
    was = rows(before)
    everything(live / "root")
    expected = {
        "labels": ["tiny/c01"],
        "image and labels": ["tiny/c03"],
        "new": ["tiny/c20"],
        "renamed": ["tiny/c05 -> tiny/d05"],
        "vanished": ["tiny/c02"],
    }
    bytes_before = tiny.bytes_of(live / "s.zarr")
    told, _ = what_changed(str(live / "s.zarr"), tiny.datasets(live / "root"), live / "s.work", RESOURCES)
    assert told.told() == expected
    assert tiny.bytes_of(live / "s.zarr") == bytes_before
    done = update(live / "root", live)
    assert done.cases == expected
    assert (done.generation, done.failures) == (2, ())
    equals_a_fresh_build(live, tmp_path_factory.mktemp("fresh"))
    (change,) = open_store(live / "s.zarr").manifest.history
    assert {reason: list(cases) for reason, cases in change.cases.items()} == expected
    # Whoever had it open goes on, and the generation can be opened.
    assert rows(before) == was
    assert rows(open_store(live / "s.zarr", generation=1)) == was
    # Nothing is left to do.
    assert update(live / "root", live).cases == {}
    assert open_store(live / "s.zarr").manifest.generation == 2


def test_changed_labels_cost_their_own_shards(live: Path) -> None:
    relabel(live / "root", "c02", 9)
    before = {key: os.stat(live / "s.zarr" / key).st_ino for key in tiny.bytes_of(live / "s.zarr")}
    done = update(live / "root", live)
    store = open_store(live / "s.zarr")
    held = np.flatnonzero(np.array(store.index.column("case").to_pylist()) == "tiny/c02")
    touched = set((held // 4).tolist())
    assert done.written == len(touched) < done.shards / 2
    for entry in store.manifest.shards:
        same = os.stat(live / "s.zarr" / entry.images.key).st_ino == before[entry.images.key]
        assert same == (entry.shard not in touched)


@pytest.mark.slow
def test_the_cost_is_the_same_without_what_a_build_left(live: Path, tmp_path: Path) -> None:
    """The folder of prepared cases may be gone: the rows' digests are then made from the store."""
    shutil.copytree(live, tmp_path / "other")
    shutil.rmtree(tmp_path / "other/s.work")
    relabel(live / "root", "c04", 1)
    relabel(tmp_path / "other/root", "c04", 1)
    assert update(live / "root", live) != ()
    update(tmp_path / "other/root", tmp_path / "other")
    assert tiny.bytes_of(live / "s.zarr") == tiny.bytes_of(tmp_path / "other/s.zarr")


def test_a_case_that_fails_stays_as_it_was(live: Path) -> None:
    was = rows(open_store(live / "s.zarr"))
    (live / "root/c01_seg.nii.gz").write_bytes(b"damage")
    relabel(live / "root", "c04", 1)
    done = update(live / "root", live)
    assert [failure.case for failure in done.failures] == ["tiny/c01"]
    assert done.cases == {"labels": ["tiny/c04"]}
    store = open_store(live / "s.zarr")
    now = rows(store)
    assert {key: now[key] for key in now if key[0] == "tiny/c01"} == {
        key: was[key] for key in was if key[0] == "tiny/c01"
    }
    (failure,) = store.manifest.failures
    assert failure.case == "tiny/c01"
    assert failure.reason.startswith("it stays as it was before: ")


@pytest.mark.slow
def test_a_prompt_that_changed_changes_the_classes_alone(live: Path) -> None:
    catalog = live / "root/tiny.toml"
    catalog.write_text(catalog.read_text().replace('name = "box"', 'name = "box", prompts = ["a box in CT"]'))
    relabel(live / "root", "c06", 2)
    assert update(live / "root", live).cases == {"labels": ["tiny/c06"]}
    assert open_store(live / "s.zarr").class_table.find("tiny", 1).prompts == ("a box in CT",)


@pytest.mark.slow
def test_a_class_that_changed_concerns_all_cases(live: Path, tmp_path: Path) -> None:
    catalog = live / "root/tiny.toml"
    catalog.write_text(catalog.read_text().replace("classes = [2]", "classes = [1]"))
    done = update(live / "root", live)
    assert {reason: len(cases) for reason, cases in done.cases.items()} == {"classes": 8}
    equals_a_fresh_build(live, tmp_path)


def test_a_catalog_that_needs_other_masks_is_refused(live: Path) -> None:
    catalog = live / "root/tiny.toml"
    catalog.write_text(
        catalog.read_text().replace("id = 9", "id = 9000").replace("ids = [1, 2]", "ids = [1, 2, 300]")
    )
    with pytest.raises(BuildError, match="declare ids that need uint16 now"):
        update(live / "root", live)


def test_a_wrong_folder_is_refused(live: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    shutil.copy(live / "root/tiny.toml", tmp_path / "empty")
    before = tiny.bytes_of(live)
    with pytest.raises(CatalogError, match="no image matches"):
        update(tmp_path / "empty", live)
    assert {k: v for k, v in tiny.bytes_of(live).items() if "lock" not in k} == {
        k: v for k, v in before.items() if "lock" not in k
    }


def test_damage_is_not_taken_over(live: Path) -> None:
    relabel(live / "root", "c01", 5)
    store = open_store(live / "s.zarr")
    held = store.index.column("case").to_pylist().index("tiny/c01")
    shard = live / "s.zarr" / store.manifest.shards[held // 4].images.key
    data = bytearray(shard.read_bytes())
    data[20] ^= 1
    shard.write_bytes(data)
    with pytest.raises(StoreFormatError):
        update(live / "root", live)


def test_an_append_after_an_update_keeps_what_it_replaces(live: Path) -> None:
    relabel(live / "root", "c01", 5)
    update(live / "root", live)
    second = rows(open_store(live / "s.zarr"))
    tiny.write_case(live / "root", "c30", 30)
    build(live / "root", live / "s.zarr")
    store = open_store(live / "s.zarr")
    assert [change.kind for change in store.manifest.history] == ["update", "append"]
    assert rows(open_store(live / "s.zarr", generation=2)) == second
    assert row_digests(live / "s.work", store, RESOURCES) == row_digests(live / "none", store, RESOURCES)


@pytest.mark.parametrize("storage", ["encoded", "slices"])
@pytest.mark.slow
def test_killed_anywhere(tmp_path: Path, storage: Any) -> None:
    """kill -9 before or after every seventh file operation, then once more: the bytes of an undisturbed update."""
    settings = tiny.settings(views_rule="axial", size=16, shard_samples=16, storage=storage)
    tiny.write_cohort(tmp_path / "base/root", 3)
    build(tmp_path / "base/root", tmp_path / "base/s.zarr", settings=settings)
    relabel(tmp_path / "base/root", "c00", 5)
    for kind in ("ct", "seg"):
        (tmp_path / f"base/root/c01_{kind}.nii.gz").unlink()
    kills(tmp_path, lambda folder: update(folder / "root", folder))
