"""fve report: a store as one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fve_pipeline.cli.completion import stores
from fve_pipeline.cli.options import Json, roots_of
from fve_pipeline.cli.progress import Bars, console
from fve_pipeline.cli.running import print_json
from fve_pipeline.files.atomic import write_whole

__all__ = ["report"]


def report(
    store: Annotated[
        str | None, typer.Argument(metavar="STORE", help="The store to look at.", autocompletion=stores)
    ] = None,
    out: Annotated[Path, typer.Option(help="The page to write.")] = Path("report.html"),
    run: Annotated[
        list[Path] | None,
        typer.Option(help="In place of a store: a run of fve train; repeatable, then side by side."),
    ] = None,
    coreset: Annotated[
        Path | None, typer.Option(help="A selection of fve coreset, shown against the whole.")
    ] = None,
    scores: Annotated[Path | None, typer.Option(help="Scores of fve evaluate (Parquet).")] = None,
    root: Annotated[
        list[str] | None,
        typer.Option(help="Folder of the sources, or NAME=DIR: also show values before windowing."),
    ] = None,
    pred: Annotated[
        Path | None, typer.Option(help="Folder of the scored predictions, to show the worst and the best.")
    ] = None,
    truth: Annotated[Path | None, typer.Option(help="Folder of their truths; with --pred.")] = None,
    images: Annotated[
        Path | None, typer.Option(help="Folder of their images, named alike. Default: --truth (npz).")
    ] = None,
    slices: Annotated[int, typer.Option(min=1, help="About how many slices to show.")] = 320,
    as_json: Json = False,
    title: Annotated[str | None, typer.Option(help="The page's title. Default: the store's name.")] = None,
) -> None:
    """Write one self-contained page about a store: its datasets, slices, classes, and things to look at. Or about runs.

    The page needs no network and no server; open it in a browser.

    [bold]Examples[/bold]

      fve report amos.zarr --out amos.html

      fve report amos.zarr --scores scores.parquet --pred predictions/ --truth labelsTs/ --images imagesTs/

      fve report --run runs/first --run runs/second --out runs.html

      fve report amos.zarr --coreset coreset.parquet --scores scores.parquet --root /data/amos22
    """
    from fve_pipeline.coreset import load_selection
    from fve_pipeline.look.report.page import make_report
    from fve_pipeline.look.report.panels import PanelFolders
    from fve_pipeline.look.report.scores import read_scores
    from fve_pipeline.look.run.history import names_apart, read_history
    from fve_pipeline.look.run.page import make_run_report
    from fve_pipeline.store.reader import open_store

    if (store is None) == (run is None):
        raise typer.BadParameter("give a store, or --run with a run of fve train", param_hint="STORE")
    if out.is_dir():
        raise typer.BadParameter(
            f"{out} is a folder; name a file, such as {out / 'report.html'}", param_hint="--out"
        )
    if store is None:
        histories = [read_history(folder) for folder in run or ()]
        _write(make_run_report(histories, title or ", ".join(names_apart(histories))), out, as_json)
        return
    if (pred is None) != (truth is None) or (pred is not None and scores is None):
        msg = "--pred, --truth and --scores belong together"
        raise typer.BadParameter(msg)
    folders = PanelFolders(pred, truth, images or truth) if pred and truth else None
    opened = open_store(store)
    named = set(opened.classes["dataset"].to_pylist()) | set(opened.cases["dataset"].to_pylist())
    folders_of = roots_of(root or [], named)
    with Bars(as_json) as bars:
        page = make_report(
            opened,
            title or Path(store).name,
            bars,
            slices=slices,
            selection=load_selection(coreset) if coreset else None,
            scores=read_scores(scores) if scores else None,
            folders=folders,
            roots=folders_of or None,
        )
    _write(page, out, as_json)


def _write(page: str, out: Path, as_json: bool) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    with write_whole(out) as file:
        file.write(page.encode())
    if as_json:
        print_json({"page": str(out), "bytes": len(page.encode())})
    else:
        console.print(f"{out}: {len(page.encode()) / 1e6:.1f} MB; open it in a browser.", highlight=False)
