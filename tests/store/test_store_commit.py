"""The commit: killed anywhere and finished, it gives the bytes of an undisturbed one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import store_maker as maker

from fve_pipeline.errors import StoreError, StoreFormatError
from fve_pipeline.files.local import LocalFiles
from fve_pipeline.store.commit import restore_shards
from fve_pipeline.store.layout import staged_shard
from fve_pipeline.store.migrations import read_manifest
from fve_pipeline.store.pending import recover
from fve_pipeline.store.reader import open_store
from fve_pipeline.store.verify import verify

SETTINGS = maker.settings()
FIRST = maker.plan({"a": 5, "b": 6})
SECOND = maker.plan({"a": 5, "b": 6, "c": 7})
OTHER = maker.plan({"d": 3})


def tree(root: Path) -> dict[str, bytes | None]:
    """Every file's bytes, and every folder, by relative path."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes() if path.is_file() else None
        for path in sorted(root.rglob("*"))
    }


def test_the_bytes_do_not_depend_on_the_order_of_tasks(tmp_path: Path) -> None:
    for name, order in (("a", [0, 1, 2]), ("b", [2, 0, 1])):
        files = LocalFiles(tmp_path / name)
        for shard in order:
            maker.build_shard(files, "1", FIRST, shard, SETTINGS, None)
        maker.build(files, FIRST, SETTINGS)
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


def test_append_keeps_the_rows_and_what_an_open_reader_sees(tmp_path: Path) -> None:
    files = LocalFiles(tmp_path)
    maker.build(files, FIRST, SETTINGS)
    early = open_store(tmp_path)
    before = early.read_images(0, 11)
    tail = (tmp_path / "images/c/2/0/0/0").read_bytes()
    maker.build(files, SECOND, SETTINGS, early.manifest)
    late = open_store(tmp_path)
    assert (len(early), len(late)) == (11, 18)
    assert (early.images.shape, early.index.num_rows, early.cases.num_rows) == ((11, 16, 16, 3), 11, 2)
    assert (early.images[...] == before).all()
    assert (late.read_images(0, 11) == before).all()
    # The committed chunks were taken over as they were.
    chunks = len(tail) - 4 - 16 * SETTINGS.shard_samples
    assert (tmp_path / "images/c/2/0/0/0").read_bytes()[:chunks] == tail[:chunks]
    assert verify(late, deep=True) == []


def test_content_id_is_of_the_rows_alone(tmp_path: Path) -> None:
    grown, whole, lazy, small = (LocalFiles(tmp_path / name) for name in "abcd")
    first = maker.build(grown, FIRST, SETTINGS)
    appended = maker.build(grown, SECOND, SETTINGS, first)
    ids = [
        appended.content_id,
        maker.build(whole, SECOND, SETTINGS).content_id,
        maker.build(lazy, SECOND, maker.settings(storage="slices", codec="zstd")).content_id,
        maker.build(small, SECOND, maker.settings(shard_samples=3)).content_id,
    ]
    assert len(set(ids)) == 1
    assert first.content_id != appended.content_id


def test_overwrite_leaves_nothing_of_the_old_store(tmp_path: Path) -> None:
    files, fresh = LocalFiles(tmp_path / "a"), LocalFiles(tmp_path / "b")
    maker.build(files, SECOND, SETTINGS)
    maker.build(files, OTHER, maker.settings(storage="slices"))
    maker.build(fresh, OTHER, maker.settings(storage="slices"))
    ours, theirs = tree(files.root), tree(fresh.root)
    assert verify(open_store(files.root), deep=True) == []
    # The manifest counts the commits, and the root names its sum; the rest is as if it had been the first.
    assert {key for key in ours.keys() | theirs.keys() if ours.get(key) != theirs.get(key)} == {
        "manifest.json",
        "zarr.json",
    }
    assert read_manifest(files).generation == 2


def test_a_task_that_outlives_its_client_changes_nothing(tmp_path: Path) -> None:
    files = LocalFiles(tmp_path)
    maker.build_shard(files, "1", SECOND, 0, SETTINGS, None)  # of a build that was given up
    maker.build(files, FIRST, SETTINGS)
    committed = {key: data for key, data in tree(tmp_path).items() if not key.startswith(".fve")}
    maker.build_shard(files, "1", SECOND, 1, SETTINGS, None)  # its last task ends only now
    now = {key: data for key, data in tree(tmp_path).items() if not key.startswith(".fve")}
    assert now == committed
    assert verify(open_store(tmp_path), deep=True) == []


def test_a_late_task_with_another_plan_cannot_touch_what_is_staged(tmp_path: Path) -> None:
    files = LocalFiles(tmp_path)
    maker.stage(files, FIRST, SETTINGS)
    maker.build_shard(files, "1", OTHER, 0, SETTINGS, None)
    maker.build(files, FIRST, SETTINGS)
    assert verify(open_store(tmp_path), deep=True) == []


def test_receipts_are_trusted_only_with_their_files_and_plan(tmp_path: Path) -> None:
    files = LocalFiles(tmp_path)
    receipts = maker.stage(files, FIRST, SETTINGS)
    hashes = {shard: receipt.plan_hash for shard, receipt in receipts.items()}
    assert maker.read_receipts(files, "1", hashes) == receipts
    assert maker.read_receipts(files, "2", hashes) == {}
    assert maker.read_receipts(files, "1", dict.fromkeys(hashes, "f" * 64)) == {}
    (tmp_path / receipts[0].masks.key).write_bytes(b"short")
    (tmp_path / receipts[1].images.key).unlink()
    assert set(maker.read_receipts(files, "1", hashes)) == {2}


def test_a_commit_without_all_rows_is_refused(tmp_path: Path) -> None:
    files = LocalFiles(tmp_path)
    receipts = maker.stage(files, FIRST, SETTINGS)
    (tmp_path / receipts[1].images.key).unlink()
    with pytest.raises(StoreError, match="is gone"):
        maker.publish(files, FIRST, SETTINGS, receipts)
    del receipts[1]
    with pytest.raises(StoreError, match="do not hold rows 0 to 11"):
        maker.publish(files, FIRST, SETTINGS, receipts)
    with pytest.raises(StoreError, match="not finished"):
        open_store(tmp_path)


def test_restoring_a_damaged_shard(tmp_path: Path) -> None:
    files = LocalFiles(tmp_path)
    manifest = maker.build(files, FIRST, SETTINGS)
    before = tree(tmp_path)
    (tmp_path / "images/c/1/0/0/0").write_bytes(b"damage")
    wrong = maker.build_shard(files, "2", SECOND[1:], 1, SETTINGS, None)
    with pytest.raises(StoreFormatError, match="not the committed"):
        restore_shards(files, "2", [(manifest.shards[1], wrong)])
    right = maker.build_shard(files, "2", FIRST, 1, SETTINGS, None)
    restore_shards(files, "2", [(manifest.shards[1], right)])
    assert tree(tmp_path) == before


def test_recover_without_a_commit_keeps_what_is_staged(tmp_path: Path) -> None:
    files = LocalFiles(tmp_path)
    receipt = maker.build_shard(files, "1", FIRST, 0, SETTINGS, None)
    assert recover(files) is None
    assert files.exists(staged_shard("1", "images", 0, receipt.plan_hash))


@pytest.mark.parametrize("scenario", ["new", "append", "overwrite", "update"])
def test_killed_at_every_step(tmp_path: Path, scenario: str) -> None:
    """kill -9 before, in and after each file operation of a commit; see kill_commit.py."""
    script = Path(__file__).parents[1] / "helpers" / "kill_commit.py"
    done = subprocess.run(
        [sys.executable, script, scenario, tmp_path], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    kills = int(done.stdout.split()[-2])
    assert kills > 40  # it did die at many different places
