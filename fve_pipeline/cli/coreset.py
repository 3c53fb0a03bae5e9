"""``fve coreset``: choose the cases to train on, and compare ways of choosing."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from fve_pipeline.cli.completion import stores
from fve_pipeline.cli.coreset_output import print_comparison, print_selection, to_json
from fve_pipeline.cli.options import Memory, Scheduler, Workers, memory_of
from fve_pipeline.cli.progress import Bars
from fve_pipeline.cli.running import running
from fve_pipeline.files.atomic import write_whole

if TYPE_CHECKING:
    from fve_pipeline.coreset import Pool, Selection, SelectionSettings

__all__ = ["app"]


class _SelectByDefault(TyperGroup):
    """``fve coreset STORE ...`` means ``fve coreset select STORE ...``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["select", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    name="coreset",
    cls=_SelectByDefault,
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Choose the cases to train on when only some may be used ([b]select[/b], the default), "
    "and compare ways of choosing.",
)

Stores = Annotated[
    list[str],
    typer.Argument(metavar="STORE...", help="Stores, or folders made by fve scan.", autocompletion=stores),
]
Fraction = Annotated[float | None, typer.Option(help="Share of the cases to take, such as 0.1.")]
Cases = Annotated[int | None, typer.Option(help="How many cases to take, instead of a fraction.")]
Split = Annotated[
    list[str] | None,
    typer.Option(help="Splits to choose from (repeatable). Default: train, and unsplit cases."),
]
OnePerSubject = Annotated[bool, typer.Option("--one-per-subject", help="Keep one case of every subject.")]
ClassFloor = Annotated[int, typer.Option(min=0, help="Positive cases for every class (multicover: k).")]
DatasetFloor = Annotated[int, typer.Option(min=0, help="Cases of every dataset.")]
ModalityFloor = Annotated[int, typer.Option(min=0, help="Cases of every modality.")]
Temper = Annotated[
    float,
    typer.Option(
        min=0.0, max=1.0, help="Dataset shares grow with size to this power: 1 proportional, 0 equal."
    ),
]
Features = Annotated[
    Path | None,
    typer.Option(help="A segmenter's checkpoint, whose mean backbone features join the descriptors (slow)."),
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]


@app.command("select")
def select_command(
    stores: Stores,
    out: Annotated[Path, typer.Option(help="The selection file to write.")] = Path("coreset.parquet"),
    fraction: Fraction = None,
    cases: Cases = None,
    method: Annotated[
        str, typer.Option(help="random, stratified, multicover, facility, kcenter, herding.")
    ] = "stratified",
    seed: Annotated[int, typer.Option(help="Another seed, another choice; the same seed, the same.")] = 0,
    split: Split = None,
    one_per_subject: OnePerSubject = False,
    class_floor: ClassFloor = 5,
    dataset_floor: DatasetFloor = 5,
    modality_floor: ModalityFloor = 10,
    temper: Temper = 0.5,
    features: Features = None,
    list_file: Annotated[
        Path | None, typer.Option("--list", help="Also write the chosen cases' source files, one a line.")
    ] = None,
    copy: Annotated[
        str | None,
        typer.Option(help="Also copy the chosen cases into a store of their own, such as OUT.zarr."),
    ] = None,
    workers: Workers = None,
    memory: Memory = None,
    scheduler: Scheduler = None,
    as_json: Json = False,
) -> None:
    """Choose cases and write a selection file for the loader, the trainer and fve build --only.

    [b]Examples[/b]

      fve coreset store --fraction 0.1 --out coreset.parquet

      fve coreset ct-store mr-store --cases 500 --method multicover --class-floor 10

      fve coreset scan --fraction 0.1 --list cases.txt

      fve coreset store --fraction 0.1 --copy small.zarr
    """
    from fve_pipeline.coreset import select

    pool = _pool(stores, split, one_per_subject)
    settings = _settings(class_floor, dataset_floor, modality_floor, temper)
    vectors, name = _features(stores, pool, features, as_json)
    selection = select(
        pool,
        method=method,
        cases=cases,
        fraction=fraction,
        seed=seed,
        settings=settings,
        features=vectors,
        features_name=name,
    )
    selection.save(out)
    if list_file is not None:
        lines = selection.table.column("source").to_pylist()
        chosen = zip(lines, selection.case_ids, strict=True)
        with write_whole(list_file) as file:
            file.write("".join(f"{source or case}\n" for source, case in chosen).encode())
    if copy is not None:
        from fve_pipeline.build.copy import copy_cases
        from fve_pipeline.runtime.resources import Resources
        from fve_pipeline.store.reader import open_store

        opened = [open_store(store) for store in stores]
        with running(workers, memory_of(memory), scheduler, as_json) as (executor, bars):
            copy_cases(opened, selection.case_ids, copy, Resources(executor, bars))
    print_selection(selection, pool, out, as_json)


@app.command("compare")
def compare_command(
    stores: Stores,
    fraction: Fraction = None,
    cases: Cases = None,
    methods: Annotated[str, typer.Option(help="Names separated by commas; random is always there.")] = (
        "stratified,multicover"
    ),
    seeds: Annotated[int, typer.Option(min=3, help="How often each method chooses, at least 3 times.")] = 3,
    split: Split = None,
    one_per_subject: OnePerSubject = False,
    class_floor: ClassFloor = 5,
    dataset_floor: DatasetFloor = 5,
    modality_floor: ModalityFloor = 10,
    temper: Temper = 0.5,
    features: Features = None,
    proxy: Annotated[
        bool, typer.Option("--proxy", help="Train a small segmentation probe on every choice; needs stores.")
    ] = False,
    proxy_steps: Annotated[int, typer.Option(min=1, help="Training steps of the probe.")] = 300,
    plot: Annotated[Path | None, typer.Option(help="Draw the comparison (.png, .svg or .pdf).")] = None,
    as_json: Json = False,
) -> None:
    """Measure methods beside random: coverage of classes, balance, distance of the left-out cases.

    A method is called better or worse than random only where all of its seeds are beyond all of random's.

    [b]Examples[/b]

      fve coreset compare store --fraction 0.1 --methods stratified,multicover,kcenter

      fve coreset compare store --cases 200 --seeds 5 --plot coreset.png --proxy
    """
    from rich.console import Console
    from rich.progress import Progress

    from fve_pipeline.coreset import compare, get_method
    from fve_pipeline.coreset.plot import plot_comparison

    names = [get_method(name.strip()).name for name in methods.split(",") if name.strip()]
    pool = _pool(stores, split, one_per_subject)
    settings = _settings(class_floor, dataset_floor, modality_floor, temper)
    vectors, _ = _features(stores, pool, features, as_json)
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("choosing", total=seeds * len({"random", *names}))
        result = compare(
            pool,
            names,
            seeds=seeds,
            cases=cases,
            fraction=fraction,
            settings=settings,
            features=vectors,
            proxy=_probe(stores, pool, proxy_steps) if proxy else None,
            progress=lambda name: bar.update(task, advance=1, description=name),
        )
    if plot is not None:
        plot_comparison(result, plot)
    if as_json:
        typer.echo(to_json(result.as_dict()))
        return
    print_comparison(result)


def _pool(stores: list[str], split: list[str] | None, one_per_subject: bool) -> Pool:
    from fve_pipeline.coreset import Pool
    from fve_pipeline.coreset.open import open_tables

    tables = [open_tables(store) for store in stores]
    return Pool.of(tables, splits=tuple(split or ("train",)), one_per_subject=one_per_subject)


def _settings(class_floor: int, dataset_floor: int, modality_floor: int, temper: float) -> SelectionSettings:
    from fve_pipeline.coreset import SelectionSettings

    return SelectionSettings(class_floor, dataset_floor, modality_floor, temper)


def _features(stores: list[str], pool: Pool, checkpoint: Path | None, quiet: bool) -> tuple[Any, str]:
    """One vector a case, and what a selection records of them; (None, "") without a checkpoint."""
    if checkpoint is None:
        return None, ""
    from fve_pipeline.store.reader import open_store

    with _needs_torch("--features"):
        from fve_pipeline.coreset.probe.features import backbone_features, features_name
    with Bars(quiet) as bars:
        bars.stage("backbone features", len(pool.table), "cases")
        opened = [open_store(store) for store in stores]
        vectors = backbone_features(opened, pool.table.ids, checkpoint, progress=bars.advance)
    return vectors, features_name(checkpoint)


def _probe(stores: list[str], pool: Pool, steps: int) -> Callable[[Selection, int], float]:
    from fve_pipeline.store.reader import open_store

    with _needs_torch("--proxy"):
        from fve_pipeline.coreset.probe.probe import Probe, ProbeSettings
    return Probe([open_store(store) for store in stores], pool.table.classes, ProbeSettings(steps=steps))


@contextlib.contextmanager
def _needs_torch(option: str) -> Iterator[None]:
    from fve_pipeline.errors import CoresetError

    try:
        yield
    except ModuleNotFoundError as error:
        msg = f"{option} needs {error.name}: pip install 'fve-pipeline[train]'"
        raise CoresetError(msg) from error
