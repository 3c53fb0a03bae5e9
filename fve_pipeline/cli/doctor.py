"""fve doctor: does everything work on this machine?"""

from __future__ import annotations

import dataclasses
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from fve_pipeline.cli.options import Json
from fve_pipeline.cli.progress import console
from fve_pipeline.cli.running import print_json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fve_pipeline.doctor import Check

__all__ = ["doctor"]

_MARKS = {"ok": ("✓", "green"), "note": ("·", "yellow"), "problem": ("✗", "red")}


def doctor(
    test: Annotated[
        bool, typer.Option("--test/--no-test", help="Build and read a small store, about ten seconds.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Check this machine: versions, cores, memory, GPU, compiled kernels, codecs, and a small store.

    Exit code 0: everything works (notes say what is missing without harm); 1: something does not.

    [bold]Examples[/bold]

      fve doctor

      fve doctor --no-test --json
    """
    from fve_pipeline.doctor import kernel_checks, machine_checks, package_checks, self_test

    checks = chain(package_checks(), machine_checks(Path.cwd()), kernel_checks(), self_test() if test else ())
    found = list(checks) if as_json else _print(checks)
    problems = sum(check.status == "problem" for check in found)
    if as_json:
        print_json({"problems": problems, "checks": [dataclasses.asdict(check) for check in found]})
    else:
        said = f"{problems} problem{'s' * (problems > 1)}." if problems else "Everything works."
        console.print(f"\n{said}", highlight=False)
    raise typer.Exit(1 if problems else 0)


def _print(checks: Iterable[Check]) -> list[Check]:
    """Print each check as it ends, under its section's name."""
    found: list[Check] = []
    for check in checks:
        if not found or found[-1].section != check.section:
            console.print(f"\n{check.section}", style="bold", highlight=False)
        mark, colour = _MARKS[check.status]
        line = Text.assemble((f"  {mark} ", colour), f"{check.name:<24} ", check.value)
        console.print(line, soft_wrap=True)
        if check.advice:
            console.print(Text(f"      {check.advice}", style=colour), soft_wrap=True)
        found.append(check)
    return found
