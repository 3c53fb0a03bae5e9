"""The prepare stage's journal: facts of finished cases in Parquet parts, each written whole or not at all.

Planning reads the journal and never opens a case's group. A part holds what finished since the last one, so
a killed build repeats at most the cases of the last few seconds.
"""

from __future__ import annotations

import shutil
import time
import zlib
from collections.abc import Collection, Iterable, Iterator, MutableMapping
from pathlib import Path
from types import TracebackType

import pyarrow as pa
import pyarrow.parquet as pq

from fve_pipeline.build.prepare.facts import CaseFacts
from fve_pipeline.files.atomic import sweep_partials, write_whole

__all__ = ["FactsBook", "Journal", "forget", "read_journal"]

_PART_SECONDS = 3.0
_PART_CASES = 256
_SCHEMA = pa.schema([("case", pa.string()), ("fingerprint", pa.string()), ("facts", pa.string())])


class FactsBook(MutableMapping[str, CaseFacts]):
    """Facts by case id, held as compressed JSON: under a kilobyte a case, so that a million fit in memory."""

    def __init__(self) -> None:
        self._packed: dict[str, bytes] = {}

    def __getitem__(self, case: str) -> CaseFacts:
        return CaseFacts.model_validate_json(zlib.decompress(self._packed[case]))

    def __setitem__(self, case: str, facts: CaseFacts) -> None:
        self.add_json(case, facts.model_dump_json())

    def __delitem__(self, case: str) -> None:
        del self._packed[case]

    def __iter__(self) -> Iterator[str]:
        return iter(self._packed)

    def __len__(self) -> int:
        return len(self._packed)

    def __contains__(self, case: object) -> bool:
        return case in self._packed

    def add_json(self, case: str, text: str) -> None:
        """Take facts over without parsing them."""
        self._packed[case] = zlib.compress(text.encode(), 1)


def read_journal(folder: Path) -> FactsBook:
    """Facts by case id; a later part replaces an earlier one. Empty when there is no journal."""
    facts = FactsBook()
    for part in _parts(folder):
        table = pq.read_table(part, columns=["case", "facts"])
        for case, text in zip(*(column.to_pylist() for column in table.columns), strict=True):
            facts.add_json(case, text)
    return facts


def forget(work: Path, cases: Collection[str]) -> None:
    """Remove what ``work`` knows and holds of these cases: their facts, whatever part has them, and their arrays."""
    gone = set(cases)
    if (work / "journal").is_dir():
        sweep_partials(work / "journal")
    for part in _parts(work / "journal"):
        table = pq.read_table(part)
        left = [row for row in table.to_pylist() if row["case"] not in gone]
        if len(left) == len(table):
            continue
        for text in (row["facts"] for row in table.to_pylist() if row["case"] in gone):
            shutil.rmtree(work / "prepared" / CaseFacts.model_validate_json(text).group, ignore_errors=True)
        with write_whole(part) as file:
            pq.write_table(pa.Table.from_pylist(left, schema=_SCHEMA), file, compression="zstd")


def _parts(folder: Path) -> list[Path]:
    return sorted(folder.glob("part-*.parquet")) if folder.is_dir() else []


class Journal:
    """Appends facts; a context manager that writes what is left on leaving, errors and Ctrl-C included."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        sweep_partials(folder)
        parts = _parts(folder)
        self._folder = folder
        self._next = int(parts[-1].stem.removeprefix("part-")) + 1 if parts else 0
        self._waiting: list[CaseFacts] = []
        self._written = time.monotonic()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.flush()

    def add(self, facts: CaseFacts) -> None:
        self._waiting.append(facts)
        if len(self._waiting) >= _PART_CASES or time.monotonic() - self._written > _PART_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what is waiting as the next part."""
        self._written = time.monotonic()
        if not self._waiting:
            return
        _write_part(self._folder / f"part-{self._next:08d}.parquet", self._waiting)
        self._next += 1
        self._waiting = []


def _write_part(path: Path, facts: Iterable[CaseFacts]) -> None:
    rows = [{"case": f.case, "fingerprint": f.fingerprint, "facts": f.model_dump_json()} for f in facts]
    with write_whole(path) as file:
        pq.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA), file, compression="zstd")
