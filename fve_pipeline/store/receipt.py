"""Receipts: what a finished task leaves beside its shard. Resuming trusts nothing else."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from fve_pipeline.files.base import Files
from fve_pipeline.store.layout import MASKS, Member, receipt_key, shard_key
from fve_pipeline.store.schema import ShardEntry
from fve_pipeline.store.shard import FileSum

__all__ = ["Receipt", "read_receipts", "write_receipt"]


class Receipt(BaseModel):
    """One staged shard: ``n_rows`` rows from ``first_row`` on.

    The first ``copied`` of them are the tail of the committed store, taken over as they are.
    ``images`` and ``masks`` are the staged files. ``row_digests``, ``class_ids`` and ``class_pixels`` have
    one entry for each row that is not copied.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    shard: int
    first_row: int
    n_rows: int
    copied: int = 0
    plan_hash: str
    images: FileSum
    masks: FileSum
    row_digests: tuple[str, ...]
    class_ids: tuple[tuple[int, ...], ...]
    class_pixels: tuple[tuple[int, ...], ...]

    @model_validator(mode="after")
    def _one_entry_a_new_row(self) -> Receipt:
        new = self.n_rows - self.copied
        if not len(self.row_digests) == len(self.class_ids) == len(self.class_pixels) == new > 0:
            msg = f"shard {self.shard} has {new} new rows and {len(self.row_digests)} digests"
            raise ValueError(msg)
        return self

    def entry(self, member: Member) -> ShardEntry:
        """Return the shard as the manifest lists it, its files where they lie once committed."""
        images = self.images.model_copy(update={"key": shard_key(member, self.shard)})
        masks = self.masks.model_copy(update={"key": shard_key(MASKS, self.shard)})
        return ShardEntry(shard=self.shard, n_rows=self.n_rows, images=images, masks=masks)


def write_receipt(files: Files, generation: str, receipt: Receipt) -> None:
    """Leave the receipt, after both of its files are durable."""
    key = receipt_key(generation, receipt.shard, receipt.plan_hash)
    files.write_atomic(key, [receipt.model_dump_json().encode()])


def read_receipts(files: Files, generation: str, plan_hash_of: Mapping[int, str]) -> dict[int, Receipt]:
    """Return the receipts of the shards in ``plan_hash_of`` that can be trusted, by shard.

    A receipt of another plan, or whose files are not there with the size it says, is as good as none.
    """
    found = {}
    for shard, plan_hash in plan_hash_of.items():
        try:
            receipt = Receipt.model_validate_json(files.read(receipt_key(generation, shard, plan_hash)))
            sizes = [files.size(total.key) for total in (receipt.images, receipt.masks)]
        except (FileNotFoundError, ValidationError):
            continue
        if receipt.plan_hash == plan_hash and sizes == [receipt.images.size, receipt.masks.size]:
            found[shard] = receipt
    return found
