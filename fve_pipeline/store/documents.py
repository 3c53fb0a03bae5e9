"""The zarr metadata of a store, as a function of its manifest."""

from __future__ import annotations

import hashlib

import numpy as np

from fve_pipeline.store.codec import ChunkCodec
from fve_pipeline.store.layout import MASKS
from fve_pipeline.store.metadata import Document, array_document, group_document, to_json
from fve_pipeline.store.schema import Manifest, StoreSettings

__all__ = ["mask_codec", "pixel_codec", "store_documents"]


# Of zstd. At this level masks are decoded a third faster than at level 1, from 60 % of the bytes: its matches
# are copies of the row above, where level 1 repeats single bytes.
_MASK_LEVEL = 10
_OLD_MASK_LEVEL = 1  # of encoding's version 1
# Two bytes a value, most of them equal: at this level they take no more than 1.1 times what one byte a value takes.
_OVERLAPS_LEVEL = 11


def pixel_codec(settings: StoreSettings) -> ChunkCodec:
    """Return the codec of ``images`` or ``slices``, whose chunks are one sample each."""
    side = settings.size
    shape = (1, side, side, 3) if settings.storage == "encoded" else (1, side, side)
    return ChunkCodec(settings.codec, shape, np.dtype(np.uint8))


def mask_codec(settings: StoreSettings, encode_version: int | None = None) -> ChunkCodec:
    """Return the codec of ``masks``, as encoding of that version (by default today's) compresses them."""
    shape = (1, settings.size, settings.size)
    level = _OLD_MASK_LEVEL if encode_version == 1 else _OVERLAPS_LEVEL if settings.overlaps else _MASK_LEVEL
    return ChunkCodec(settings.mask_codec, shape, np.dtype(settings.mask_dtype), level)


def store_documents(manifest: Manifest) -> dict[str, bytes]:
    """Return the store's metadata files by key, the root's last, which consolidates the others."""
    settings = manifest.settings
    version = {"format_version": manifest.format_version}
    encoding = {name: getattr(settings, name) for name in ("storage", "order", "boundary", "downsample")}
    if settings.storage == "encoded":
        encoding["channels"] = ["focal", "before", "after"]
    members: dict[str, Document] = {
        settings.member: _document(manifest, pixel_codec(settings), {**version, **encoding}),
        MASKS: _document(manifest, mask_codec(settings, manifest.versions.encode), version),
    }
    root = {"fve": {**version, "manifest_sha256": hashlib.sha256(manifest.to_bytes()).hexdigest()}}
    documents = {f"{name}/zarr.json": to_json(document) for name, document in members.items()}
    return {**documents, "zarr.json": to_json(group_document(root, members))}


def _document(manifest: Manifest, codec: ChunkCodec, fve: Document) -> Document:
    rest = codec.shape[1:]
    return array_document(
        (manifest.n_samples, *rest),
        (manifest.settings.shard_samples, *rest),
        codec,
        ("sample", "y", "x", "channel")[: len(codec.shape)],
        {"fve": fve},
    )
