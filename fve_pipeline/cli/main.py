"""The ``fve`` command: registers one function a file."""

from __future__ import annotations

import sys

import typer

from fve_pipeline import __version__
from fve_pipeline.cli import catalogs, coreset, figure
from fve_pipeline.cli.ablate import ablate
from fve_pipeline.cli.build import build
from fve_pipeline.cli.compare import compare
from fve_pipeline.cli.demo import demo
from fve_pipeline.cli.diff import diff
from fve_pipeline.cli.doctor import doctor
from fve_pipeline.cli.encode import encode
from fve_pipeline.cli.evaluate import evaluate
from fve_pipeline.cli.explain import explain
from fve_pipeline.cli.export import export
from fve_pipeline.cli.info import info
from fve_pipeline.cli.predict import predict
from fve_pipeline.cli.prepare import prepare
from fve_pipeline.cli.prune import prune
from fve_pipeline.cli.report import report
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

app = typer.Typer(
    name="fve",
    help="From raw medical volumes to FVE training stores, coresets and a text-prompted 3D segmenter.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


app.command()(demo)
app.command()(doctor)
app.command()(build)
app.command()(prepare)
app.command()(encode)
app.command()(info)
app.command()(verify)
app.command()(diff)
app.command()(update)
app.command()(withdraw)
app.command()(prune)
app.command()(export)
app.command()(view)
app.command()(scan)
app.command()(report)
app.add_typer(catalogs.app)
app.command()(predict)
app.command()(evaluate)
app.command()(compare)
app.command()(explain)
app.add_typer(coreset.app)
app.add_typer(figure.app)
app.command()(train)
app.command()(ablate)
app.add_typer(weights_app, name="weights")


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


def main() -> None:
    """Entry point: an expected error is one clear message and exit code 2, never a traceback."""
    try:
        app()
    except FveError as error:
        for line in (f"fve: {error}", *(f"  {note}" for note in getattr(error, "__notes__", ()))):
            typer.echo("\n".join(map(printable, line.split("\n"))), err=True)
        sys.exit(2)
    except ModuleNotFoundError as error:
        advice = missing_package(error)
        if advice is None:
            raise
        typer.echo(f"fve: {advice}", err=True)
        sys.exit(2)
    except RuntimeError as error:
        if not str(error).startswith("Symlink loop"):  # pathlib's own word, before Python 3.13
            raise
        typer.echo(printable(f"fve: {error}. Check the path."), err=True)
        sys.exit(2)
    except (OSError, MemoryError) as error:
        if is_environment_fault(error):
            typer.echo(f"fve: {describe_fault(error)}", err=True)
        elif isinstance(error, OSError) and error.filename is not None:
            typer.echo(printable(f"fve: {error.filename}: {error.strerror}. Check the path."), err=True)
        else:
            raise
        sys.exit(2)
