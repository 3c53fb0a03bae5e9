"""One shard of images and masks, collected row by row and staged with its receipt."""

from __future__ import annotations

from collections.abc import Sequence

from fve_pipeline.files.base import Files
from fve_pipeline.store.layout import MASKS, staged_shard
from fve_pipeline.store.receipt import Receipt, write_receipt
from fve_pipeline.store.schema import StoreSettings
from fve_pipeline.store.shard import write_shard

__all__ = ["ShardStage"]


class ShardStage:
    """Encoded chunks of one shard's rows; ``write`` makes its two files durable and leaves the receipt."""

    def __init__(
        self, files: Files, generation: str, shard: int, plan_hash: str, settings: StoreSettings
    ) -> None:
        self._files = files
        self._generation = generation
        self._shard = shard
        self._plan_hash = plan_hash
        self._settings = settings
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
        """One row: its encoded chunks, its digest, and the classes that it shows with their pixels."""
        self._images.append(image)
        self._masks.append(mask)
        self._digests.append(digest)
        self._class_ids.append(tuple(class_ids))
        self._class_pixels.append(tuple(class_pixels))

    def write(self) -> Receipt:
        """Stage both files and the receipt."""
        capacity = self._settings.shard_samples
        image_key, mask_key = (
            staged_shard(self._generation, member, self._shard, self._plan_hash)
            for member in (self._settings.member, MASKS)
        )
        receipt = Receipt(
            shard=self._shard,
            first_row=self._shard * capacity,
            n_rows=len(self._images),
            copied=len(self._images) - len(self._digests),
            plan_hash=self._plan_hash,
            images=write_shard(self._files, image_key, self._images, capacity),
            masks=write_shard(self._files, mask_key, self._masks, capacity),
            row_digests=tuple(self._digests),
            class_ids=tuple(self._class_ids),
            class_pixels=tuple(self._class_pixels),
        )
        write_receipt(self._files, self._generation, receipt)
        return receipt
