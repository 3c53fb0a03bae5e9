"""What a shard of a changed store is put together from: rows that it had, and segments of prepared cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2

from fve_pipeline.build.copy import CopyRow, copy_row
from fve_pipeline.build.encode.plan import Segment
from fve_pipeline.build.encode.shard import PreparedCase, encode_segment
from fve_pipeline.errors import StoreFormatError
from fve_pipeline.files.base import Files, ReadableFiles
from fve_pipeline.store.opened import OpenShards
from fve_pipeline.store.stage import ShardStage, ShardTarget

__all__ = ["OldRows", "Piece", "RowsJob", "cut_pieces", "rows_in", "write_rows"]


@dataclass(frozen=True, slots=True)
class OldRows:
    """Rows ``first`` to ``first + n`` of the store that is changed."""

    first: int
    n: int


Piece = OldRows | Segment


@dataclass(frozen=True, slots=True)
class RowsJob:
    """One shard to write to ``target``: rows copied from the store's shards, and segments of prepared cases."""

    target: ShardTarget
    base: ReadableFiles
    pieces: tuple[tuple[CopyRow, ...] | Segment, ...]
    digests: bytes  # of the rows to copy, one after another
    prepared: Files
    cases: Mapping[str, PreparedCase]
    device: str = "cpu"


def cut_pieces(pieces: Sequence[Piece], capacity: int) -> list[list[Piece]]:
    """Return the pieces by shard of ``capacity`` rows; old rows that follow each other are one."""
    shards: list[list[Piece]] = [[]]
    room = capacity

    def put(piece: Piece, n: int) -> None:
        nonlocal room
        last = shards[-1][-1] if shards[-1] else None
        if isinstance(piece, OldRows) and isinstance(last, OldRows) and last.first + last.n == piece.first:
            shards[-1][-1] = OldRows(last.first, last.n + piece.n)
        else:
            shards[-1].append(piece)
        room -= n
        if not room:
            shards.append([])
            room = capacity

    for piece in pieces:
        if isinstance(piece, OldRows):
            first, stop = piece.first, piece.first + piece.n
            while first < stop:
                n = min(room, stop - first)
                put(OldRows(first, n), n)
                first += n
        else:
            start = piece.start
            while start < piece.stop:
                n = min(room, piece.stop - start)
                put(
                    Segment(piece.case, piece.rendition, piece.view, piece.length, start, start + n),
                    n,
                )
                start += n
    return shards if shards[-1] else shards[:-1]


def rows_in(pieces: Sequence[Piece]) -> int:
    """Return how many rows the pieces are."""
    return sum(piece.n if isinstance(piece, OldRows) else piece.stop - piece.start for piece in pieces)


def write_rows(job: RowsJob) -> int:
    """Copy and encode the rows of one shard, leave the receipt; return how many they are.

    Raises StoreFormatError when a row to copy is no longer what was committed.
    """
    cv2.setNumThreads(1)
    settings = job.target.settings
    shards, stage, place = OpenShards(job.base, settings.shard_samples), ShardStage(job.target), 0
    for piece in job.pieces:
        if isinstance(piece, Segment):
            encode_segment(stage, job.prepared, settings, piece, job.cases[piece.case], job.device)
            continue
        for row in piece:
            digest = copy_row(stage, shards, settings.shard_samples, settings, row)
            if bytes.fromhex(digest) != job.digests[32 * place : 32 * (place + 1)]:
                msg = (
                    f"{job.base.url}: row {row.row} ({row.identity[0]}) is not what was committed; see fve verify, and "
                    "fve encode --repair"
                )
                raise StoreFormatError(msg)
            place += 1
    return stage.write()
