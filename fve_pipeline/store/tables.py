"""The three tables of a store: their schemas, and how they become Parquet files."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

__all__ = [
    "CASES_SCHEMA",
    "CLASSES_SCHEMA",
    "FINDINGS_SCHEMA",
    "INDEX_SCHEMA",
    "TableName",
    "migrated",
    "schema_of",
    "table_bytes",
]

TableName = Literal["index", "cases", "classes", "findings"]

_WORD = pa.dictionary(pa.int32(), pa.string())
_ROW_GROUP = 256 * 1024

# Row i describes sample i.
INDEX_SCHEMA = pa.schema(
    [
        ("dataset", _WORD),
        ("case", _WORD),  # "dataset/name"
        ("subject", _WORD),  # what splits and coresets group by
        ("modality", _WORD),
        ("rendition", _WORD),  # window or channel
        ("view", _WORD),  # axial, coronal, sagittal: the axis sliced
        ("split", _WORD),
        ("source", _WORD),  # path of the image relative to the dataset's root
        ("source_sha256", _WORD),
        ("slice", pa.int32()),  # along the view's axis
        ("z_mm", pa.float32()),  # world coordinate (LPS, mm) along that axis
        ("spacing", pa.list_(pa.float32(), 3)),  # (z, y, x) in mm
        ("shape", pa.list_(pa.int32(), 2)),  # (H, W) of the slice before padding
        ("class_ids", pa.list_(pa.uint16())),  # catalog classes present, unions included
        ("class_pixels", pa.list_(pa.uint32())),  # parallel to class_ids, counted at the stored size
    ]
)

CASES_SCHEMA = pa.schema(
    [
        ("case", pa.string()),
        ("dataset", pa.string()),
        ("subject", pa.string()),
        ("modality", pa.string()),
        ("split", pa.string()),
        ("source", pa.string()),
        ("source_sha256", pa.string()),
        ("source_bytes", pa.int64()),
        ("labels", pa.list_(pa.string())),
        ("labels_sha256", pa.list_(pa.string())),
        ("shape", pa.list_(pa.int32(), 3)),  # (z, y, x)
        ("spacing", pa.list_(pa.float32(), 3)),  # (z, y, x) in mm
        # 4 rows of 4: voxel (z, y, x, 1) to LPS (x, y, z, 1) in mm. Of no fixed size: pyarrow up to 22, at the least,
        # cannot read null ones of that kind back.
        ("affine", pa.list_(pa.list_(pa.float64()))),
        ("orientation", pa.string()),  # axis codes of the source, such as RAS
        ("renditions", pa.list_(pa.string())),
        ("views", pa.list_(pa.string())),
        ("class_ids", pa.list_(pa.uint16())),
        ("class_voxels", pa.list_(pa.uint64())),  # parallel to class_ids, in the whole volume
        ("class_extent", pa.list_(pa.list_(pa.float32(), 3))),  # bounding box (z, y, x) in mm
        ("class_centroid", pa.list_(pa.list_(pa.float32(), 3))),  # (z, y, x) relative, 0..1
        ("pixels_sha256", pa.string()),  # of the prepared images: equal pixels are a duplicate case
        ("quantiles", pa.list_(pa.float32())),  # 0.5, 5, 25, 50, 75, 95, 99.5 % of the first rendition
        ("gradient_energy", pa.float32()),
        ("resampled_labels", pa.bool_()),
        ("decision", pa.string()),  # the intensity rule that was applied
        ("notes", pa.list_(pa.string())),
        ("recipe", pa.string()),  # JSON of all that preparing the case again needs, besides its sources
        ("n_samples", pa.int64()),
    ]
)

CLASSES_SCHEMA = pa.schema(
    [
        ("dataset", pa.string()),
        ("class_id", pa.uint16()),
        ("name", pa.string()),
        (
            "ids",
            pa.list_(pa.uint16()),
        ),  # mask values that make up the class, combinations too; none for instances
        ("label_ids", pa.list_(pa.uint16())),  # those of them that the catalog names
        ("instance", pa.bool_()),
        ("side", pa.string()),  # left, right or ""
        ("prompts", pa.list_(pa.string())),
        ("renditions", pa.list_(pa.string())),  # those that show the class; none means all
    ]
)

FINDINGS_SCHEMA = pa.schema(
    [
        ("case", pa.string()),
        ("dataset", pa.string()),
        ("finding", pa.int32()),  # its number within the case, from 0
        ("texts", pa.list_(pa.string())),  # the sentence, in one or several wordings
        ("mask_ids", pa.list_(pa.uint16())),  # mask values in this case's rows that are the finding's
        ("voxels", pa.uint64()),  # in the whole volume
        ("source", pa.string()),  # path of the mask, or of the table, relative to the dataset's root
    ]
)

_SCHEMAS: Mapping[TableName, pa.Schema] = {
    "index": INDEX_SCHEMA,
    "cases": CASES_SCHEMA,
    "classes": CLASSES_SCHEMA,
    "findings": FINDINGS_SCHEMA,
}

# Columns that came with a later version of the format than the first.
_SINCE: Mapping[TableName, Mapping[str, int]] = {"cases": {"affine": 2}, "classes": {"label_ids": 2}}
# Those that held what another column holds, before they were told apart. The others are null in an older table.
_FROM: Mapping[str, str] = {"label_ids": "ids"}


def schema_of(name: TableName, version: int | None = None) -> pa.Schema:
    """Return a table's columns in a version of the format, the present one by default."""
    since = _SINCE.get(name, {})
    return pa.schema(
        [field for field in _SCHEMAS[name] if version is None or since.get(field.name, 1) <= version]
    )


def migrated(table: pa.Table, name: TableName) -> pa.Table:
    """Return a table of any version of the format with the columns of the present one."""
    schema = schema_of(name)
    if table.schema.equals(schema):
        return table

    def column(field: pa.Field) -> Any:
        held = field.name if field.name in table.column_names else _FROM.get(field.name)
        return pa.nulls(len(table), field.type) if held is None else table.column(held)

    return pa.table([column(field) for field in schema], schema=schema)


def table_bytes(table: pa.Table, schema: pa.Schema) -> bytes:
    """Return the table as a Parquet file. Equal rows give equal bytes, however the table was put together.

    Raises pyarrow.ArrowInvalid or TypeError when the table is not of the schema.
    """
    # One dictionary a row group, in order of first appearance, whatever pieces the table came in. Text is laid out
    # plainly on the way, for one row group at a time: Arrow holds at most 2 GiB of it in one array.
    plain = pa.schema([pa.field(f.name, f.type.value_type) if f.type == _WORD else f for f in schema])
    words = [field.name for field in plain if pa.types.is_string(field.type)]
    selected = table.select(schema.names)
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, schema, compression="zstd", use_dictionary=words) as writer:
        for first in range(0, max(1, len(selected)), _ROW_GROUP):
            part = selected.slice(first, _ROW_GROUP).cast(plain).combine_chunks().cast(schema)
            writer.write_table(part.replace_schema_metadata(None), row_group_size=_ROW_GROUP)
    return sink.getvalue()
