"""Croissant metadata (version 1.0): what is in a store, under which licences, for machines to read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from fve_pipeline.files.atomic import write_whole
from fve_pipeline.store.reader import Store
from fve_pipeline.store.schema import CASES_SCHEMA, CLASSES_SCHEMA, INDEX_SCHEMA

__all__ = ["croissant", "export_croissant"]

_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "conformsTo": "dct:conformsTo",
} | {
    name: f"cr:{name}"
    for name in [
        "citeAs",
        "column",
        "equivalentProperty",
        "extract",
        "field",
        "fileObject",
        "fileProperty",
        "fileSet",
        "format",
        "includes",
        "isLiveDataset",
        "jsonPath",
        "key",
        "md5",
        "parentField",
        "path",
        "recordSet",
        "references",
        "regex",
        "repeated",
        "replace",
        "samplingRate",
        "separator",
        "source",
        "subField",
        "transform",
    ]
}

_TABLES = {
    "index": (INDEX_SCHEMA, "One record a sample: row i describes image i and mask i."),
    "cases": (CASES_SCHEMA, "One record a case: a volume with its labels."),
    "classes": (CLASSES_SCHEMA, "One record a class of a dataset: its label ids and text prompts."),
}


def croissant(store: Store, name: str) -> dict[str, Any]:
    """The metadata of a store as a JSON-LD document. Its paths are relative to the store's folder."""
    manifest = store.manifest
    settings = manifest.settings
    sources = manifest.sources
    licences = sorted({source.licence for source in sources if source.licence})
    shape = f"({len(store)}, {settings.size}, {settings.size}" + (
        ", 3)" if settings.storage == "encoded" else ")"
    )
    described = ", ".join(f"{s.dataset} ({s.licence})" for s in sources)
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": name,
        "description": (
            f"Slices of medical volumes with their masks, for training: a zarr v3 group with {settings.member} "
            f"{shape} uint8 and masks {settings.mask_dtype}, order {settings.order} of the Fractal Volumetric "
            f"Encoding. From {described}."
        ),
        "url": next((source.url for source in sources if source.url), "https://schema.org/Dataset"),
        "version": f"{manifest.generation}.0.0",
        "license": licences if len(licences) != 1 else licences[0],
        "citeAs": "\n".join(source.citation for source in sources if source.citation),
        "isBasedOn": [
            {
                "@type": "sc:Dataset",
                "name": source.dataset,
                "license": source.licence,
                "citation": source.citation,
                "url": source.url,
            }
            for source in sources
        ],
        "identifier": manifest.content_id,
        "distribution": _files(store),
        "recordSet": [_records(table, schema, text) for table, (schema, text) in _TABLES.items()],
    }


def export_croissant(store: Store, out: Path, name: str) -> None:
    """Write the metadata as ``out``; put it into the store's folder, so that its paths hold."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with write_whole(out) as file:
        file.write(json.dumps(croissant(store, name), indent=1, ensure_ascii=False).encode())


def _files(store: Store) -> list[dict[str, Any]]:
    files: list[dict[str, Any]] = []
    for table, entry in store.manifest.tables.items():
        files.append(
            {
                "@type": "cr:FileObject",
                "@id": f"{table}.parquet",
                "name": f"{table}.parquet",
                "contentUrl": entry.file.key,
                "contentSize": f"{entry.file.size} B",
                "encodingFormat": "application/x-parquet",
                "sha256": entry.file.sha256,
            }
        )
    member = store.settings.member
    for shard in store.manifest.shards:
        for array, total in ((member, shard.images), ("masks", shard.masks)):
            files.append(
                {
                    "@type": "cr:FileObject",
                    "@id": f"{array}-{shard.shard}",
                    "name": f"{array}-{shard.shard}",
                    "description": f"Shard {shard.shard} of the zarr array {array}: {shard.n_rows} samples.",
                    "contentUrl": total.key,
                    "contentSize": f"{total.size} B",
                    "encodingFormat": "application/octet-stream",
                    "sha256": total.sha256,
                }
            )
    return files


def _records(table: str, schema: pa.Schema, text: str) -> dict[str, Any]:
    fields = []
    for column in schema:
        kind, repeated = _kind(column.type)
        field = {
            "@type": "cr:Field",
            "@id": f"{table}/{column.name}",
            "name": column.name,
            "dataType": kind,
            "source": {"fileObject": {"@id": f"{table}.parquet"}, "extract": {"column": column.name}},
        }
        fields.append(field | {"repeated": True} if repeated else field)
    return {"@type": "cr:RecordSet", "@id": table, "name": table, "description": text, "field": fields}


def _kind(kind: pa.DataType) -> tuple[str, bool]:
    """Schema.org's name of a column's type, and whether it is a list."""
    if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        return _kind(kind.value_type)[0], True
    if pa.types.is_dictionary(kind):
        return _kind(kind.value_type)
    if pa.types.is_boolean(kind):
        return "sc:Boolean", False
    if pa.types.is_integer(kind):
        return "sc:Integer", False
    return ("sc:Float" if pa.types.is_floating(kind) else "sc:Text"), False
