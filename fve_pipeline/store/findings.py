"""What a store records of findings: sentences of a case and the mask values of what they describe."""

from __future__ import annotations

import hashlib
import json

import pyarrow as pa

__all__ = ["Identity", "findings_digests", "identity"]

Identity = tuple[str | int, ...]


def findings_digests(findings: pa.Table) -> dict[str, str]:
    """Return a digest (hex) of each case's findings, by case: what the content id holds of them."""
    said: dict[str, list[object]] = {}
    for row in findings.select(["case", "finding", "texts", "mask_ids"]).to_pylist():
        said.setdefault(row.pop("case"), []).append(row)
    return {
        case: hashlib.sha256(json.dumps(rows, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
        for case, rows in said.items()
    }


def identity(case: str, rendition: str, view: str, place: int, findings: str | None) -> Identity:
    """Return who a row is, for its digest; ``findings`` is the digest of its case's, where it has any."""
    return (case, rendition, view, place) if findings is None else (case, rendition, view, place, findings)
