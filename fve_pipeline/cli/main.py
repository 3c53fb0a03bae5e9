"""The ``fve`` command: registers one function a file."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperGroup

from fve_pipeline import __version__
from fve_pipeline.cli import catalogs, coreset, figure
from fve_pipeline.cli.ablate import ablate
from fve_pipeline.cli.build import build
from fve_pipeline.cli.compare import compare
from fve_pipeline.cli.demo import demo
from fve_pipeline.cli.diff import diff
from fve_pipeline.cli.doctor import doctor
from fve_pipeline.cli.duplicates import duplicates
from fve_pipeline.cli.encode import encode
from fve_pipeline.cli.evaluate import evaluate
from fve_pipeline.cli.explain import explain
from fve_pipeline.cli.export import export
from fve_pipeline.cli.help_text import tidy
from fve_pipeline.cli.info import info
from fve_pipeline.cli.predict import predict
from fve_pipeline.cli.prepare import prepare
from fve_pipeline.cli.prune import prune
from fve_pipeline.cli.report import report
from fve_pipeline.cli.running import print_json
from fve_pipeline.cli.scan import scan
from fve_pipeline.cli.train import train
from fve_pipeline.cli.update import update
from fve_pipeline.cli.verify import verify
from fve_pipeline.cli.view import view
from fve_pipeline.cli.weights import weights_app
from fve_pipeline.cli.withdraw import withdraw
from fve_pipeline.errors import FveError
from fve_pipeline.runtime.extras import missing_package
from fve_pipeline.runtime.faults import describe_fault, is_environment_fault
from fve_pipeline.runtime.text import printable


class _Root(TyperGroup):
    """Says a wrong option or value as JSON too."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            _json_error("UsageError", error.format_message())
            raise


app = typer.Typer(
    name="fve",
    cls=_Root,
    help="From raw medical volumes to FVE training stores, coresets and a text-prompted 3D segmenter.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


# What one is doing, and the commands and groups of commands for it.
_COMMANDS: dict[str, tuple[Callable[..., None] | typer.Typer, ...]] = {
    "Begin": (demo, doctor),
    "Describe and choose data": (catalogs.app, scan, coreset.app),
    "Build and keep stores": (
        build,
        prepare,
        encode,
        info,
        verify,
        diff,
        duplicates,
        update,
        withdraw,
        prune,
        export,
    ),
    "Look": (view, report, explain, figure.app),
    "Train": (train, ablate, weights_app),
    "Predict and score": (predict, evaluate, compare),
}
for _panel, _of_panel in _COMMANDS.items():
    for _command in _of_panel:
        if isinstance(_command, typer.Typer):
            app.add_typer(_command, rich_help_panel=_panel)
        else:
            app.command(rich_help_panel=_panel)(_command)
tidy(app)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"fve_pipeline {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version."
    ),
) -> None:
    """From raw medical volumes to FVE training stores, coresets and a text-prompted 3D segmenter."""


def _json_error(kind: str, message: str) -> None:
    """Say an error on stdout too where the result was asked for as JSON: a script reads that."""
    if "--json" in sys.argv:
        print_json({"error": {"kind": kind, "message": printable(message)}})


def main() -> None:
    """Entry point: an expected error is one clear message and exit code 2, never a traceback."""
    try:
        app()
    except FveError as error:
        _json_error(type(error).__name__, str(error))
        for line in (f"fve: {error}", *(f"  {note}" for note in getattr(error, "__notes__", ()))):
            typer.echo("\n".join(map(printable, line.split("\n"))), err=True)
        sys.exit(2)
    except ModuleNotFoundError as error:
        advice = missing_package(error)
        if advice is None:
            raise
        _json_error("MissingPackage", advice)
        typer.echo(f"fve: {advice}", err=True)
        sys.exit(2)
    except RuntimeError as error:
        if not str(error).startswith("Symlink loop"):  # pathlib's own word, before Python 3.13
            raise
        typer.echo(printable(f"fve: {error}. Check the path."), err=True)
        sys.exit(2)
    except (OSError, MemoryError) as error:
        _json_error(type(error).__name__, str(error))
        if is_environment_fault(error):
            typer.echo(f"fve: {describe_fault(error)}", err=True)
        elif isinstance(error, OSError) and error.filename is not None:
            typer.echo(printable(f"fve: {error.filename}: {error.strerror}. Check the path."), err=True)
        else:
            raise
        sys.exit(2)
