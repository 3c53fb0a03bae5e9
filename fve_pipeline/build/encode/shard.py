"""Stage 2: one shard -> its encoded slices and masks, staged with a receipt. No data moves between tasks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from fve_kernels.cpu_statistics import label_counts
from fve_pipeline.build.encode.plan import Segment, ShardPlan
from fve_pipeline.files.base import Files
from fve_pipeline.imaging.encoding import context_depth, encode
from fve_pipeline.imaging.resample import Fit
from fve_pipeline.imaging.views import AXES, take_view
from fve_pipeline.store.array import ShardedArray
from fve_pipeline.store.class_table import MaskClasses
from fve_pipeline.store.content import row_digest
from fve_pipeline.store.documents import mask_codec, pixel_codec
from fve_pipeline.store.findings import identity
from fve_pipeline.store.layout import MASKS, Member, shard_key
from fve_pipeline.store.schema import StoreSettings
from fve_pipeline.store.shard import ShardFile, copy_chunks
from fve_pipeline.store.stage import ShardStage, ShardTarget

__all__ = [
    "ENCODE_VERSION",
    "EncodeJob",
    "PreparedCase",
    "encode_segment",
    "encode_shard",
    "encoding_inputs",
    "predicted_bytes",
    "segment_bytes",
    "segment_samples",
]

# Raised whenever the same prepared data and settings would give other stored bytes.
ENCODE_VERSION = 2

_ROWS_AT_ONCE = 2


@dataclass(frozen=True, slots=True)
class PreparedCase:
    """What encoding needs to know of a case: its group in the prepared store, shape (z,y,x), and what the masks
    of each rendition hold. ``values`` are those of combinations by rendition, in the prepared labels and in the
    store; none where no labels of the case overlap. ``findings`` is the digest of its findings, if it has any."""

    group: str
    shape: tuple[int, int, int]
    renditions: Mapping[str, MaskClasses]
    values: Mapping[str, tuple[tuple[int, int], ...]] = field(default_factory=dict)
    findings: str | None = None


@dataclass(frozen=True, slots=True)
class EncodeJob:
    """One shard to write to ``target``, from the prepared store ``prepared``."""

    target: ShardTarget
    prepared: Files
    shard: ShardPlan
    cases: Mapping[str, PreparedCase]
    device: str = "cpu"


def encoding_inputs(settings: StoreSettings) -> dict[str, Any]:
    """The settings that decide a shard's bytes, with the version of this stage."""
    names = (
        "storage",
        "order",
        "boundary",
        "downsample",
        "size",
        "resize",
        "codec",
        "shard_samples",
        "mask_dtype",
    )
    return {name: getattr(settings, name) for name in names} | {"version": ENCODE_VERSION}


def predicted_bytes(job: EncodeJob) -> int:
    """Peak memory of writing a shard: one slab with its context at native and at stored size, and the shard."""
    settings = job.target.settings
    slab = max(
        (segment_bytes(segment, job.cases[segment.case].shape, settings) for segment in job.shard.segments),
        default=0,
    )
    return slab + 4 * job.shard.n_rows * settings.size**2 + (128 << 20)


def segment_bytes(segment: Segment, shape: tuple[int, int, int], settings: StoreSettings) -> int:
    """Memory of one slab with its context, at native size, ``shape`` (z,y,x) being the volume's, and at stored size."""
    native = int(np.prod(shape)) // segment.length
    slices = segment.stop - segment.start + 2 * context_depth(settings.order)
    return slices * (3 * native + 8 * settings.size**2)


def encode_shard(job: EncodeJob) -> int:
    """Read the slabs that the shard's rows need, resize, encode, write both shards and the receipt.

    Returns the number of new rows.
    """
    cv2.setNumThreads(1)
    settings = job.target.settings
    stage = ShardStage(job.target)
    stage.keep(list(_committed(job, settings.member)), list(_committed(job, MASKS)))
    for segment in job.shard.segments:
        encode_segment(stage, job.prepared, settings, segment, job.cases[segment.case], job.device)
    return stage.write()


def encode_segment(
    stage: ShardStage,
    prepared: Files,
    settings: StoreSettings,
    segment: Segment,
    case: PreparedCase,
    device: str = "cpu",
) -> None:
    """Encode the rows of one segment of a prepared case, and add them to the stage."""
    image_codec, masks_codec = pixel_codec(settings), mask_codec(settings)
    samples = segment_samples(prepared, settings, segment, case, device)
    for row, (image, focal_slice, mask) in enumerate(samples, segment.start):
        present = case.renditions[segment.rendition].present(label_counts(mask))
        who = identity(segment.case, segment.rendition, segment.view, row, case.findings)
        stage.add(
            image_codec.encode_chunk(image[None]),
            masks_codec.encode_chunk(mask[None]),
            row_digest(who, focal_slice, mask),
            tuple(present),
            tuple(present.values()),
        )


def _committed(job: EncodeJob, member: Member) -> Iterable[bytes]:
    """Compressed chunks of the rows that the store's tail shard holds already, as they are."""
    if not job.shard.copied:
        return ()
    tail = ShardFile(job.target.files, shard_key(member, job.shard.shard), job.target.settings.shard_samples)
    return (bytes(chunk) for chunk in copy_chunks(tail, job.shard.copied))


def segment_samples(
    prepared: Files, settings: StoreSettings, segment: Segment, case: PreparedCase, device: str = "cpu"
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[Any]]]:
    """Yield the image to store, the focal slice and the mask of each row of a segment, at the stored size.

    An image is good until the next one is asked for.
    """
    context = context_depth(settings.order) if settings.storage == "encoded" else 0
    low, high = max(0, segment.start - context), min(segment.length, segment.stop + context)
    slab = _read(prepared, f"{case.group}/{segment.rendition}", segment.view, low, high)
    labels = _read(prepared, f"{case.group}/labels", segment.view, segment.start, segment.stop)
    height, width = slab.shape[1:]
    fit = Fit((height, width), settings.size, settings.resize)
    slices = fit.images(np.ascontiguousarray(slab))
    kept = case.renditions[segment.rendition].kept
    if values := case.values.get(segment.rendition):
        table = np.arange(np.iinfo(labels.dtype).max + 1, dtype=labels.dtype)
        if kept is not None:
            table[~np.isin(table, kept)] = 0
        table[[prepared_as for prepared_as, _ in values]] = [stored_as for _, stored_as in values]
        labels = table[labels]
    elif kept is not None:
        labels = np.where(np.isin(labels, kept), labels, labels.dtype.type(0))
    # The store's dtype is the widest of its datasets'.
    masks = fit.masks(np.ascontiguousarray(labels, dtype=settings.mask_dtype))
    focal = slices[segment.start - low : segment.stop - low]
    images = focal if settings.storage == "slices" else _encoded(slices, segment, low, settings, device)
    yield from zip(images, focal, masks, strict=True)


def _encoded(
    slices: NDArray[np.uint8], segment: Segment, low: int, settings: StoreSettings, device: str
) -> Iterator[NDArray[np.uint8]]:
    """Encode the segment's slices out of ``slices``, the first of which is slice ``low``.

    A few at a time where each needs its neighbours only: they are compressed while they are in the cache, and the
    whole segment takes no memory. Deeper orders halve each slice once for all of them.
    """
    rows = np.arange(segment.start - low, segment.stop - low)
    step = _ROWS_AT_ONCE if settings.order <= 1 and device == "cpu" else len(rows)
    out = np.empty((step, *slices.shape[1:], 3), np.uint8)
    for first in range(0, len(rows), step):
        focal = rows[first : first + step]
        yield from encode(
            slices,
            settings.order,
            settings.boundary,
            settings.downsample,
            focal=focal,
            out=out[: len(focal)],
            device=device,
        )


def _read(files: Files, path: str, view: str, start: int, stop: int) -> NDArray[Any]:
    """Slices ``start:stop`` of a prepared array along a view: (n,H,W)."""
    bounds = [slice(None)] * 3
    bounds[AXES[view]] = slice(start, stop)
    return take_view(ShardedArray(files, path).read(bounds), view)
