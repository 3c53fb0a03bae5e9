"""``fve figure``: figures for papers and slides."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fve_pipeline.cli.completion import one_of, stores
from fve_pipeline.cli.options import Json, choice
from fve_pipeline.cli.progress import console
from fve_pipeline.cli.running import print_json

__all__ = ["app"]

app = typer.Typer(
    name="figure",
    help="Figures for papers and slides: the encoding, its super pixels, a store's views, classes and contact sheet.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

StoreName = Annotated[
    str, typer.Argument(metavar="STORE", help="A store, such as slices.zarr.", autocompletion=stores)
]
Out = Annotated[Path, typer.Option(help="Picture to write: .svg, .pdf or .png.")]


@app.command()
def encode(
    store: StoreName,
    out: Out = Path("encode.svg"),
    case: Annotated[str | None, typer.Option(help="Case. [default: the first]")] = None,
    rendition: Annotated[
        str | None, typer.Option(help="Window or channel. [default: the case's first]")
    ] = None,
    view: Annotated[
        str | None, typer.Option(help="View. [default: the first]", **one_of("axial", "coronal", "sagittal"))
    ] = None,
    index: Annotated[int | None, typer.Option("--slice", help="Slice. [default: the middle]", min=0)] = None,
    order: Annotated[int, typer.Option(help="FVE order k.", min=0, max=6)] = 3,
    as_json: Json = False,
) -> None:
    """Draw a store's slice as it is encoded at orders 1 to K, and what the last of them decodes to.

    Any order, from either form of storage. For a file that is in no store there is [bold]fve explain[/bold].

    [bold]Examples[/bold]

      fve figure encode slices.zarr --order 4 --out encode.svg

      fve figure encode slices.zarr --case demo_ct/ct_02 --rendition lung --slice 12
    """
    from fve_pipeline.errors import StoreError
    from fve_pipeline.look.figures import draw_explanation
    from fve_pipeline.store.query import require_case, rows_of_cases
    from fve_pipeline.store.reader import open_store
    from fve_pipeline.store.runs import Runs

    opened = open_store(store)
    name = case or opened.index.column("case")[0].as_py()
    require_case(opened.cases, name, store)
    runs = Runs.of(opened.index).of_rows(rows_of_cases(opened.index, [name]))
    described = [
        tuple(opened.index.column(column)[run.start].as_py() for column in ("rendition", "view"))
        for run in runs
    ]
    fitting = [
        run
        for run, (shown, axis) in zip(runs, described, strict=True)
        if rendition in (None, shown) and view in (None, axis)
    ]
    if not fitting:
        there = ", ".join(f"{shown} {axis}" for shown, axis in described)
        msg = f"{name} has no slices of that rendition and view; it has {there}"
        raise StoreError(msg)
    slices = opened.read_slices(fitting[0].start, fitting[0].stop)
    place = len(slices) // 2 if index is None else index
    if place >= len(slices):
        raise typer.BadParameter(f"{place}: there are slices 0 to {len(slices) - 1}", param_hint="--slice")
    settings = {"boundary": opened.settings.boundary, "downsample": opened.settings.downsample}
    shown, axis = (opened.index.column(column)[fitting[0].start].as_py() for column in ("rendition", "view"))
    title = f"{name}, {shown}, {axis} slice {place} of 0 to {len(slices) - 1}"
    _save(draw_explanation(slices, place, order, title=title, view=axis, **settings), out, as_json)


@app.command()
def allocation(
    out: Out = Path("allocation.svg"),
    orders: Annotated[int, typer.Option(help="Highest order drawn.", min=1, max=6)] = 6,
    as_json: Json = False,
) -> None:
    """Draw the super pixels of orders 1 to K: which distance has which pixel, and its share.

    [bold]Examples[/bold]

      fve figure allocation --orders 4 --out allocation.svg
    """
    from fve_pipeline.look.figures import draw_allocation

    _save(draw_allocation(orders), out, as_json)


@app.command()
def views(store: StoreName, out: Out = Path("views.svg"), as_json: Json = False) -> None:
    """Draw a store's samples by dataset and view, and the shapes that the views were chosen from.

    [bold]Examples[/bold]

      fve figure views slices.zarr --out views.svg
    """
    from fve_pipeline.look.store_figures import draw_views
    from fve_pipeline.store.reader import open_store

    _save(draw_views(open_store(store)), out, as_json)


@app.command()
def sheet(
    store: StoreName,
    out: Out = Path("sheet.png"),
    rows: Annotated[int, typer.Option("--slices", help="Slices of each dataset and rendition.", min=1)] = 4,
    as_json: Json = False,
) -> None:
    """Draw a contact sheet: slices with most labelled pixels of each dataset and rendition, as they are encoded.

    [bold]Examples[/bold]

      fve figure sheet slices.zarr --out sheet.png
    """
    from fve_pipeline.look.store_sheet import write_sheet
    from fve_pipeline.store.reader import open_store

    if out.suffix.lower() != ".png":
        raise typer.BadParameter(f"{out}: a contact sheet is a .png", param_hint="--out")
    write_sheet(open_store(store), out, rows)
    _told(out, as_json)


@app.command()
def classes(
    store: StoreName,
    out: Out = Path("classes.svg"),
    most: Annotated[int, typer.Option(help="Draw the rarest so many classes.", min=1)] = 60,
    as_json: Json = False,
) -> None:
    """Draw how many cases and samples hold each class.

    [bold]Examples[/bold]

      fve figure classes slices.zarr --out classes.svg
    """
    from fve_pipeline.look.store_figures import draw_classes
    from fve_pipeline.store.reader import open_store

    _save(draw_classes(open_store(store), most), out, as_json)


def _save(figure: Any, out: Path, as_json: bool) -> None:
    from fve_pipeline.look.figures import save_figure

    choice("out", out.suffix, (".svg", ".pdf", ".png"))
    save_figure(figure, out)
    _told(out, as_json)


def _told(out: Path, as_json: bool) -> None:
    if as_json:
        print_json({"picture": str(out)})
    else:
        console.print(str(out), markup=False, highlight=False, soft_wrap=True)
