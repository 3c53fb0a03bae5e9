"""fve prune: give back the room that older generations of a store take."""

from __future__ import annotations

from typing import Annotated

import typer

from fve_pipeline.cli.completion import stores
from fve_pipeline.cli.options import Json
from fve_pipeline.cli.progress import console
from fve_pipeline.cli.running import print_json

__all__ = ["prune"]


def prune(
    store: Annotated[str, typer.Argument(help="A store, such as slices.zarr.", autocompletion=stores)],
    keep: Annotated[int, typer.Option(help="How many of the newest older generations stay.", min=0)] = 0,
    as_json: Json = False,
) -> None:
    """Remove older generations, which updates and withdrawals keep. Whoever has one open is told so and stops.

    The store itself stays as it is. Exit code 0, whether there was anything to remove or not.

    [bold]Examples[/bold]

      fve info slices.zarr --history

      fve prune slices.zarr --keep 1
    """
    from fve_pipeline.build.prune import prune_store

    gone, freed = prune_store(store, keep)
    if as_json:
        print_json({"removed": list(gone), "bytes": freed})
    elif gone:
        from fve_pipeline.runtime.units import format_bytes

        console.print(
            f"Generations {', '.join(map(str, gone))} are gone, and {format_bytes(freed)} with them."
        )
    else:
        console.print("There is no older generation to remove.")
