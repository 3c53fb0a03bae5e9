"""fve duplicates: cases that show one scan, however it is disguised."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fve_pipeline.cli.options import Json, Memory, Scheduler, Workers, memory_of
from fve_pipeline.cli.progress import console
from fve_pipeline.cli.running import print_json, running
from fve_pipeline.files.atomic import write_whole

if TYPE_CHECKING:
    from fve_pipeline.build.duplicates import DuplicateGroup

__all__ = ["duplicates"]

_SHOWN = 50


def duplicates(
    stores: Annotated[
        list[str], typer.Argument(metavar="STORE...", help="Stores, or folders made by fve scan --hash.")
    ],
    page: Annotated[
        Path | None, typer.Option(help="Also write a page with the pairs' slices beside each other.")
    ] = None,
    workers: Workers = None,
    memory: Memory = None,
    scheduler: Scheduler = None,
    as_json: Json = False,
) -> None:
    """Find cases that show the same scan: cropped, resampled, flipped, windowed anew, rounded, in another format.

    Nothing but the slices of the stores is needed. Other subjects and followed-up scans of one subject are not meant.
    Exit code 0: no scan is there twice; 1: some are; 2: a store cannot be read.

    [bold]Examples[/bold]

      fve duplicates amos.zarr flare.zarr --page duplicates.html

      fve scan amos22_ct --root /data/amos22 --hash --out amos.scan && fve duplicates amos.scan slices.zarr --json
    """
    from fve_pipeline.build.duplicates import duplicates_in, open_compared
    from fve_pipeline.runtime.resources import Resources

    opened = open_compared(stores)
    with running(workers, memory_of(memory), scheduler, as_json) as (executor, bars):
        groups, compared, left = duplicates_in(opened, Resources(executor, bars))
    if page is not None:
        from fve_pipeline.look.duplicates_page import duplicates_page

        page.parent.mkdir(parents=True, exist_ok=True)
        with write_whole(page) as file:
            file.write(duplicates_page(groups, compared).encode())
    if as_json:
        told = [group.as_json() for group in groups]
        print_json({"compared": compared, "not_compared": left, "groups": told})
    else:
        _print(groups, compared, left)
        if page is not None:
            _line(f"{page}: open it in a browser.")
    raise typer.Exit(1 if groups else 0)


def _print(groups: list[DuplicateGroup], compared: int, left: list[str]) -> None:
    for group in groups[:_SHOWN]:
        leak = f", in the splits {' and '.join(group.splits)}" if len(group.splits) > 1 else ""
        _line(f"one scan in {len(group.cases)} cases{leak}:")
        for case in group.cases:
            _line(f"  {case.case} ({case.where}, subject {case.subject}, {case.split or 'no split'})")
        for pair in group.pairs:
            like = pair.likeness
            turned = f", {like.flipped} turned round" if like.flipped else ""
            names = (group.cases[place].case for place in (pair.first, pair.second))
            _line(f"    {' and '.join(names)}: {like.score:.3f} over {like.planes} planes{turned}")
    if len(groups) > _SHOWN:
        _line(f"… {len(groups) - _SHOWN:,} more groups (--json)")
    if left:
        _line(f"{len(left):,} cases have no axial slices and were not compared, the first {left[0]}")
    twice = sum(len(group.cases) for group in groups)
    told = f"{len(groups):,} scans lie in {twice:,} of them" if groups else "no scan is there twice"
    _line(f"{compared:,} cases compared: {told}.")


def _line(text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
