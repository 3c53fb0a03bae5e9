"""What a withdrawal did and what was found of it after, as a text to be signed. It names nobody."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from fve_pipeline.build.withdraw import Withdrawal
from fve_pipeline.runtime.units import format_bytes

__all__ = ["withdrawal_report"]


def withdrawal_report(store: str, done: Withdrawal, checkpoints: Sequence[str] = ()) -> str:
    """Return the report. Cases and subjects stand in it by the beginning of their sha256.

    ``checkpoints`` are lines on those that have seen one of the cases.
    """
    lines = [
        f"Withdrawal from {store}, now generation {done.generation}, content {done.content_id}",
        "",
        f"{len(done.cases)} cases, {done.rows} rows. Names are the first 16 digits of their sha256:",
        *(f"  case {_hashed(row['case'])}, subject {_hashed(row['subject'])}" for row in done.cases),
        "",
        "Gone: pixels, masks, rows of all tables, mentions in the history and among failures, facts and prepared "
        "arrays in the work folder.",
        *(f"Selection without them now: {path.name}" for path in done.selections),
        *(f"Page that named them, removed: {path.name}" for path in done.removed),
    ]
    if done.pruned:
        lines.append(f"Older generations removed: {', '.join(map(str, done.pruned))}")
    if done.kept:
        lines.append(
            f"Older generations that still hold them: {', '.join(map(str, done.kept))}. Run again with --purge."
        )
    lines.append("")
    if done.hits is None:
        lines.append("No search was made: without --purge older generations still hold the cases.")
    else:
        lines += [
            f"Searched: {done.files} files, {format_bytes(done.nbytes)}, every byte, for {done.words} names, paths and "
            f"hashes and for the ends of {done.chunks} chunks, their checksums among them. Tables were read as text. "
            "In files that are no text, names under 8 letters were not looked for; blank chunks, and "
            "those that rows of other cases share byte for byte, are anybody's.",
            "Found: nothing." if not done.hits else f"Found: {len(done.hits)} times.",
            *(f"  {hit.what} in {hit.file}, {hit.where}" for hit in done.hits),
            "Not searched: pictures, backups, other folders, old versions that an object store keeps.",
        ]
    lines += ["", *(checkpoints or ["Checkpoints: none were looked at, or none has seen them."]), ""]
    text = "\n".join(lines)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f"{text}\nsha256 of the above: {digest}\nSigned off by: ____________________  Date: __________\n"


def _hashed(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()[:16]
