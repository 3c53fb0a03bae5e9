"""``fve catalogs check``: what a build would stumble over, before it is built."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fve_pipeline.cli import completion

if TYPE_CHECKING:
    from fve_pipeline.catalog.case import Case
    from fve_pipeline.catalog.look import CaseLook
    from fve_pipeline.catalog.problems import Problem
    from fve_pipeline.catalog.schema import Catalog

__all__ = ["check"]

_SHOWN = 50  # findings of one kind that the table lists
_FEW = 256  # cases that threads read before processes are worth their start


def check(
    name: Annotated[
        str,
        typer.Argument(
            help="A shipped catalog's name or the path of a .toml file.",
            show_default=False,
            autocompletion=completion.catalogs,
        ),
    ],
    root: Annotated[
        Path, typer.Option("--root", help="The folder that holds the dataset.", show_default=False)
    ],
    quick: Annotated[
        bool, typer.Option("--quick", help="Names and headers alone: no voxel is read.")
    ] = False,
    anatomy: Annotated[
        bool,
        typer.Option(
            "--anatomy", help="Ask whether organs lie where they should, at the HU they should have."
        ),
    ] = False,
    workers: Annotated[int, typer.Option("--workers", help="Cases read at a time.", min=1)] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
) -> None:
    """Check a folder against a catalog, before it is built.

    Finds missing files, labels without images, files that cannot be read, label ids without a class, classes
    without a voxel, label maps on another grid, equal images under two names, subjects in two splits, unusual
    spacing and intensities, and with --anatomy organs in odd places.

    Exit code 0 when no case would fail, 1 when some would, 2 when no case is found at all.

    [bold]Examples[/bold]

      fve catalogs check amos22_ct --root /data/amos22
      fve catalogs check my_dataset.toml --root . --quick --json
      fve catalogs check totalsegmentator_ct --root /data/ts --anatomy
    """
    from fve_pipeline.catalog import discover, expand, file_problems, load_catalog
    from fve_pipeline.catalog.findings import duplicate_images, look_problems
    from fve_pipeline.errors import CatalogError

    if quick and anatomy:
        msg = "--anatomy reads voxels and --quick reads none: give one of them"
        raise CatalogError(msg)
    problems: list[Problem] = []
    counts: dict[str, int] = {}
    looks: list[CaseLook] = []
    for catalog in expand(load_catalog(name), root):
        cases = discover(catalog, root)
        counts[catalog.name] = len(cases)
        missing = file_problems(catalog, root, cases)
        problems += missing
        gone = {problem.case for problem in missing if problem.kind.startswith("missing")}
        seen = _look(
            catalog, root, [case for case in cases if case.name not in gone], quick, anatomy, workers
        )
        problems += look_problems(catalog, seen)
        looks += seen
    problems += duplicate_images(looks)
    if as_json:
        found = [{slot: getattr(problem, slot) for slot in problem.__slots__} for problem in problems]
        typer.echo(json.dumps({"cases": counts, "problems": found}, indent=2))
    else:
        _print(counts, problems)
    if any(problem.level == "error" for problem in problems):
        raise typer.Exit(1)


def _look(
    catalog: Catalog, root: Path, cases: Sequence[Case], quick: bool, anatomy: bool, workers: int
) -> list[CaseLook]:
    """Open the cases, some at a time, under a progress bar."""
    import multiprocessing
    import signal
    from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
    from concurrent.futures.process import BrokenProcessPool

    from rich.console import Console
    from rich.progress import Progress

    from fve_pipeline.catalog.look import look_at_all
    from fve_pipeline.errors import MachineError
    from fve_pipeline.runtime.threads import in_order

    names = {spec.id: spec.name for spec in catalog.classes if not spec.is_union and not spec.instance}
    look = partial(
        look_at_all,
        root=root,
        voxels=not quick,
        names=names if anatomy else None,
        overlaps=catalog.overlaps,
    )
    pool: Executor
    if len(cases) <= _FEW:
        pool = ThreadPoolExecutor(workers)
    else:  # small files are the interpreter's work, of which a process does one thing at a time
        context = multiprocessing.get_context("forkserver")
        pool = ProcessPoolExecutor(workers, context, signal.signal, (signal.SIGINT, signal.SIG_IGN))
    looks: list[CaseLook] = []
    with Progress(console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(catalog.name, total=len(cases))
        at_once = _FEW // 4 if quick else 1
        parts = (cases[at : at + at_once] for at in range(0, len(cases), at_once))
        try:
            for found in in_order(pool, look, parts, 4 * workers):
                looks += found
                progress.advance(bar, len(found))
        except BrokenProcessPool as error:
            msg = (
                f"a process that reads {root} ended at case {len(looks) + 1} or soon after, for lack of memory as a "
                "rule; try --workers 1"
            )
            raise MachineError(msg) from error
    return looks


def _print(counts: dict[str, int], problems: Sequence[Problem]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console(highlight=False)
    for dataset, count in counts.items():
        console.print(f"{dataset}: {count} cases", markup=False)
    if not problems:
        console.print("nothing wrong")
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("", "what", "case", "message"):
        table.add_column(column, overflow="fold")
    shown: Counter[str] = Counter()
    for problem in problems:
        shown[problem.kind] += 1
        if shown[problem.kind] > _SHOWN:
            continue
        colour = "red" if problem.level == "error" else "yellow"
        table.add_row(
            f"[{colour}]{problem.level}[/]", problem.kind, escape(problem.case), escape(problem.message)
        )
    console.print(table)
    for kind, count in shown.items():
        if count > _SHOWN:
            console.print(f"{kind}: {count - _SHOWN:,} more; --json lists them all", markup=False)
    errors = sum(problem.level == "error" for problem in problems)
    console.print(f"{errors} errors, {len(problems) - errors} warnings")
