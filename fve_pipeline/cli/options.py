"""Options that several commands share, and how their text becomes values."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fve_pipeline.errors import BuildError
from fve_pipeline.runtime.units import parse_bytes

if TYPE_CHECKING:
    from fve_pipeline.build.cases import Dataset
    from fve_pipeline.store.schema import StoreSettings

__all__ = [
    "Boundary",
    "Catalogs",
    "Codec",
    "Downsample",
    "HashSubjects",
    "Json",
    "Memory",
    "Nonfinite",
    "Only",
    "Order",
    "Overwrite",
    "Percentiles",
    "Preset",
    "ResampleTilt",
    "Resize",
    "Roots",
    "Scheduler",
    "Seed",
    "ShardSize",
    "Size",
    "Storage",
    "Test",
    "TrainingViews",
    "Val",
    "Views",
    "Work",
    "Workers",
    "choice",
    "datasets_of",
    "memory_of",
    "prepared_settings",
    "roots_of",
    "salt_mark",
    "selected_cases",
    "settings_of",
]

_RUN = "How it runs"
_SLICES = "How slices are made"
_READING = "How files are read"

Catalogs = Annotated[
    list[str],
    typer.Argument(
        help="Catalogs: shipped names (see `fve catalogs list`) or TOML files.", metavar="CATALOG..."
    ),
]
Roots = Annotated[
    list[str],
    typer.Option(
        "--root", help="Folder that the catalogs' globs start from, or NAME=DIR for one catalog; repeatable."
    ),
]
Work = Annotated[
    Path | None,
    typer.Option("--work", help="Folder of the prepared store. Default: beside the store, NAME.work."),
]
Preset = Annotated[
    str, typer.Option(help="paper | released: choices that belong together.", rich_help_panel=_SLICES)
]
Order = Annotated[
    int | None,
    typer.Option(
        help="FVE order k; 0 is the focal slice alone. [default: 1]", min=0, max=8, rich_help_panel=_SLICES
    ),
]
Size = Annotated[
    int | None,
    typer.Option(help="Side of the stored slices in pixels. [default: 512]", min=8, rich_help_panel=_SLICES),
]
Views = Annotated[
    str | None,
    typer.Option(help="paper | released, or names: axial,coronal,sagittal.", rich_help_panel=_SLICES),
]
TrainingViews = Annotated[
    bool, typer.Option(help="More views of near-isotropic training cases.", rich_help_panel=_SLICES)
]
Boundary = Annotated[
    str | None, typer.Option(help="repeat | mirror: past the volume's ends.", rich_help_panel=_SLICES)
]
Downsample = Annotated[str | None, typer.Option(help="mean | stride.", rich_help_panel=_SLICES)]
Resize = Annotated[str | None, typer.Option(help="opencv | released.", rich_help_panel=_SLICES)]
Percentiles = Annotated[
    str | None,
    typer.Option(help="positive | all: voxels that percentiles are over.", rich_help_panel=_SLICES),
]
Nonfinite = Annotated[
    float | None,
    typer.Option(
        "--replace-nonfinite",
        help="Replace NaN and infinite voxels by this; refused otherwise.",
        rich_help_panel=_READING,
    ),
]
ResampleTilt = Annotated[
    bool,
    typer.Option(
        "--resample-tilt", help="Straighten tilted CT gantries; refused otherwise.", rich_help_panel=_READING
    ),
]
HashSubjects = Annotated[
    str | None,
    typer.Option(
        "--hash-subjects",
        metavar="SALT",
        help="Store salted hashes in place of subject names.",
        rich_help_panel=_READING,
    ),
]
Storage = Annotated[
    str,
    typer.Option(help="encoded: RGB slices for any trainer. slices: each slice once, encoded when read."),
]
Codec = Annotated[str | None, typer.Option(help="lz4 (fast) | zstd (small).")]
ShardSize = Annotated[str, typer.Option(help="Raw bytes of images a shard.")]
Seed = Annotated[int, typer.Option(help="Seed of the split by subject.")]
Val = Annotated[float, typer.Option(help="Share of subjects for validation.", min=0, max=1)]
Test = Annotated[float, typer.Option(help="Share of subjects for testing.", min=0, max=1)]
Only = Annotated[
    Path | None, typer.Option(help="Only these cases: a coreset.parquet, or a text file of case ids.")
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Build anew; the old store stays until the new one is whole.")
]
Workers = Annotated[
    int | None, typer.Option(help="Worker processes. Default: one a core.", min=1, rich_help_panel=_RUN)
]
Memory = Annotated[
    str | None,
    typer.Option(
        help="Memory that all workers may use, such as 16GB. Default: 80 % of the machine's.",
        rich_help_panel=_RUN,
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(help="Address of a running Dask scheduler, such as tcp://host:8786.", rich_help_panel=_RUN),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on stdout; no bars.")]


def choice(name: str, value: str, allowed: Sequence[str]) -> str:
    """Check a value against its choices; a usage error names both."""
    if value not in allowed:
        raise typer.BadParameter(f"{value!r} is none of {', '.join(allowed)}", param_hint=f"--{name}")
    return value


def memory_of(text: str | None) -> int | None:
    """Bytes of a --memory option."""
    if text is None:
        return None
    try:
        return parse_bytes(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--memory") from error


def datasets_of(catalogs: Iterable[str], roots: Sequence[str]) -> list[Dataset]:
    """Catalogs with their folders. A root without a name serves every catalog that has none of its own."""
    from fve_pipeline.build.cases import Dataset
    from fve_pipeline.catalog import load_catalog

    loaded = [load_catalog(name) for name in catalogs]
    names = {catalog.name for catalog in loaded}
    named: dict[str, Path] = {}
    general: list[Path] = []
    for text in roots:
        name, equals, folder = text.partition("=")
        if equals and name in names:
            named[name] = Path(folder)
        elif equals and not Path(text).exists():
            msg = f"--root {text}: no catalog here is named {name!r}; given are {', '.join(sorted(names))}"
            raise typer.BadParameter(msg, param_hint="--root")
        else:
            general.append(Path(text))
    if len(general) > 1:
        msg = f"{len(general)} roots without a name; write NAME=DIR for each catalog, NAME being its name"
        raise typer.BadParameter(msg, param_hint="--root")
    found = []
    for catalog in loaded:
        root = named.get(catalog.name, general[0] if general else None)
        if root is None:
            msg = f"catalog {catalog.name!r} has no folder: give --root DIR or --root {catalog.name}=DIR"
            raise typer.BadParameter(msg, param_hint="--root")
        found.append(Dataset(catalog, root.absolute()))
    return found


def roots_of(roots: Sequence[str]) -> dict[str, Path]:
    """Folders by dataset name; "" is the one that serves all the others."""
    found: dict[str, Path] = {}
    for text in roots:
        name, equals, folder = text.partition("=")
        if equals and not Path(text).exists():
            found[name] = Path(folder).absolute()
        else:
            found[""] = Path(text).absolute()
    return found


def settings_of(
    preset: str, given: Mapping[str, Any], datasets: Sequence[Dataset], shard_size: str
) -> StoreSettings:
    """Settings of a build: the preset's, with what was ``given`` in their place (None is not given)."""
    from fve_pipeline.build.cases import expand_datasets
    from fve_pipeline.build.pipeline import mask_dtype

    return _settings(preset, given, mask_dtype(expand_datasets(datasets)), shard_size)


def prepared_settings(preset: str, given: Mapping[str, Any], work: Path, shard_size: str) -> StoreSettings:
    """The same, for cases that are prepared in ``work``."""
    from fve_pipeline.build.prepare.roster import read_roster

    roster = read_roster(work)
    wide = any(dataset.mask_dtype == "uint16" for dataset in roster.datasets)
    prepared = {name: roster.settings[name] for name in ("percentiles_over", "nonfinite", "resample_tilt")}
    given = {**given, **prepared, "subject_salt": roster.subject_salt}
    return _settings(preset, given, "uint16" if wide else "uint8", shard_size)


def _settings(preset: str, given: Mapping[str, Any], masks: str, shard_size: str) -> StoreSettings:
    from pydantic import ValidationError

    from fve_pipeline.build.settings import PRESETS
    from fve_pipeline.store.schema import StoreSettings

    values = {
        "preset": preset,
        **PRESETS[choice("preset", preset, tuple(PRESETS))],
        "mask_dtype": masks,
        **{name: value for name, value in given.items() if value is not None},
    }
    size, channels = values.get("size", 512), 3 if values.get("storage", "encoded") == "encoded" else 1
    try:
        values["shard_samples"] = max(1, parse_bytes(shard_size) // (size * size * channels))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--shard-size") from error
    try:
        return StoreSettings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        option = {"views_rule": "views", "percentiles_over": "percentiles"}
        name = ".".join(map(str, first["loc"]))
        text = f"{first['msg']} (found {first['input']!r})" if name else first["msg"]
        raise typer.BadParameter(text, param_hint=f"--{option.get(name, name)}" if name else None) from error


def salt_mark(salt: str | None) -> str | None:
    """What a store records of a salt: enough to refuse another one, too little to find it."""
    return None if salt is None else hashlib.sha256(f"salt\0{salt}".encode()).hexdigest()[:16]


def selected_cases(only: Path | None) -> frozenset[str] | None:
    """Case ids of a selection: a coreset.parquet, or a text file with one id a line."""
    if only is None:
        return None
    try:
        if only.suffix == ".parquet":
            import pyarrow.parquet as pq

            return frozenset(pq.read_table(only, columns=["case"]).column("case").to_pylist())
        lines = only.read_text().splitlines()
    except FileNotFoundError as error:
        msg = f"--only {only}: no such file"
        raise BuildError(msg) from error
    return frozenset(line.strip() for line in lines if line.strip() and not line.startswith("#"))
