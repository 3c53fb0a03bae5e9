"""A committed store with other cases: shards whose rows stay are kept, the others are put together again.

Rows that are still to be had are copied as they are compressed, once they were decoded and found to be what was
committed; the rest is encoded from the prepared store.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from fve_pipeline.build.changes import classes_differ
from fve_pipeline.build.copy import CopyRow
from fve_pipeline.build.encode.numbering import Numbering, number_combinations
from fve_pipeline.build.encode.plan import PlannedRun, Segment, plan_runs, plan_settings
from fve_pipeline.build.encode.shard import ENCODE_VERSION, encoding_inputs, segment_bytes
from fve_pipeline.build.encode.stage import case_inputs, finding_rows, prepared_cases
from fve_pipeline.build.encode.tables import case_rows, index_rows
from fve_pipeline.build.pieces import OldRows, Piece, RowsJob, cut_pieces, rows_in, write_rows
from fve_pipeline.build.prepare.facts import CaseFacts
from fve_pipeline.build.prepare.job import PREPARE_VERSION
from fve_pipeline.build.prepare.roster import RosterDataset
from fve_pipeline.build.relay import Laid, relay
from fve_pipeline.build.transaction import ShardWork
from fve_pipeline.files.base import Files
from fve_pipeline.store.class_table import ClassTable
from fve_pipeline.store.commit import Rewrite, StoreContent
from fve_pipeline.store.content import packed
from fve_pipeline.store.findings import identity
from fve_pipeline.store.reader import Store
from fve_pipeline.store.receipt import Receipt
from fve_pipeline.store.schema import FailureEntry, SourceEntry, Versions
from fve_pipeline.store.stage import ShardTarget

__all__ = ["RewritePlan", "laid_cases", "plan_rewrite"]


def laid_cases(store: Store) -> dict[str, range]:
    """Return where the rows of each case lie, in the store's order."""
    column = store.index.select(["case"]).unify_dictionaries().column(0).combine_chunks()
    codes, names = column.indices.to_numpy(), column.dictionary.to_pylist()
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    stops = [*starts[1:].tolist(), len(codes)][: len(starts)]
    return {
        names[codes[start]]: range(start, stop) for start, stop in zip(starts.tolist(), stops, strict=True)
    }


def plan_rewrite(
    base: Store, gone: frozenset[str], facts: Mapping[str, CaseFacts], digests: bytes
) -> RewritePlan:
    """Plan the store without the cases ``gone``, and with those that ``facts`` tell of, changed or new, in order.

    ``base`` is the store as it is under the lock.
    """
    held = laid_cases(base)
    settings = plan_settings(base.settings)
    runs = {case: plan_runs([found], settings) for case, found in facts.items()}
    after = {case: len(rows) for case, rows in held.items() if case not in gone}
    after |= {case: sum(run.length for run in planned) for case, planned in runs.items()}
    order = relay([Laid(case, len(rows)) for case, rows in held.items()], after)
    pieces: list[Piece] = []
    for laid in order:
        if laid.case in runs:
            pieces += [Segment(r.case, r.rendition, r.view, r.length, 0, r.length) for r in runs[laid.case]]
        else:
            pieces.append(OldRows(held[laid.case].start, laid.rows))
    shards = cut_pieces(pieces, base.settings.shard_samples)
    return RewritePlan(base, facts, digests, tuple(laid.case for laid in order), runs, held, shards)


@dataclass(frozen=True, slots=True)
class RewritePlan:
    """The changed store: its cases in ``order``, and what each shard is put together from.

    ``digests`` are those of the base's rows, ``runs`` the planned runs of the cases in ``facts``, ``held`` the rows of
    the base's cases.
    """

    base: Store
    facts: Mapping[str, CaseFacts]
    digests: bytes
    order: tuple[str, ...]
    runs: Mapping[str, Sequence[PlannedRun]]
    held: Mapping[str, range]
    shards: Sequence[Sequence[Piece]]

    @property
    def staying(self) -> dict[int, int]:
        """Shards that hold the same rows in the same places, and how many."""
        capacity, entries = self.base.settings.shard_samples, self.base.manifest.shards
        return {
            number: pieces[0].n
            for number, pieces in enumerate(self.shards)
            if number < len(entries)
            and len(pieces) == 1
            and isinstance(pieces[0], OldRows)
            and pieces[0] == OldRows(number * capacity, entries[number].n_rows)
        }

    def rewrite(self, kind: str, cases: Mapping[str, Sequence[str]], withdrawn: int = 0) -> Rewrite:
        """Return what the commit has to know: which shards stay, and what the history says."""
        capacity, entries = self.base.settings.shard_samples, self.base.manifest.shards
        firsts = {number: 32 * number * capacity for number in self.staying}
        digests = {n: self.digests[first : first + 32 * entries[n].n_rows] for n, first in firsts.items()}
        return Rewrite(
            {n: entries[n] for n in firsts},
            digests,
            "withdraw" if kind == "withdraw" else "update",
            cases,
            withdrawn,
            self.base.manifest.history,
        )

    def number(self, datasets: Sequence[RosterDataset]) -> tuple[Numbering, pa.Table]:
        """Return the values of combinations, those that the store has as they are, and ``findings.parquet``.

        A value that stood for a finding which is gone is forgotten. Data sets whose classes are others now are numbered
        anew: none of their rows stays. Raises BuildError when the masks' dtype has no value left.
        """
        held = self.base.findings
        same = [dataset.name for dataset in datasets if not classes_differ(self.base, dataset)]
        known = held.filter(pc.is_in(held.column("dataset"), value_set=pa.array(same, pa.string())))
        numbering = number_combinations(datasets, self.facts.values(), self.base.settings.mask_dtype, known)
        table = pa.concat_tables([held, finding_rows(numbering, self.facts.values())])
        rows: dict[str, list[int]] = {}
        for row, case in enumerate(table.column("case").to_pylist()):
            if (row < len(held)) != (case in self.facts):
                rows.setdefault(case, []).append(row)
        findings = table.take(
            pa.array([row for case in self.order for row in rows.get(case, ())], pa.int64())
        )
        return numbering.of_findings(findings), findings

    def content(
        self,
        rewrite: Rewrite,
        classes: ClassTable,
        findings: pa.Table,
        sources: Sequence[SourceEntry],
        failures: Sequence[FailureEntry],
    ) -> StoreContent:
        """Return what the commit publishes besides shards and index. Data sets without any case are left out."""
        cases = self._cases()
        datasets = set(cases.column("dataset").to_pylist())
        return StoreContent(
            settings=self.base.settings,
            versions=Versions(prepare=PREPARE_VERSION, encode=ENCODE_VERSION),
            sources=[source for source in sources if source.dataset in datasets],
            failures=failures,
            cases=cases,
            classes=ClassTable(tuple(entry for entry in classes if entry.dataset in datasets)).to_arrow(),
            findings=findings if len(findings) else None,
            previous=self.base.manifest,
            rewrite=rewrite,
        )

    def _cases(self) -> pa.Table:
        samples = {case: sum(run.length for run in runs) for case, runs in self.runs.items()}
        new = case_rows(self.facts.values(), plan_settings(self.base.settings), samples)
        table = pa.concat_tables([self.base.cases, new])
        # The last of two rows of one case is the new one.
        places = {case: place for place, case in enumerate(table.column("case").to_pylist())}
        return table.take(pa.array([places[case] for case in self.order]))

    def index(self, receipts: Sequence[Receipt]) -> pa.Table:
        """Return the whole index; ``receipts`` are those of the shards that do not stay, in order."""
        base, fresh = self.base.index, [run for case in self.facts for run in self.runs[case]]
        shown = self._shown(receipts)
        counted = (
            shown[run.case, run.rendition, run.view, row] for run in fresh for row in range(run.length)
        )
        settings = plan_settings(self.base.settings)
        new = index_rows(fresh, self.facts, settings, counted) if fresh else base.slice(0, 0)
        firsts, row = {}, len(base)
        for case in self.facts:
            firsts[case] = range(row, row := row + sum(run.length for run in self.runs[case]))
        places = [np.asarray(firsts.get(case) or self.held[case], np.int64) for case in self.order]
        whole = pa.concat_tables([base, new]).unify_dictionaries()
        return whole.take(pa.array(np.concatenate(places)))

    def _shown(
        self, receipts: Sequence[Receipt]
    ) -> dict[tuple[str, str, str, int], tuple[tuple[int, ...], tuple[int, ...]]]:
        """Classes and pixels of the rows that were encoded."""
        shown = {}
        for receipt in receipts:
            row = 0
            for piece in self.shards[receipt.shard]:
                if isinstance(piece, OldRows):
                    row += piece.n
                    continue
                for place in range(piece.start, piece.stop):
                    found = receipt.class_ids[row], receipt.class_pixels[row]
                    shown[piece.case, piece.rendition, piece.view, place] = found
                    row += 1
        return shown

    def all_digests(self, rewrite: Rewrite, receipts: Sequence[Receipt]) -> bytes:
        """Return the digests of the changed store's rows."""
        made = {receipt.shard: packed(receipt.row_digests) for receipt in receipts}
        return b"".join(rewrite.digests.get(n) or made[n] for n in range(len(self.shards)))

    def work(self, prepared: Files, numbering: Numbering, device: str) -> ShardWork:
        """Return the shards that do not stay, to be written from the base and the prepared store."""
        cases = prepared_cases(numbering, self.facts.values())
        inputs = {case: case_inputs(numbering, found) for case, found in self.facts.items()}
        numbers = [number for number in range(len(self.shards)) if number not in self.staying]
        base_files = self.base.shard_files

        def job(target: ShardTarget) -> tuple[RowsJob, int]:
            pieces = self.shards[target.shard]
            copied = b"".join(
                self.digests[32 * p.first : 32 * (p.first + p.n)] for p in pieces if isinstance(p, OldRows)
            )
            segments = [piece for piece in pieces if isinstance(piece, Segment)]
            own = {segment.case: cases[segment.case] for segment in segments}
            made = tuple(self._copied(piece) if isinstance(piece, OldRows) else piece for piece in pieces)
            size = target.settings.size
            slab = max((segment_bytes(s, cases[s.case].shape, target.settings) for s in segments), default=0)
            nbytes = slab + 5 * target.settings.shard_samples * size * size + (128 << 20)
            return RowsJob(target, base_files, made, copied, prepared, own, device), nbytes

        rows = sum(rows_in(self.shards[number]) for number in numbers)
        return ShardWork("rewrite", rows, {n: self._hash(n, inputs) for n in numbers}, job, write_rows)

    def _hash(self, number: int, inputs: Mapping[str, str]) -> str:
        """Name everything that decides a shard's bytes."""
        described = [
            encoding_inputs(self.base.settings),
            self.base.manifest.content_id,
            [asdict(piece) for piece in self.shards[number]],
            [inputs[p.case] for p in self.shards[number] if isinstance(p, Segment)],
        ]
        return hashlib.sha256(json.dumps(described, sort_keys=True).encode()).hexdigest()

    def _copied(self, piece: OldRows) -> tuple[CopyRow, ...]:
        names = ("case", "rendition", "view", "slice", "class_ids", "class_pixels")
        part = self.base.index.slice(piece.first, piece.n)
        columns = [part.column(name).to_pylist() for name in names]
        said = self.base.finding_digests
        return tuple(
            CopyRow(0, row, identity(case, rendition, view, place, said.get(case)), tuple(ids), tuple(pixels))
            for row, (case, rendition, view, place, ids, pixels) in enumerate(
                zip(*columns, strict=True), piece.first
            )
        )
