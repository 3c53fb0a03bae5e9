"""Updates and withdrawals of stores whose labels overlap and whose cases have sentences."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from disturbed import SerialExecutor
from rewritten import kills

from fve_pipeline.build.cases import Dataset
from fve_pipeline.build.repair import repair_store
from fve_pipeline.build.update import UpdateSummary, update_store, what_changed
from fve_pipeline.build.withdraw import Asked, Withdrawal, withdraw
from fve_pipeline.catalog.load import parse_catalog
from fve_pipeline.errors import BuildError
from fve_pipeline.runtime.resources import Resources
from fve_pipeline.store.reader import Store, open_store
from fve_pipeline.store.verify import verify

RESOURCES = Resources(SerialExecutor())
SHAPE = (3, 14, 12)
FINDINGS = '[findings]\ntable = "findings.csv"\nmask = "mask"\ncomplete = true\n'
CATALOG = (
    """
name = "reports"
modality = "CT"
licence = "made here"
citation = "made here"
classes = [{ id = 1, name = "heart", file = "heart" }, { id = 2, name = "atrium", file = "atrium" }]
[layout]
images = "{case}_ct.nii.gz"
labels = "{case}_{class}.nii.gz"
"""
    + FINDINGS
    + """
[[renditions]]
name = "soft_tissue"
window = "soft_tissue"
[[renditions]]
name = "lung"
window = "lung"
classes = [1]
"""
)
# How many findings each case has: the third is c4's alone.
CASES = {"c0": 0, "c1": 1, "c2": 2, "c3": 1, "c4": 3}


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)


def write_case(root: Path, name: str, findings: int, seed: int) -> None:
    """Classes that overlap each other and the findings, which overlap one another too."""
    rng = np.random.default_rng(seed)
    tiny.write_nifti(root / f"{name}_ct.nii.gz", rng.integers(-200, 200, SHAPE, dtype=np.int16))
    for label in ("heart", "atrium", *map(str, range(findings))):
        tiny.write_nifti(root / f"{name}_{label}.nii.gz", (rng.random(SHAPE) < 0.3).astype(np.uint8))


def write_findings(root: Path, cases: dict[str, int], said: str = "Nodule {} of {}, 5 mm") -> None:
    with (root / "findings.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["case", "text", "mask"])
        writer.writerows(
            (case, said.format(number, case), f"{case}_{number}.nii.gz")
            for case, count in cases.items()
            for number in range(count)
        )


def datasets(root: Path, text: str = CATALOG) -> list[Dataset]:
    return [Dataset(parse_catalog(text, "r.toml"), root)]


def build(root: Path, out: Path, storage: Any = "slices", text: str = CATALOG) -> None:
    # Of a length that divides no case's rows: shards are shared.
    settings = tiny.settings(
        size=14, shard_samples=5, views_rule="axial", mask_dtype="uint16", overlaps=True, storage=storage
    )
    tiny.build(datasets(root, text), out, RESOURCES.executor, settings=settings)


def update(folder: Path, text: str = CATALOG) -> UpdateSummary:
    return update_store(str(folder / "s.zarr"), datasets(folder / "root", text), folder / "s.work", RESOURCES)


def take_out(folder: Path, *cases: str, purge: bool = True) -> Withdrawal:
    asked = Asked(cases=frozenset(f"reports/{case}" for case in cases))
    return withdraw(str(folder / "s.zarr"), asked, folder / "s.work", RESOURCES, purge=purge)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("first")
    (folder / "root").mkdir()
    for seed, (name, findings) in enumerate(CASES.items()):
        write_case(folder / "root", name, findings, seed)
    write_findings(folder / "root", CASES)
    build(folder / "root", folder / "s.zarr")
    return folder


@pytest.fixture
def live(first: Path, tmp_path: Path) -> Path:
    shutil.copytree(first, tmp_path, dirs_exist_ok=True)
    return tmp_path


def meaning(store: Store) -> dict[tuple[Any, ...], list[Any]]:
    """Every row by what it is: pixels, where each class that is shown and each finding lies, and what it says."""
    found = {}
    said: dict[str, list[dict[str, Any]]] = {}
    for row in store.findings.to_pylist():
        assert row["finding"] == len(said.setdefault(row["case"], []))
        said[row["case"]].append(row)
    for number, row in enumerate(store.index.to_pylist()):
        pixels, mask = store.sample(number)
        shown = store.class_table.shown(row["dataset"], row["rendition"])
        findings = said.get(row["case"], [])
        found[row["case"], row["rendition"], row["slice"]] = [
            pixels.tobytes(),
            [(entry.class_id, np.isin(mask, entry.ids).tobytes()) for entry in shown],
            [(one["texts"], one["voxels"], np.isin(mask, one["mask_ids"]).tobytes()) for one in findings],
        ]
    return found


def equals_a_fresh_build(folder: Path, text: str = CATALOG) -> None:
    build(folder / "root", folder / "fresh.zarr", text=text)
    store, fresh = open_store(folder / "s.zarr"), open_store(folder / "fresh.zarr")
    assert verify(store, deep=True) == []
    assert meaning(store) == meaning(fresh)
    assert store.manifest.sources == fresh.manifest.sources
    assert sorted(map(repr, store.cases.to_pylist())) == sorted(map(repr, fresh.cases.to_pylist()))
    # Sentences come in the order of their cases, as a build leaves them.
    cases = [
        case for case in store.cases["case"].to_pylist() if case in set(fresh.findings["case"].to_pylist())
    ]
    assert list(dict.fromkeys(store.findings["case"].to_pylist())) == cases


def values(store: Store) -> Iterator[tuple[int, tuple[int, ...]]]:
    """Each value of a combination, with the classes and, below zero, the findings that it stands for."""
    findings: dict[int, set[int]] = {}
    for row in store.findings.to_pylist():
        for value in row["mask_ids"]:
            findings.setdefault(value, set()).add(-1 - row["finding"])
    classes = store.class_table.combinations("reports")
    for value in sorted({*findings, *classes}):
        yield value, (*sorted(findings.get(value, ())), *classes.get(value, ()))


def test_all_kinds_of_change_at_once(live: Path) -> None:
    root = live / "root"
    before = open_store(live / "s.zarr")
    was, known = meaning(before), dict(values(before))
    masks = {case: bytes_of_masks(before, case) for case in ("reports/c0", "reports/c3")}
    write_case(root, "c2", 2, 50)
    write_case(root, "c6", 2, 51)
    for path in root.glob("c4_*"):  # whose third finding nobody else has
        path.unlink()
    # One more finding of c3's, and other words for c1.
    write_findings(root, {"c1": 1, "c2": 2, "c3": 1, "c6": 2})
    text = (root / "findings.csv").read_text().replace("Nodule 0 of c1", "Two nodules of c1")
    (root / "findings.csv").write_text(text)
    told, _ = what_changed(str(live / "s.zarr"), datasets(root), live / "s.work", RESOURCES)
    done = update(live)
    expected = {
        "findings": ["reports/c1"],
        "image and labels": ["reports/c2"],
        "new": ["reports/c6"],
        "vanished": ["reports/c4"],
    }
    assert told.told() == done.cases == expected
    equals_a_fresh_build(live)
    store = open_store(live / "s.zarr")
    assert {case: bytes_of_masks(store, case) for case in masks} == masks
    now = dict(values(store))
    assert {value: known[value] for value in known if -3 not in known[value]} == {
        value: now[value] for value in now if value in known
    }
    assert any(-3 in members for members in known.values())
    assert len(set(now.values())) == len(now)
    assert meaning(open_store(live / "s.zarr", generation=1)) == was
    assert update(live).cases == {}


def bytes_of_masks(store: Store, case: str) -> list[bytes]:
    names = store.index.column("case").to_pylist()
    return [store.read_masks(row, row + 1).tobytes() for row, name in enumerate(names) if name == case]


def test_what_was_changed_can_be_repaired_and_grows(live: Path) -> None:
    """Values are numbered in one way only, or damaged shards would come out otherwise."""
    take_out(live, "c4", purge=False)
    for path in (live / "root").glob("c4_*"):
        path.unlink()
    write_case(live / "root", "c7", 3, 52)
    write_findings(live / "root", {name: count for name, count in CASES.items() if name != "c4"} | {"c7": 3})
    build(live / "root", live / "s.zarr")
    equals_a_fresh_build(live)
    good = tiny.bytes_of(live / "s.zarr")
    damaged = [key for key in good if key.startswith("masks/c/")] + ["findings.parquet", "classes.parquet"]
    for key in damaged:
        (live / "s.zarr" / key).write_bytes(b"damaged")
    assert not repair_store(str(live / "s.zarr"), {"": live / "root"}, live / "s.work", RESOURCES).left
    assert tiny.bytes_of(live / "s.zarr") == good


def test_sentences_are_withdrawn_with_their_case(live: Path) -> None:
    was = meaning(open_store(live / "s.zarr"))
    (live / "notes.txt").write_text("It said: Nodule 2 of c4, 5 mm.")
    done = take_out(live, "c4")
    assert done.hits is not None
    assert [(Path(hit.file).name, hit.what) for hit in done.hits] == [("notes.txt", "a sentence")]
    store = open_store(live / "s.zarr")
    assert verify(store, deep=True) == []
    assert meaning(store) == {key: row for key, row in was.items() if key[0] != "reports/c4"}
    assert not any(-3 in members for _, members in values(store))


def test_a_sentence_that_others_say_too_is_nobodys(live: Path) -> None:
    write_findings(live / "root", CASES, "Nodule of the left lung")
    update(live)
    (live / "notes.txt").write_text("Nodule of the left lung")
    assert take_out(live, "c4").hits == ()


def test_the_last_sentence_takes_the_table_with_it(live: Path) -> None:
    done = take_out(live, "c1", "c2", "c3", "c4", purge=False)
    assert not (live / "s.zarr/findings.parquet").exists()
    assert len(open_store(live / "s.zarr").findings) == 0
    assert len(open_store(live / "s.zarr", generation=1).findings) == 7
    assert verify(open_store(live / "s.zarr"), deep=True) == []
    assert done.kept == (1,)


def test_other_classes_number_all_anew(live: Path) -> None:
    text = CATALOG.replace("{ id = 2, name", "{ id = 5, name")
    assert set(update(live, text).cases) == {"classes"}
    equals_a_fresh_build(live, text)


def test_a_case_that_would_keep_masks_of_other_classes_is_refused(live: Path) -> None:
    (live / "root/c1_heart.nii.gz").write_bytes(b"damage")
    before = tiny.bytes_of(live / "s.zarr")
    text = CATALOG.replace("{ id = 2, name", "{ id = 5, name")
    with pytest.raises(BuildError, match=r"reports/c1 cannot be prepared: .* would mean other classes"):
        update(live, text)
    assert tiny.bytes_of(live / "s.zarr") == before


def test_findings_of_a_store_that_has_no_room_for_them_are_refused_before_anything_is_touched(
    live: Path, tmp_path: Path
) -> None:
    text = CATALOG.replace(FINDINGS, "").replace("[layout]", "[layout]\noverlaps = false")
    settings = tiny.settings(size=14, shard_samples=5, views_rule="axial")
    store = tmp_path / "plain.zarr"
    tiny.build(datasets(live / "root", text), store, RESOURCES.executor, settings=settings)
    before = tiny.bytes_of(store)
    for ask in (update_store, what_changed):
        with pytest.raises(
            BuildError, match=r"masks of uint8 without overlaps, .* labels that may overlap now"
        ):
            ask(str(store), datasets(live / "root"), tmp_path / "new.work", RESOURCES)
    assert tiny.bytes_of(store) == before
    assert not (tmp_path / "new.work").exists()


@pytest.mark.slow
@pytest.mark.parametrize("storage", ["encoded", "slices"])
def test_an_update_killed_anywhere(
    live: Path, tmp_path_factory: pytest.TempPathFactory, storage: Any
) -> None:
    folder = tmp_path_factory.mktemp("kills")
    shutil.copytree(live / "root", folder / "base/root")
    build(folder / "base/root", folder / "base/s.zarr", storage)
    write_case(folder / "base/root", "c2", 2, 50)
    for path in (folder / "base/root").glob("c4_*"):
        path.unlink()
    write_findings(folder / "base/root", {"c1": 1, "c2": 2})
    kills(folder, update)


@pytest.mark.slow
def test_a_withdrawal_of_the_last_sentences_killed_anywhere(
    live: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("kills")
    shutil.copytree(live, folder / "base")

    # Once more after all was done is no withdrawal: the generation before holds them still.
    kills(folder, lambda place: take_out(place, "c1", "c2", "c3", "c4", purge=False))
