"""Options that several commands share, and how their text becomes values."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fve_pipeline.cli import completion
from fve_pipeline.cli.completion import one_of
from fve_pipeline.errors import BuildError
from fve_pipeline.runtime.units import format_bytes, parse_bytes

if TYPE_CHECKING:
    from fve_pipeline.build.cases import Dataset
    from fve_pipeline.catalog.errata import Erratum
    from fve_pipeline.store.schema import StoreSettings

__all__ = [
    "Boundary",
    "Catalogs",
    "Codec",
    "Downsample",
    "Errata",
    "HashKey",
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
    "encoded_settings",
    "errata_of",
    "memory_of",
    "prepared_settings",
    "roots_of",
    "selected_cases",
    "settings_of",
    "shard_bytes_of",
]

_RUN = "How it runs"
_SLICES = "How slices are made"
_READING = "How files are read"

Catalogs = Annotated[
    list[str],
    typer.Argument(
        help="Catalogs: shipped names (see `fve catalogs list`) or TOML files.",
        metavar="CATALOG...",
        autocompletion=completion.catalogs,
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
    str,
    typer.Option(
        help="Choices that belong together.", rich_help_panel=_SLICES, **one_of("paper", "released")
    ),
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
    typer.Option(
        help="A rule's name, or names: axial,coronal,sagittal. [default: the preset's]",
        rich_help_panel=_SLICES,
        **one_of("paper", "released", "axial", "coronal", "sagittal"),
    ),
]
TrainingViews = Annotated[
    bool, typer.Option(help="More views of near-isotropic training cases.", rich_help_panel=_SLICES)
]
Boundary = Annotated[
    str | None,
    typer.Option(
        help="What lies past the volume's ends. [default: the preset's]",
        rich_help_panel=_SLICES,
        **one_of("repeat", "mirror"),
    ),
]
Downsample = Annotated[
    str | None,
    typer.Option(
        help="How farther slices are halved. [default: mean]",
        rich_help_panel=_SLICES,
        **one_of("mean", "stride"),
    ),
]
Resize = Annotated[
    str | None,
    typer.Option(
        help="How slices are resized. [default: the preset's]",
        rich_help_panel=_SLICES,
        **one_of("opencv", "released"),
    ),
]
Percentiles = Annotated[
    str | None,
    typer.Option(
        help="Voxels that percentiles are over. [default: the preset's]",
        rich_help_panel=_SLICES,
        **one_of("positive", "all"),
    ),
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
        help="Store salted hashes in place of the names of subjects, cases and files.",
        rich_help_panel=_READING,
    ),
]
Errata = Annotated[
    Path | None,
    typer.Option(
        help="Corrections of labels by the sha256 of the image: TOML or Parquet.",
        show_default=False,
        rich_help_panel=_READING,
    ),
]
HashKey = Annotated[
    Path | None,
    typer.Option(
        "--hash-key",
        metavar="FILE",
        help="Write which case each hash of --hash-subjects is, as CSV, outside of the store.",
        show_default=False,
        rich_help_panel=_READING,
    ),
]
Storage = Annotated[
    str,
    typer.Option(
        help="encoded: RGB slices for any trainer. slices: each slice once, encoded when read.",
        **one_of("encoded", "slices"),
    ),
]
Codec = Annotated[
    str | None, typer.Option(help="lz4 is fast, zstd small. [default: lz4]", **one_of("lz4", "zstd"))
]
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
        given = parse_bytes(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--memory") from error
    from fve_pipeline.runtime.executor import WORKER_BYTES

    if given < WORKER_BYTES:
        own = format_bytes(WORKER_BYTES)
        msg = f"{text} is less than one worker takes by itself, about {own}, before it reads a case"
        raise typer.BadParameter(msg, param_hint="--memory")
    return given


def datasets_of(catalogs: Iterable[str], roots: Sequence[str]) -> list[Dataset]:
    """Catalogs with their folders."""
    from fve_pipeline.build.cases import datasets_of as placed
    from fve_pipeline.catalog import load_catalog

    loaded = [load_catalog(name) for name in catalogs]
    return placed(loaded, roots_of(roots, {catalog.name for catalog in loaded}))


def roots_of(roots: Sequence[str], names: Collection[str]) -> dict[str, Path]:
    """Folders by name, from DIR and NAME=DIR; "" is the one that serves all that have none of their own."""
    found: dict[str, Path] = {}
    for text in roots:
        name, equals, folder = text.partition("=")
        if not equals or (name not in names and Path(text).exists()):
            name, folder = "", text  # a folder may have an equals sign in its name
        elif name not in names:
            msg = f"--root {text}: no dataset here is named {name!r}; there are {', '.join(sorted(names))}"
            raise typer.BadParameter(msg, param_hint="--root")
        if name in found:
            msg = f"{name or 'all'} has two folders; write NAME=DIR for each of {', '.join(sorted(names))}"
            raise typer.BadParameter(msg, param_hint="--root")
        found[name] = Path(folder).absolute()
    return found


def settings_of(
    preset: str, given: Mapping[str, Any], datasets: Sequence[Dataset], shard_size: str | None = None
) -> StoreSettings:
    """Settings of a build: the preset's, with what was ``given`` in their place (None is not given)."""
    from fve_pipeline.build.settings import settings_for

    with _setting_errors():
        return settings_for(datasets, preset, shard_bytes=shard_bytes_of(shard_size), **given)


def prepared_settings(preset: str, given: Mapping[str, Any], work: Path, shard_size: str) -> StoreSettings:
    """The same, for cases that are prepared in ``work``."""
    from fve_pipeline.build.settings import settings_of_prepared

    with _setting_errors():
        return settings_of_prepared(work, preset, shard_bytes=shard_bytes_of(shard_size), **given)


def encoded_settings(lazy: StoreSettings, changes: Mapping[str, Any], shard_size: str) -> StoreSettings:
    """Settings of a lazy store's encoded form."""
    from fve_pipeline.build.settings import store_settings

    kept = lazy.model_dump(exclude={"shard_samples"})
    given = kept | {name: value for name, value in changes.items() if value is not None}
    with _setting_errors():
        return store_settings(**given | {"storage": "encoded"}, shard_bytes=shard_bytes_of(shard_size))


def shard_bytes_of(text: str | None) -> int:
    """Bytes of a --shard-size option; the library's own number for None."""
    from fve_pipeline.build.settings import SHARD_BYTES

    if text is None:
        return SHARD_BYTES
    try:
        return parse_bytes(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--shard-size") from error


@contextlib.contextmanager
def _setting_errors() -> Iterator[None]:
    """A setting that cannot be is a usage error of its option."""
    from fve_pipeline.errors import SettingsError

    try:
        yield
    except SettingsError as error:
        option = {"views_rule": "views", "percentiles_over": "percentiles"}.get(error.setting, error.setting)
        raise typer.BadParameter(error.problem, param_hint=f"--{option}" if option else None) from error


def errata_of(path: Path | None) -> dict[str, Erratum]:
    """Corrections by image; none without a file."""
    from fve_pipeline.catalog.errata import load_errata

    return {} if path is None else load_errata(path)


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
