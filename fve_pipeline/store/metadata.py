"""zarr v3 metadata documents of what this package writes. Tests hold them equal to zarr-python's own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fve_pipeline.store.codec import ChunkCodec

__all__ = ["array_document", "group_document", "to_json"]

Document = dict[str, Any]


def array_document(
    shape: Sequence[int],
    shard_shape: Sequence[int],
    codec: ChunkCodec,
    dimension_names: Sequence[str],
    attributes: Mapping[str, Any],
) -> Document:
    """Return the metadata of a sharded array whose inner chunks are ``codec``'s."""
    index_codecs = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]
    sharding = {
        "chunk_shape": list(codec.shape),
        "codecs": codec.zarr_metadata(),
        "index_codecs": index_codecs,
        "index_location": "end",
    }
    return {
        "shape": list(shape),
        "data_type": np.dtype(codec.dtype).name,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(shard_shape)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
        "fill_value": 0,
        "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
        "attributes": dict(attributes),
        "dimension_names": list(dimension_names),
        "zarr_format": 3,
        "node_type": "array",
        "storage_transformers": [],
    }


def group_document(attributes: Mapping[str, Any], members: Mapping[str, Document] | None = None) -> Document:
    """Metadata of a group, with its members' consolidated in it when they are given."""
    document: Document = {"attributes": dict(attributes), "zarr_format": 3}
    if members is not None:
        document["consolidated_metadata"] = {
            "kind": "inline",
            "must_understand": False,
            "metadata": dict(members),
        }
    return {**document, "node_type": "group"}


def to_json(document: Mapping[str, Any]) -> bytes:
    """Return the document as its file holds it."""
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False).encode()
