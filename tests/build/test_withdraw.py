"""Withdrawals: nothing of a case is left, and a search over every byte says so."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tiny
from disturbed import DONE, KILLED, Disturbance, SerialExecutor, disturbed
from hypothesis import given
from hypothesis import strategies as st

from fve_pipeline.build.byte_search import ANCHOR, Needles, search_bytes
from fve_pipeline.build.update import update_store
from fve_pipeline.build.withdraw import Asked, Withdrawal, withdraw
from fve_pipeline.build.withdraw_report import withdrawal_report
from fve_pipeline.errors import BuildError
from fve_pipeline.runtime.resources import Resources
from fve_pipeline.store.reader import Store, open_store
from fve_pipeline.store.verify import verify

RESOURCES = Resources(SerialExecutor())
SETTINGS = tiny.settings(views_rule="axial", size=16, shard_samples=4)
LONG = "patient-20417"


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of five cases that was updated once, with a selection and a report beside it."""
    folder = tmp_path_factory.mktemp("first")
    root = tiny.write_cohort(folder / "root", 4)
    tiny.write_case(root, LONG, 9)
    datasets = tiny.datasets(root)
    tiny.build(datasets, folder / "s/s.zarr", RESOURCES.executor, settings=SETTINGS)
    tiny.write_case(root, LONG, 10)  # so that two generations hold it, each with its own pixels
    update_store(str(folder / "s/s.zarr"), datasets, folder / "s/s.work", RESOURCES)
    cases = [f"tiny/{LONG}", "tiny/c01"]
    pq.write_table(pa.table({"case": cases, "reason": ["a", "b"]}), folder / "s/coreset.parquet")
    (folder / "s/report.html").write_text(f"<p>{LONG}</p>")
    (folder / "s/other.html").write_text("<p>c01</p>")
    return folder


@pytest.fixture
def live(first: Path, tmp_path: Path) -> Path:
    shutil.copytree(first, tmp_path, dirs_exist_ok=True)
    return tmp_path / "s"


def take_out(folder: Path, *, purge: bool = True, **who: Any) -> Withdrawal:
    asked = Asked(**who or {"subjects": frozenset({f"tiny/{LONG}"})})
    return withdraw(str(folder / "s.zarr"), asked, folder / "s.work", RESOURCES, purge=purge)


def pixels(store: Store) -> dict[tuple[Any, ...], bytes]:
    rows = store.index.select(["case", "rendition", "view", "slice"]).to_pylist()
    return {tuple(row.values()): store.sample(n)[0].tobytes() for n, row in enumerate(rows)}


def test_nothing_is_left(live: Path) -> None:
    before = pixels(open_store(live / "s.zarr"))
    done = take_out(live)
    assert [row["case"] for row in done.cases] == [f"tiny/{LONG}"]
    assert (done.hits, done.kept, done.pruned) == ((), (), (1, 2))
    assert done.chunks > 10
    assert done.files > 20
    store = open_store(live / "s.zarr")
    assert verify(store, deep=True) == []
    assert pixels(store) == {key: data for key, data in before.items() if key[0] != f"tiny/{LONG}"}
    assert [(change.kind, change.withdrawn) for change in store.manifest.history][-1] == ("withdraw", 1)
    assert pq.read_table(live / "coreset.parquet").column("case").to_pylist() == ["tiny/c01"]
    assert [path.name for path in done.removed] == ["report.html"]
    assert (live / "other.html").exists()
    for path in live.rglob("*"):
        assert LONG not in path.name
        assert path.is_dir() or LONG.encode() not in path.read_bytes()


def test_without_purge_the_generation_before_still_holds_it(live: Path) -> None:
    done = take_out(live, purge=False)
    assert (done.hits, done.kept) == (None, (1, 2))
    assert f"tiny/{LONG}" in open_store(live / "s.zarr", generation=2).cases.column("case").to_pylist()
    assert f"tiny/{LONG}" not in open_store(live / "s.zarr").cases.column("case").to_pylist()
    # Purged later, by the same name.
    again = take_out(live)
    assert (again.hits, again.kept, again.rows) == ((), (), 0)


def test_what_still_names_it_is_found(live: Path) -> None:
    """The search is no formality: what is left is found, wherever it is."""
    index = open_store(live / "s.zarr").index.column("case").to_pylist()
    row = index.index(f"tiny/{LONG}") + 2
    chunk = bytes(open_store(live / "s.zarr").pixel_rows.encoded(row))
    (live / "leftover.bin").write_bytes(b"x" * 5000 + chunk + b"y" * 77)
    (live / "notes.txt").write_text(f"see {LONG}_ct.nii.gz")
    pq.write_table(pa.table({"who": [LONG]}), live / "scores.parquet")
    hits = take_out(live).hits
    assert hits is not None
    assert {(Path(hit.file).name, hit.what) for hit in hits} >= {
        ("leftover.bin", "a chunk"),
        ("notes.txt", "the path of a source"),
        ("scores.parquet", "the name of a case"),
    }
    assert {Path(hit.file).name for hit in hits} == {"leftover.bin", "notes.txt", "scores.parquet"}


def test_the_report_names_nobody(live: Path) -> None:
    text = withdrawal_report("s.zarr", take_out(live), ["Checkpoint a.pt: trained on 1 of the cases"])
    assert LONG not in text
    assert "Found: nothing." in text
    assert "Older generations removed: 1, 2" in text
    assert "Checkpoint a.pt" in text
    assert text.count("Signed off by") == 1


def test_a_data_set_that_is_all_there_is_cannot_go(live: Path) -> None:
    with pytest.raises(BuildError, match="no case would be left"):
        take_out(live, datasets=frozenset({"tiny"}))


def test_a_name_that_is_nobodys_is_refused(live: Path) -> None:
    before = all_bytes(live / "s.zarr")
    with pytest.raises(BuildError, match=f"'{LONG}' is in the store under no such name.*mean tiny/{LONG}"):
        take_out(live, subjects=frozenset({LONG, "tiny/c01"}))
    assert all_bytes(live / "s.zarr") == before


@pytest.mark.slow
def test_killed_anywhere(live: Path, tmp_path: Path) -> None:
    shutil.copytree(live, tmp_path / "undisturbed")
    take_out(tmp_path / "undisturbed")
    expected = all_bytes(tmp_path / "undisturbed")
    folder, step = tmp_path / "killed", 0
    while True:
        shutil.copytree(live, folder)
        outcome = disturbed(lambda: take_out(folder), Disturbance(step), tmp_path / "note")
        if outcome.kind == DONE:
            break
        assert outcome.kind == KILLED, outcome.message
        assert verify(open_store(folder / "s.zarr")) == []
        left = any(LONG.encode() in d for key, d in all_bytes(folder).items() if "/generations/" not in key)
        pruning = any((folder / "s.zarr/.fve" / name).exists() for name in ("generations", "finished.json"))
        if left or pruning:
            try:
                assert take_out(folder).hits == ()
            except BuildError as error:  # it was gone already, but for pieces that nothing names
                assert not left
                assert "in the store under no such name" in str(error)  # noqa: PT017
        assert all_bytes(folder) == expected, f"killed at step {step}"
        shutil.rmtree(folder)
        step += 9
    assert step > 60


def all_bytes(folder: Path) -> dict[str, bytes]:
    return {key: data for key, data in tiny.bytes_of(folder).items() if not key.endswith(".fve/lock")}


@given(
    st.binary(min_size=0, max_size=300), st.lists(st.binary(min_size=16, max_size=16), max_size=4), st.data()
)
def test_chunks_are_found_at_any_byte(noise: bytes, anchors: list[bytes], data: st.DataObject) -> None:
    text = noise
    for anchor in anchors:
        at = data.draw(st.integers(0, len(text)))
        text = text[:at] + anchor + text[at:]
    expected = {at for at in range(len(text) - ANCHOR + 1) if text[at : at + ANCHOR] in set(anchors)}
    hits = search_bytes("a.bin", text, Needles({}, frozenset(anchors)))
    assert {int(hit.where.split()[1]) for hit in hits} == expected


def test_a_chunk_across_two_pieces_is_found() -> None:
    anchor = bytes(range(1, 17))
    noise = np.zeros((1 << 22) - 7, np.uint8).tobytes()
    assert len(search_bytes("a.bin", noise + anchor + noise, Needles({}, frozenset({anchor})))) == 1


def test_words_are_whole() -> None:
    needles = Needles({"c01": "case", "patient-20417": "subject"}, frozenset())
    found = [hit.what for hit in search_bytes("a.txt", b"c011 xc01 c01_ct patient-204170", needles)]
    assert found == ["case"]
    assert search_bytes("a.bin", b" c01 ", needles) == []
    assert [hit.what for hit in search_bytes("a.bin", b"\0patient-20417\0", needles)] == ["subject"]
