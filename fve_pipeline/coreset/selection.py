"""The selection file: which cases were chosen, why, from what, and how it is used with a store."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fve_pipeline.coreset.method import SelectionSettings
from fve_pipeline.errors import CoresetError
from fve_pipeline.files.atomic import write_whole

__all__ = ["SELECTION_VERSION", "ChosenFrom", "Selection", "load_selection"]

SELECTION_VERSION = 1

_KEY = b"fve_coreset"
_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("case", "dataset", "modality", "subject", "source", "reason")]
)


@dataclass(frozen=True, slots=True)
class ChosenFrom:
    """A store (or scan) that was chosen from: its content id and how many cases it held."""

    content_id: str
    cases: int


@dataclass(frozen=True, slots=True)
class Selection:
    """Chosen cases in the order they were taken.

    ``table``: columns case, dataset, modality, subject, source, reason, one row a case. ``eligible`` cases
    were in the chosen splits, ``duplicates`` of them were set aside because another has the same pixels.
    ``features`` names the model whose features were among the descriptors, "" for none.
    """

    table: pa.Table
    method: str
    seed: int
    settings: SelectionSettings
    fraction: float | None
    budget: int
    splits: tuple[str, ...]
    one_per_subject: bool
    eligible: int
    duplicates: int
    siblings: str
    descriptors_version: int
    features: str
    sources: tuple[ChosenFrom, ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def case_ids(self) -> tuple[str, ...]:
        """Ids of the chosen cases, in the order in which they were taken."""
        return tuple(self.table.column("case").to_pylist())

    def __len__(self) -> int:
        return int(self.table.num_rows)

    def save(self, path: Path) -> None:
        """Write the selection file. Equal selections give equal bytes."""
        info = {name: getattr(self, name) for name in _FIELDS}
        info |= {"version": SELECTION_VERSION, "settings": asdict(self.settings)}
        info["sources"] = [asdict(source) for source in self.sources]
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(info, sort_keys=True, ensure_ascii=False).encode()
        table = self.table.cast(_SCHEMA).replace_schema_metadata({_KEY: text})
        with write_whole(path) as file:
            pq.write_table(table, file, compression="zstd")

    def check(self, case_ids: Iterable[str], content_id: str) -> list[str]:
        """Return what is wrong with using this selection on a store with these cases: warnings, with numbers.

        Raises CoresetError when the store has none of the chosen cases, or lacks some although the selection
        was made from this store and no other.
        """
        known = set(case_ids)
        missing = [case for case in self.case_ids if case not in known]
        present = f"{len(self) - len(missing)} of the {len(self)} chosen cases"
        origin = ", ".join(source.content_id[:12] for source in self.sources)
        made_here = any(source.content_id == content_id for source in self.sources)
        if len(missing) == len(self) or (missing and made_here and len(self.sources) == 1):
            msg = (
                f"the store has {present} (the first that it lacks: {missing[0]!r}); the selection was made "
                f"from content {origin}, this is {content_id[:12]}: make one from this store with fve coreset"
            )
            raise CoresetError(msg)
        if not made_here:
            return [
                f"the selection was made from content {origin}, this store is {content_id[:12]} "
                f"and has {present}"
            ]
        if missing:
            return [f"the selection was made from {len(self.sources)} stores; this one has {present}"]
        return []


_FIELDS = tuple(name for name in Selection.__slots__ if name not in ("table", "settings", "sources"))


def load_selection(path: Path | str) -> Selection:
    """Read a selection file. Raises CoresetError naming the file when it is missing or something else."""
    path = Path(path)
    if not path.is_file():
        msg = f"{path}: no such selection file; make one with fve coreset STORE --fraction 0.1 --out {path}"
        raise CoresetError(msg)
    try:
        table = pq.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        msg = f"{path}: not a selection file (it is not Parquet: {error})"
        raise CoresetError(msg) from error
    text = (table.schema.metadata or {}).get(_KEY)
    if text is None:
        msg = f"{path}: Parquet, but not written by fve coreset (no {_KEY.decode()!r} in its metadata)"
        raise CoresetError(msg)
    info: dict[str, Any] = json.loads(text)
    if info["version"] != SELECTION_VERSION:
        msg = f"{path}: selection version {info['version']}, this release reads {SELECTION_VERSION}"
        raise CoresetError(msg)
    values: Any = {name: tuple(info[name]) if name in ("splits", "notes") else info[name] for name in _FIELDS}
    return Selection(
        table=table.replace_schema_metadata(None),
        settings=SelectionSettings(**info["settings"]),
        sources=tuple(ChosenFrom(**source) for source in info["sources"]),
        **values,
    )
