"""Cases taken out of a store for good: their pixels, rows, facts, and every mention of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from fve_pipeline.build.byte_search import Hit, Needles, search_bytes, search_file
from fve_pipeline.build.digests import forget_digests, row_digests
from fve_pipeline.build.prepare.journal import forget
from fve_pipeline.build.prepare.roster import datasets_of_store, read_roster, write_roster
from fve_pipeline.build.prepare.veil import salted
from fve_pipeline.build.rewrite import laid_cases, plan_rewrite
from fve_pipeline.build.transaction import Transaction, transaction, working_in
from fve_pipeline.build.update import publish_rewrite
from fve_pipeline.build.withdrawn import anchors_of, ends_of, remaining_files, words_of
from fve_pipeline.errors import BuildError
from fve_pipeline.files.atomic import sweep_partials, write_whole
from fve_pipeline.files.base import Files
from fve_pipeline.files.local import LocalFiles
from fve_pipeline.runtime.resources import Resources
from fve_pipeline.store.cache import ShardCache
from fve_pipeline.store.generations import kept_generations, prune_generations
from fve_pipeline.store.reader import Store, open_store
from fve_pipeline.store.schema import ChangeEntry, Manifest
from fve_pipeline.store.verify import require_sound_base

__all__ = ["Asked", "Withdrawal", "find_withdrawn", "withdraw"]


@dataclass(frozen=True, slots=True)
class Asked:
    """Whom to withdraw, by any of these names; under a ``salt`` also by what it made of them."""

    subjects: frozenset[str] = frozenset()
    cases: frozenset[str] = frozenset()
    datasets: frozenset[str] = frozenset()
    salt: str | None = None

    def names(self, row: Mapping[str, Any]) -> bool:
        """Tell whether a row of ``cases.parquet`` is meant."""
        subjects, cases = set(self.subjects), set(self.cases)
        if self.salt is not None:
            subjects |= {salted(one, self.salt) for one in self.subjects}
            cases |= {
                f"{one.partition('/')[0]}/{salted(one.partition('/')[2], self.salt)}" for one in self.cases
            }
        return row["subject"] in subjects or row["case"] in cases or row["dataset"] in self.datasets


@dataclass(frozen=True)
class Withdrawal:
    """What was withdrawn, and what is left of it.

    ``rows`` of the ``cases`` were in the store, which is at ``generation`` now; ``selections`` lost cases, ``removed``
    files are gone, ``pruned`` generations too. ``kept`` older generations still hold them. ``hits`` is what a search
    over all ``files`` (``nbytes`` in all) for ``words`` and ``chunks`` found; None when there was none, as it has no
    sense before older generations are gone.
    """

    cases: tuple[Mapping[str, Any], ...]
    rows: int
    generation: int
    content_id: str
    selections: tuple[Path, ...]
    removed: tuple[Path, ...]
    pruned: tuple[int, ...]
    kept: tuple[int, ...]
    words: int
    chunks: int
    files: int
    nbytes: int
    hits: tuple[Hit, ...] | None


def find_withdrawn(out: str, asked: Asked) -> list[dict[str, Any]]:
    """Return the rows of ``cases.parquet`` that are meant, of the store or of an older generation that is kept.

    Raises BuildError when a name is nobody's, StoreError when there is no store.
    """
    known = _all_rows(out)
    rows = [row for row in known if asked.names(row)]
    missing = [
        name
        for given, key in ((asked.subjects, "subject"), (asked.cases, "case"), (asked.datasets, "dataset"))
        for name in sorted(given)
        if not any(_is(row, key, name, asked.salt) for row in rows)
    ]
    if missing or not rows:
        shown = ", ".join(map(repr, missing[:3])) or "nobody"
        near = {row["subject"] for row in known if any(row["subject"].endswith(f"/{one}") for one in missing)}
        meant = f" Did you mean {', '.join(sorted(near)[:3])}?" if near else ""
        msg = (
            f"{out}: {shown} is in the store under no such name, nor in a generation that is kept.{meant} Subjects and "
            "cases are listed in cases.parquet; a store with hashed names needs --hash-subjects too"
        )
        raise BuildError(msg)
    return rows


def withdraw(out: str, asked: Asked, work: Path, resources: Resources, *, purge: bool = False) -> Withdrawal:
    """Take the cases that are ``asked`` for out of the store ``out`` and of what lies around it.

    Pixels, tables, history and failures are rewritten as one commit; then the facts and prepared arrays in ``work`` go,
    cached shards, and beside the store selections' rows and reports that name a case. With ``purge`` older generations
    go too, and every byte that remains is searched. Run again after an interruption it does what is missing.

    Raises BuildError when nobody is meant or nothing would be left; otherwise as an update does.
    """
    open_store(out)  # refuse before leaving a lock where there is no store
    with contextlib.ExitStack() as entered:
        held = entered.enter_context(transaction(out, resources))
        entered.enter_context(working_in(work))
        rows = find_withdrawn(out, asked)
        ids = frozenset(row["case"] for row in rows)
        base = held.base
        assert base is not None
        files = held.files
        anchors: set[bytes] = set()
        for store in _generations(files, base) if purge else ():
            anchors |= anchors_of(store, ids)
        present = ids & set(base.cases.column("case").to_pylist())
        taken = sum(len(found) for case, found in laid_cases(base).items() if case in present)
        manifest = _commit(held, base, frozenset(present), ids, work) if present else base.manifest
        forget(work, ids)
        forget_digests(work, manifest.content_id)
        _forget_in_roster(work, ids)
        _forget_cached(files, base, manifest)
        now = open_store(out)
        needles = Needles(words_of(rows, now), frozenset(anchors - ends_of(now, anchors)))
        selections, removed = _beside(out, ids, needles)
        hits: list[Hit] = []
        searched, nbytes = 0, 0
        for name, read in remaining_files(files, out, work) if purge else ():
            with read() as data:
                searched, nbytes = searched + 1, nbytes + len(data)
                hits += search_bytes(name, data, needles)
        # The last thing: while they are there, the same command knows what to look for, and can be run again.
        pruned = prune_generations(files) if purge else ()
    return Withdrawal(
        cases=tuple(rows),
        rows=taken,
        generation=manifest.generation,
        content_id=manifest.content_id,
        selections=tuple(selections),
        removed=tuple(removed),
        pruned=pruned,
        kept=kept_generations(files),
        words=len(needles.words),
        chunks=len(needles.anchors),
        files=searched,
        nbytes=nbytes,
        hits=tuple(hits) if purge else None,
    )


def _is(row: Mapping[str, Any], key: str, name: str, salt: str | None) -> bool:
    return Asked(**{f"{key}s": frozenset({name})}, salt=salt).names(row)


def _generations(files: Files, base: Store) -> Iterable[Store]:
    """The store, and its older generations that are kept."""
    yield base
    for generation in kept_generations(files):
        yield open_store(base.files.url, generation=generation)


def _all_rows(out: str) -> list[dict[str, Any]]:
    base = open_store(out)
    columns = ["case", "dataset", "subject", "source", "source_sha256", "labels", "labels_sha256"]
    found: dict[str, dict[str, Any]] = {}
    for store in _generations(base.files, base):
        said: dict[str, list[dict[str, Any]]] = {}
        for one in store.findings.select(["case", "texts", "source"]).to_pylist():
            said.setdefault(one["case"], []).append(one)
        for row in store.cases.select([*columns, "pixels_sha256"]).to_pylist():
            held = found.setdefault(row["case"], row | {"findings": []})
            held["findings"] += said.get(row["case"], [])
    return list(found.values())


def _commit(
    held: Transaction, base: Store, present: frozenset[str], ids: frozenset[str], work: Path
) -> Manifest:
    """Publish the store without the cases; its history names none of them."""
    require_sound_base(base)
    plan = plan_rewrite(base, present, {}, row_digests(work, base, held.resources))
    rewrite = replace(
        plan.rewrite("withdraw", {}, len(present)),
        history=[_redacted(change, ids) for change in base.manifest.history],
    )
    return publish_rewrite(
        held,
        plan,
        rewrite,
        work,
        datasets=datasets_of_store(base),
        sources=base.manifest.sources,
        failures=[failure for failure in base.manifest.failures if failure.case not in ids],
    )


def _redacted(change: ChangeEntry, ids: frozenset[str]) -> ChangeEntry:
    cases = {
        reason: tuple(case for case in cases if ids.isdisjoint(case.split(" -> ")))
        for reason, cases in change.cases.items()
    }
    return change.model_copy(update={"cases": {reason: left for reason, left in cases.items() if left}})


def _forget_in_roster(work: Path, ids: frozenset[str]) -> None:
    with contextlib.suppress(BuildError):
        roster = read_roster(work)
        left = {
            "cases": tuple(case for case in roster.cases if case not in ids),
            "failures": tuple(one for one in roster.failures if one.case not in ids),
        }
        write_roster(work, roster.model_copy(update=left))


def _forget_cached(files: Files, base: Store, manifest: Manifest) -> None:
    """Remove this machine's copies of shards that a remote store no longer has."""
    if isinstance(files, LocalFiles):
        return
    old, new = (
        {total.sha256 for entry in one.shards for total in (entry.images, entry.masks)}
        for one in (base.manifest, manifest)
    )
    for sha256 in old - new:
        (ShardCache().folder / sha256).unlink(missing_ok=True)


def _beside(out: str, ids: frozenset[str], needles: Needles) -> tuple[list[Path], list[Path]]:
    """Take the cases out of selections in the store's folder, and remove pages there that name them."""
    if "://" in out:
        return [], []
    selections, removed = [], []
    words = Needles(needles.words, frozenset())
    for path in sorted(Path(out).absolute().parent.iterdir()):
        if not path.is_file():
            continue
        if path.suffix == ".parquet":
            with contextlib.suppress(pa.ArrowException, OSError, KeyError):
                table = pq.read_table(path)
                keep = pc.invert(pc.is_in(table.column("case"), value_set=pa.array(sorted(ids))))
                left = table.filter(keep)
                sweep_partials(path.parent, {path.name})
                if len(left) < len(table):
                    with write_whole(path) as file:
                        pq.write_table(left, file, compression="zstd")
                    selections.append(path)
        elif path.suffix == ".html" and search_file(path, words):
            path.unlink()
            removed.append(path)
    return selections, removed
