"""fve view: a store's slices on a local page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from fve_pipeline.cli.completion import stores
from fve_pipeline.cli.progress import console

__all__ = ["view"]


def view(
    store: Annotated[str, typer.Argument(help="A store, such as slices.zarr.", autocompletion=stores)],
    pred: Annotated[
        Path | None,
        typer.Option(
            help="Folder of predicted label maps (fve predict): shown beside the truth, scored and sorted by."
        ),
    ] = None,
    scores: Annotated[
        Path | None,
        typer.Option(
            help="Scores of fve evaluate (Parquet) of these predictions: sorted by at once; with --pred."
        ),
    ] = None,
    case: Annotated[str | None, typer.Option(help="Case to begin with. [default: the first]")] = None,
    port: Annotated[
        int, typer.Option(help="Port of this machine; 0 takes a free one.", min=0, max=65535)
    ] = 0,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Look through a store on a local page: any case, any slice, any order, masks and decoded context.

    The page is for this machine only, and for those who have its address: it holds a token. Over ssh, forward
    the port: ssh -L 8765:127.0.0.1:8765 HOST. Ctrl-C ends it.

    [bold]Examples[/bold]

      fve view slices.zarr

      fve view slices.zarr --pred predictions

      fve view slices.zarr --port 8765 --case amos22_ct/amos_0001
    """
    import threading
    import webbrowser

    from fve_pipeline.look.report.scores import read_scores
    from fve_pipeline.look.viewer import StoreSlices, serve
    from fve_pipeline.look.viewer.predictions import Predictions
    from fve_pipeline.store.query import require_case
    from fve_pipeline.store.reader import open_store

    if scores is not None and pred is None:
        raise typer.BadParameter("scores are of predictions; give them with --pred", param_hint="--scores")
    opened = open_store(store)
    predictions = None if pred is None else Predictions(opened, pred, read_scores(scores) if scores else None)
    slices = StoreSlices(opened, predictions)
    if case is not None:
        require_case(slices.store.cases, case, store)
    try:
        server = serve(slices, port)
    except OSError as error:
        raise typer.BadParameter(f"{port}: {error.strerror}", param_hint="--port") from error
    url = server.url + (f"#case={quote(case)}" if case else "")
    stop = threading.Event()
    if predictions is not None and scores is None:
        threading.Thread(target=predictions.score_all, args=(stop,), daemon=True).start()
    with server:
        try:
            console.print(url, soft_wrap=True, highlight=False)
            if open_browser:
                webbrowser.open(url)
            server.serve_forever()
        except KeyboardInterrupt:
            console.print("Closed.")
        finally:
            stop.set()
