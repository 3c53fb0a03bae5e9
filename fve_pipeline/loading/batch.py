"""What a dataset gives: samples one by one, or a batch that was read in one piece."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fve_pipeline.loading.share import Batch

__all__ = ["LoadedBatch", "Samples", "collate"]


@dataclass(frozen=True)
class LoadedBatch(Batch):
    """A batch as the trainer takes it.

    ``images`` are (B, 3, S, S) uint8 in the channels-last layout: focal slice, slices before, slices after.
    ``masks`` are (B, P, S, S), one a prompt, or (B, S, S) with the dataset's own ids where no prompts are
    drawn. ``classes`` name, as "dataset/class", what each prompt asks for. ``samples`` number the draws: the
    same in every epoch and every run.
    """

    classes: Sequence[Sequence[str]] = ()

    def to(self, device: Any, *, non_blocking: bool = True) -> LoadedBatch:
        """Return the batch with its tensors on ``device``."""
        images = self.images.to(device, non_blocking=non_blocking)
        masks = self.masks.to(device, non_blocking=non_blocking)
        return LoadedBatch(images, masks, self.prompts, self.samples, self.classes)

    def pin_memory(self) -> LoadedBatch:
        """Return the batch in pinned memory; torch's DataLoader calls this."""
        images, masks = self.images.pin_memory(), self.masks.pin_memory()
        return LoadedBatch(images, masks, self.prompts, self.samples, self.classes)


class Samples(list[dict[str, Any]]):
    """Samples of one batch, as dictionaries, with the ``batch`` that they are views of.

    Keys: ``image`` (3, S, S), ``mask`` (S, S) or ``masks`` (P, S, S), ``sample``; with prompts also ``prompts``
    and ``classes``.
    """

    def __init__(self, batch: LoadedBatch) -> None:
        self.batch = batch
        for i, sample in enumerate(batch.samples):
            item: dict[str, Any] = {"image": batch.images[i], "sample": sample}
            if batch.prompts:
                item |= {"masks": batch.masks[i], "prompts": batch.prompts[i], "classes": batch.classes[i]}
            else:
                item["mask"] = batch.masks[i]
            self.append(item)


def collate(samples: Samples) -> LoadedBatch:
    """``collate_fn`` for a torch DataLoader: the batch as it was read, nothing copied."""
    return samples.batch
