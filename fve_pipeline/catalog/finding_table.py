"""A dataset's findings: sentences that belong to a case, each with what they describe."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fve_pipeline.catalog.case import CaseFinding
from fve_pipeline.catalog.layout import InRoot
from fve_pipeline.catalog.rules import KeyedError
from fve_pipeline.errors import CatalogError
from fve_pipeline.volume.label_file import LabelFile

__all__ = ["FindingTable", "read_findings"]

_KINDS = (".csv", ".json", ".jsonl", ".parquet")


class FindingTable(BaseModel):
    """Where a dataset's findings are: a CSV, JSON (a list of objects, or one a line) or Parquet file, a row a finding.

    ``case`` is the column with the case's name, ``text`` that with the sentence, or in JSON and Parquet a list of
    wordings of it. What it describes is a ``mask``, the column with a file's path under the root (and ``layer``, that
    with the layer of a 4D file, from 0), or an ``id`` of the case's own labels, or a list of them. ``complete`` says
    that all findings of each case are listed; where they are not, what is not listed may be there.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    table: InRoot
    case: str = "case"
    text: str = "text"
    mask: str | None = None
    layer: str | None = None
    id: str | None = None
    delimiter: str = Field(default=",", min_length=1, max_length=1)
    complete: bool = False

    @model_validator(mode="after")
    def _one_way(self) -> FindingTable:
        if not self.table.lower().endswith(_KINDS):
            raise KeyedError("table", f"{self.table!r} is none of {', '.join(_KINDS)}")
        if (self.mask is None) == (self.id is None):
            raise KeyedError(
                "mask", "say in one way what a finding is: mask (a column of files) or id (of labels)"
            )
        if self.layer is not None and self.mask is None:
            raise KeyedError("layer", "only a mask file has layers; name its column")
        return self


def read_findings(rule: FindingTable, root: Path, catalog: str) -> dict[str, tuple[CaseFinding, ...]]:
    """Return the findings of each case by its name, in the table's order.

    Raises CatalogError for a table that is not there or cannot be read, for a column that it lacks, and for a row
    without case, sentence or mask.
    """
    path = root / rule.table
    found: dict[str, list[CaseFinding]] = {}
    wanted = [name for name in (rule.case, rule.text, rule.mask, rule.layer, rule.id) if name is not None]
    for number, row in enumerate(_rows(path, rule.delimiter, catalog), 1):
        lacking = [name for name in wanted if row.get(name) in (None, "", [])]
        if lacking:
            msg = f"{path}: finding {number} has no {lacking[0]!r}; it has {', '.join(map(str, row))}. Correct the table"
            raise CatalogError(msg)
        found.setdefault(str(row[rule.case]), []).append(_finding(rule, row, f"{path}: finding {number}"))
    return {case: tuple(own) for case, own in found.items()}


def _finding(rule: FindingTable, row: Mapping[str, Any], where: str) -> CaseFinding:
    texts = tuple(" ".join(str(text).split()) for text in _listed(row[rule.text]))
    if not all(texts):
        msg = f"{where} has an empty sentence; expected words"
        raise CatalogError(msg)
    try:
        if rule.id is not None:
            ids = tuple(int(one) for one in _listed(row[rule.id]))
            if any(not 1 <= one <= 65535 for one in ids):
                raise ValueError
            return CaseFinding(texts, rule.table, ids=ids)
        layer = None if rule.layer is None else int(row[rule.layer])
    except (TypeError, ValueError):
        name = rule.id if rule.id is not None else rule.layer
        msg = f"{where} has {name} = {row[str(name)]!r}; expected a whole number, or a list of them"
        raise CatalogError(msg) from None
    mask = str(row[str(rule.mask)])
    if mask.startswith(("/", "~")) or ".." in mask.split("/") or "\\" in mask:
        msg = f"{where} names the mask {mask!r}; expected a path under the dataset's root, without '..'"
        raise CatalogError(msg)
    return CaseFinding(texts, rule.table, label=LabelFile(mask, channel=layer))


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _rows(path: Path, delimiter: str, catalog: str) -> Iterable[Mapping[str, Any]]:
    try:
        if path.suffix.lower() == ".parquet":
            import pyarrow.parquet as pq

            rows: Any = pq.read_table(path).to_pylist()
        elif path.suffix.lower() == ".csv":
            with path.open(encoding="utf-8-sig", newline="") as file:
                rows = list(csv.DictReader(file, delimiter=delimiter))
        else:
            text = path.read_text(encoding="utf-8-sig")
            lines = path.suffix.lower() == ".jsonl"
            rows = (
                [json.loads(line) for line in text.splitlines() if line.strip()]
                if lines
                else json.loads(text)
            )
    except FileNotFoundError as error:
        msg = f"catalog {catalog!r}: its findings {path} do not exist"
        raise CatalogError(msg) from error
    except (OSError, ValueError, csv.Error) as error:  # pyarrow's own are of these
        msg = f"{path}: cannot be read as {path.suffix[1:]} ({error})"
        raise CatalogError(msg) from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        msg = f"{path}: expected a list of objects, one a finding"
        raise CatalogError(msg)
    return rows
