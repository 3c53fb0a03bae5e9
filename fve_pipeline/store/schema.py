"""What a store says about itself: the models of ``manifest.json``. They write, read and verify it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fve_pipeline.store.codec import CodecName
from fve_pipeline.store.layout import CASES, CLASSES, FINDINGS, INDEX, MASKS, Member, member_of, shard_key
from fve_pipeline.store.shard import FileSum, Sha256
from fve_pipeline.store.tables import CASES_SCHEMA, CLASSES_SCHEMA, INDEX_SCHEMA, TableName

__all__ = [
    "CASES_SCHEMA",
    "CLASSES_SCHEMA",
    "FORMAT_VERSION",
    "INDEX_SCHEMA",
    "ChangeEntry",
    "FailureEntry",
    "Manifest",
    "ShardEntry",
    "SourceEntry",
    "StoreSettings",
    "TableEntry",
    "TableName",
    "Versions",
]

# 2: cases.parquet has the affine; classes.parquet has label_ids beside ids, which name combinations of overlapping
# classes too.
FORMAT_VERSION = 2

# A rule, or the views themselves.
VIEWS_PATTERN = r"^(paper|released|(axial|coronal|sagittal)(,(axial|coronal|sagittal)){0,2})$"

TABLE_KEYS: Mapping[TableName, str] = {
    "index": INDEX,
    "cases": CASES,
    "classes": CLASSES,
    "findings": FINDINGS,
}
# Tables of stores that have something to put into them.
OPTIONAL: frozenset[TableName] = frozenset({"findings"})

# At most so many bytes come out of one: a length of LZ4's grows by 255 a byte, and a block of zstd's, 128 KiB,
# takes four.
DENSEST: Mapping[CodecName, int] = {"lz4": 256, "zstd": 1 << 15, "none": 1}

Count = Annotated[int, Field(ge=0)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StoreSettings(_Model):
    """Everything that the bytes of a store depend on, besides its sources.

    ``order``, ``boundary`` and ``downsample`` are those of the Fractal Volumetric Encoding; a ``slices``
    store is encoded when it is read, so there they are what a reader uses unless it is told otherwise.
    ``size`` is S, the side of every slice; ``resize`` names the way there, padding included. ``intensity_rule`` is
    how images whose catalog names a window become uint8, ``percentiles_over`` how the others do.
    ``nonfinite`` replaced NaN and infinite voxels, where there were any, and ``resample_tilt`` says whether tilted
    series were straightened. ``subject_salt`` is a hash of the salt under which subjects are hashed, if they are.
    ``overlaps`` says whether some dataset's labels may overlap; their masks are compressed for many values.
    ``shard_samples`` is M, the samples a shard. ``seed`` and the fractions decide the split of a subject.
    """

    preset: Literal["paper", "released"]
    storage: Literal["encoded", "slices"] = "encoded"
    order: Annotated[int, Field(ge=0)] = 1
    boundary: Literal["repeat", "mirror"] = "repeat"
    downsample: Literal["mean", "stride"] = "mean"
    size: Annotated[int, Field(gt=0)] = 512
    resize: Literal["opencv", "released"] = "opencv"
    intensity_rule: Literal["window", "medsam"] = "window"
    percentiles_over: Literal["positive", "all"] = "positive"
    nonfinite: float | None = None
    resample_tilt: bool = False
    subject_salt: Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")] | None = None
    views_rule: Annotated[str, Field(pattern=VIEWS_PATTERN)] = "paper"
    training_views: bool = False
    codec: CodecName = "lz4"
    mask_dtype: Literal["uint8", "uint16"] = "uint8"
    overlaps: bool = Field(default=False, exclude_if=lambda overlaps: not overlaps)
    shard_samples: Annotated[int, Field(gt=0)]
    seed: int = 0
    val_fraction: Annotated[float, Field(ge=0, le=1)] = 0.1
    test_fraction: Annotated[float, Field(ge=0, le=1)] = 0.0

    @model_validator(mode="after")
    def _size_divides(self) -> StoreSettings:
        side = 2 ** max(0, self.order - 1)
        if self.size % side:
            msg = f"size {self.size} is not divisible by {side}, which order {self.order} needs"
            raise ValueError(msg)
        if self.val_fraction + self.test_fraction > 1:
            msg = f"val_fraction {self.val_fraction} and test_fraction {self.test_fraction} exceed 1 together"
            raise ValueError(msg)
        return self

    @property
    def member(self) -> Member:
        """The array that holds the pixels: ``images`` or ``slices``."""
        return member_of(self.storage)

    @property
    def mask_codec(self) -> CodecName:
        """Codec of the masks: zstd whatever the images have, unless nothing is compressed."""
        return "none" if self.codec == "none" else "zstd"

    @property
    def pixel_bytes(self) -> int:
        """Bytes of one sample's pixels, decoded."""
        return self.size * self.size * (3 if self.storage == "encoded" else 1)

    @property
    def mask_bytes(self) -> int:
        """Bytes of one sample's mask, decoded."""
        return self.size * self.size * (2 if self.mask_dtype == "uint16" else 1)


class Versions(_Model):
    """Versions of the two stages that made the bytes. Another version makes other bytes."""

    prepare: int
    encode: int


class ShardEntry(_Model):
    """One shard of both arrays: how many rows it holds and the sums of its two files.

    ``images`` is the file of the ``images`` or the ``slices`` array, as the store's storage is.
    """

    shard: Count
    n_rows: Annotated[int, Field(gt=0)]
    images: FileSum
    masks: FileSum


class SourceEntry(_Model):
    """One dataset that is in the store, with the terms it comes under.

    ``findings`` says whether all findings of each case are listed, where the dataset has sentences of its cases.
    """

    dataset: str
    licence: str
    citation: str
    url: str
    catalog_sha256: Sha256
    findings: Literal["complete", "partial"] | None = Field(
        default=None, exclude_if=lambda findings: findings is None
    )


class FailureEntry(_Model):
    """One case that could not be used, and why. The store is whole without it."""

    case: str
    stage: str
    reason: str


class TableEntry(_Model):
    """One Parquet file, and how many of its rows are committed."""

    file: FileSum
    n_rows: Count


class ChangeEntry(_Model):
    """What one commit changed: ``cases`` by the reason why they were; those that were withdrawn are only counted."""

    generation: Annotated[int, Field(ge=1)]
    kind: Literal["append", "update", "withdraw"]
    content_id: Sha256
    n_samples: Count
    cases: dict[str, tuple[str, ...]] = {}
    withdrawn: Count = 0


class Manifest(_Model):
    """``manifest.json``, written last: a store without one is not committed.

    ``n_samples`` is N, whatever length the arrays and tables have at the moment. ``content_id`` is the chain
    of row digests (``fve_pipeline.store.content``). ``generation`` counts the commits since the folder was
    new. ``format_version`` is the one that the store was written in. ``history`` tells what was changed, from the
    first commit on that did more than append; none before.
    """

    format_version: Literal[1, 2] = 2
    generation: Annotated[int, Field(ge=1)]
    n_samples: Count
    n_cases: Count
    content_id: Sha256
    settings: StoreSettings
    versions: Versions
    tables: dict[TableName, TableEntry]
    sources: tuple[SourceEntry, ...]
    failures: tuple[FailureEntry, ...]
    shards: tuple[ShardEntry, ...]
    history: tuple[ChangeEntry, ...] = ()

    @model_validator(mode="after")
    def _rows_add_up(self) -> Manifest:
        size = self.settings.shard_samples
        rows = [entry.n_rows for entry in self.shards]
        numbers = [entry.shard for entry in self.shards]
        whole = all(n == size for n in rows[:-1]) and all(n <= size for n in rows[-1:])
        if numbers != list(range(len(rows))) or sum(rows) != self.n_samples or not whole:
            msg = f"the shards do not hold {self.n_samples} rows, {size} a shard, in order"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _files_lie_where_the_layout_says(self) -> Manifest:
        expected_tables = sorted(set(TABLE_KEYS) - OPTIONAL)
        if sorted(set(self.tables) - OPTIONAL) != expected_tables:
            msg = f"the tables are {', '.join(sorted(self.tables))}, not {', '.join(expected_tables)}"
            raise ValueError(msg)
        found = [(entry.file.key, TABLE_KEYS[name]) for name, entry in self.tables.items()]
        for entry in self.shards:
            found.append((entry.images.key, shard_key(self.settings.member, entry.shard)))
            found.append((entry.masks.key, shard_key(MASKS, entry.shard)))
        for key, expected in found:
            if key != expected:
                msg = f"a file is listed as {key!r} where this format has {expected!r}"
                raise ValueError(msg)
        rows = (self.tables["index"].n_rows, self.tables["cases"].n_rows)
        if rows != (self.n_samples, self.n_cases):
            msg = (
                f"index and cases have {rows[0]} and {rows[1]} rows for {self.n_samples} samples of "
                f"{self.n_cases} cases"
            )
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _files_can_hold_what_is_declared(self) -> Manifest:
        index = 16 * self.settings.shard_samples + 4
        for entry in self.shards:
            for file, nbytes, codec in (
                (entry.images, self.settings.pixel_bytes, self.settings.codec),
                (entry.masks, self.settings.mask_bytes, self.settings.mask_codec),
            ):
                if (file.size - index) * DENSEST[codec] < entry.n_rows * nbytes:
                    msg = (
                        f"{file.key} has {file.size} bytes, too few for {entry.n_rows} samples of "
                        f"{self.settings.size}² pixels and an index of {self.settings.shard_samples} places"
                    )
                    raise ValueError(msg)
        return self

    def to_bytes(self) -> bytes:
        """Return the manifest as its file holds it."""
        return self.model_dump_json(indent=1, exclude=None if self.history else {"history"}).encode()
