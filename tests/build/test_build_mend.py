"""Files other than shards made again, byte for byte; and what cannot be, told with the reason."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import tiny

from fve_pipeline.build.repair import RepairSummary, repair_store
from fve_pipeline.runtime.executor import Executor
from fve_pipeline.runtime.progress import Silent
from fve_pipeline.runtime.resources import Resources
from fve_pipeline.store.reader import open_store
from fve_pipeline.store.verify import verify

DOCUMENTS = ["zarr.json", "images/zarr.json", "masks/zarr.json"]
TABLES = ["index.parquet", "cases.parquet", "classes.parquet"]


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_cohort(tmp_path_factory.mktemp("cohort"), 3)


@pytest.fixture(scope="module")
def built(sources: Path, tmp_path_factory: pytest.TempPathFactory, executor: Executor) -> Path:
    """A store of two commits; its work folder lies beside it."""
    folder = tmp_path_factory.mktemp("built")
    first = folder / "first"
    shutil.copytree(sources, first)
    for path in first.glob("c02*"):
        path.unlink()
    for root in (first, sources):
        tiny.build(tiny.datasets(root), folder / "slices.zarr", executor, work=folder / "slices.work")
    assert open_store(folder / "slices.zarr").manifest.generation == 2
    return folder / "slices.zarr"


@pytest.fixture
def damaged(built: Path, tmp_path: Path) -> Path:
    out = tmp_path / "slices.zarr"
    shutil.copytree(built, out)
    shutil.copytree(built.with_suffix(".work"), tmp_path / "slices.work")
    return out


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position % len(data)] ^= 1 << position % 7
    path.write_bytes(data)


def repair(
    out: Path, executor: Executor, root: Path | None = None, work: Path | None = None
) -> RepairSummary:
    roots = {} if root is None else {"": root}
    return repair_store(str(out), roots, work or out.with_suffix(".work"), Resources(executor, Silent()))


def contents(out: Path) -> dict[str, bytes]:
    return {key: data for key, data in tiny.bytes_of(out).items() if key != ".fve/lock"}


@pytest.mark.parametrize("key", [*DOCUMENTS, *TABLES])
@pytest.mark.parametrize("how", ["flipped", "missing"])
def test_one_file_is_made_again(built: Path, damaged: Path, executor: Executor, key: str, how: str) -> None:
    if how == "missing":
        (damaged / key).unlink()
    else:
        flip(damaged / key, 150)
    assert repair(damaged, executor) == RepairSummary((key,), (), ())
    assert contents(damaged) == contents(built)


def test_everything_at_once(built: Path, damaged: Path, executor: Executor) -> None:
    for place, key in enumerate([*DOCUMENTS, "cases.parquet", "classes.parquet", "images/c/1/0/0/0"]):
        flip(damaged / key, 99 + 3 * place)
    done = repair(damaged, executor)
    assert set(done.mended) == {*DOCUMENTS, "cases.parquet", "classes.parquet"}
    assert (done.repaired, done.left) == ((1,), ())
    assert contents(damaged) == contents(built)


def test_all_tables_of_a_store_of_one_build(tmp_path: Path, sources: Path, executor: Executor) -> None:
    out = tmp_path / "slices.zarr"
    tiny.build(tiny.datasets(sources), out, executor)
    before = contents(out)
    for key in TABLES:
        (out / key).unlink()
    assert set(repair(out, executor).mended) == set(TABLES)
    assert contents(out) == before


def test_a_flipped_hash_in_the_root_is_the_roots_damage(
    built: Path, damaged: Path, executor: Executor
) -> None:
    text = (damaged / "zarr.json").read_text()
    place = text.index("manifest_sha256") + 25
    (damaged / "zarr.json").write_text(
        text[:place] + ("0" if text[place] != "0" else "1") + text[place + 1 :]
    )
    assert repair(damaged, executor).mended == ("zarr.json",)
    assert contents(damaged) == contents(built)


def test_the_index_is_made_again_from_the_sources(
    built: Path, damaged: Path, sources: Path, tmp_path: Path, executor: Executor
) -> None:
    flip(damaged / "index.parquet", 400)
    assert repair(damaged, executor, root=sources, work=tmp_path / "new").mended == ("index.parquet",)
    assert contents(damaged) == contents(built)


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("index.parquet", "c00 is not prepared in .*give --root DIR"),
        ("cases.parquet", "what was found out about tiny/c00 is not in .*give --work DIR"),
        ("classes.parquet", "no finished prepare stage here"),
    ],
)
def test_what_cannot_be_made_again_is_told(
    damaged: Path, tmp_path: Path, executor: Executor, key: str, reason: str
) -> None:
    flip(damaged / key, 400)
    flip(damaged / "masks/c/0/0/0", 5)
    before = contents(damaged)
    done = repair(damaged, executor, work=tmp_path / "elsewhere")
    assert (done.mended, done.repaired) == ((), ())
    [left] = [finding for finding in done.left if finding.file == key]
    assert "not made again:" in left.problem
    assert re.search(reason, left.problem)
    assert "masks/c/0/0/0" in {finding.file for finding in done.left}
    assert contents(damaged) == before


def test_a_work_folder_of_another_build_changes_nothing(
    damaged: Path, tmp_path: Path, executor: Executor
) -> None:
    other = tiny.write_cohort(tmp_path / "other", 0)
    for number in range(3):
        tiny.write_case(other, f"c{number:02d}", 40 + number, (5 + number, 24, 20))
    tiny.build(tiny.datasets(other), tmp_path / "other.zarr", executor)
    for key in ("index.parquet", "cases.parquet"):
        flip(damaged / key, 400)
    before = contents(damaged)
    done = repair(damaged, executor, work=tmp_path / "other.work")
    assert done.mended == ()
    assert all("is not what was committed" in one.problem for one in done.left)
    assert contents(damaged) == before


def test_a_manifest_that_was_changed_is_told_and_believed_in_nothing(
    damaged: Path, executor: Executor
) -> None:
    text = (damaged / "manifest.json").read_text()
    (damaged / "manifest.json").write_text(text.replace("made here", "made there", 1))
    before = contents(damaged)
    done = repair(damaged, executor)
    assert done.mended == ()
    assert (done.left[0].file, "restore it from a copy" in done.left[0].problem) == ("manifest.json", True)
    assert contents(damaged) == before
    assert verify(open_store(damaged))
