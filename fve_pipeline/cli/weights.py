"""``fve weights``: how to get the released weights, and a check of a weights file."""

from __future__ import annotations

from pathlib import Path

import typer

weights_app = typer.Typer(name="weights", invoke_without_command=True, rich_markup_mode="rich")

_HOW = """\
The released BiomedParse-V weights are one file:

  model page   microsoft/BiomedParse  (Hugging Face)
  file         biomedparse_v2.ckpt    (Lightning layout, float32, about 1.5 GB)

Nothing here downloads it: the page may ask you to sign in and to agree to its terms of use. Once you have:

  hf download microsoft/BiomedParse biomedparse_v2.ckpt --local-dir weights
  fve weights check weights/biomedparse_v2.ckpt

Then fine-tune it with `fve train STORE --config train.toml`, setting in [model]

  init = "weights/biomedparse_v2.ckpt"

from a store built with `--preset released`, as the weights expect it.

To start from the image backbone alone (as the paper did, from SEEM), set `backbone = FILE` instead; the
weights in FILE whose names hold "backbone." are taken, and must be of a FocalNet of the preset's size.\
"""


@weights_app.callback()
def weights(context: typer.Context) -> None:
    """Say how to get the released weights; [bold]check[/bold] says what a file holds, [bold]export[/bold] shares a model.

    [bold]Examples[/bold]

      fve weights

      fve weights check weights/biomedparse_v2.ckpt
    """
    if context.invoked_subcommand is None:
        typer.echo(_HOW)


@weights_app.command()
def check(
    file: Path = typer.Argument(..., help="A .ckpt, .pt or .safetensors file."),
    preset: str = typer.Option("", help="Compare with this preset; default: what the file says, else full."),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object."),
) -> None:
    """Read a weights file and compare its names, shapes and values with the model's.

    Exit code 0: it fits and every value is finite; 1: it does not; 2: it cannot be read.

    [bold]Examples[/bold]

      fve weights check weights/biomedparse_v2.ckpt

      fve weights check runs/liver/last.pt --json
    """
    import json

    from fve_pipeline.segmenter.inspect import inspect_weights

    report = inspect_weights(file, preset or None)
    if as_json:
        typer.echo(json.dumps(report.as_dict()))
    else:
        typer.echo(report.text())
    raise typer.Exit(0 if report.usable else 1)


@weights_app.command()
def export(
    weights: Path = typer.Argument(..., help="A checkpoint, or a run's folder (its best)."),
    out: Path = typer.Option(..., help="A new folder, in the layout of model hubs."),
) -> None:
    """Write a model as hubs lay models out: model.safetensors, config.json, and a model card with the data's licences.

    The folder is read back wherever weights are: [bold]fve predict --weights[/bold], [bold][model] init[/bold].
    Of the training cases only the hashes of their images go along, by which fve predict tells that it has seen one.

    [bold]Examples[/bold]

      fve weights export runs/liver --out liver-segmenter
    """
    from fve_pipeline.segmenter.hub import save_pretrained

    typer.echo(f"{save_pretrained(weights, out)}: model.safetensors, config.json, README.md (the model card)")
