"""One shard of images and masks, collected row by row and staged with its receipt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fve_pipeline.files.base import Files
from fve_pipeline.store.layout import MASKS, Member, staged_shard
from fve_pipeline.store.receipt import Receipt, write_receipt
from fve_pipeline.store.schema import StoreSettings
from fve_pipeline.store.shard import write_shard

__all__ = ["ShardStage", "ShardTarget"]


@dataclass(frozen=True, slots=True)
class ShardTarget:
    """Where a shard is staged: the store's files, the generation to be, its number, and the plan it is of."""

    files: Files
    generation: str
    shard: int
    plan_hash: str
    settings: StoreSettings

    def key(self, member: Member) -> str:
        """Return where the member's file is staged."""
        return staged_shard(self.generation, member, self.shard, self.plan_hash)


class ShardStage:
    """Encoded chunks of one shard's rows; ``write`` makes its two files durable and leaves the receipt."""

    def __init__(self, target: ShardTarget) -> None:
        self._target = target
        self._images: list[bytes] = []
        self._masks: list[bytes] = []
        self._digests: list[str] = []
        self._class_ids: list[tuple[int, ...]] = []
        self._class_pixels: list[tuple[int, ...]] = []

    def keep(self, images: Sequence[bytes], masks: Sequence[bytes]) -> None:
        """Take over rows that the committed tail shard holds, as they are; before any other row."""
        self._images.extend(images)
        self._masks.extend(masks)

    def add(
        self, image: bytes, mask: bytes, digest: str, class_ids: Sequence[int], class_pixels: Sequence[int]
    ) -> None:
        """Add one row: its encoded chunks, its digest, and the classes that it shows with their pixels."""
        self._images.append(image)
        self._masks.append(mask)
        self._digests.append(digest)
        self._class_ids.append(tuple(class_ids))
        self._class_pixels.append(tuple(class_pixels))

    def write(self) -> int:
        """Stage both files and the receipt; return the number of rows that were added."""
        target, capacity = self._target, self._target.settings.shard_samples
        receipt = Receipt(
            shard=target.shard,
            first_row=target.shard * capacity,
            n_rows=len(self._images),
            copied=len(self._images) - len(self._digests),
            plan_hash=target.plan_hash,
            images=write_shard(target.files, target.key(target.settings.member), self._images, capacity),
            masks=write_shard(target.files, target.key(MASKS), self._masks, capacity),
            row_digests=tuple(self._digests),
            class_ids=tuple(self._class_ids),
            class_pixels=tuple(self._class_pixels),
        )
        write_receipt(target.files, target.generation, receipt)
        return len(self._digests)
