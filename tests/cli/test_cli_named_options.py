"""Every option that a message or a page names is an option of some command."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import typer

from fve_pipeline.cli.main import app

ROOT = Path(__file__).parents[2]
OPTION = re.compile(r"(?<![\w/-])--[a-z][a-z0-9-]*")

#: Options of the programs that messages and pages tell people to run besides.
OF_OTHERS = {
    "torchrun": {
        *("--nproc-per-node", "--no-python", "--nnodes", "--rdzv-backend", "--rdzv-id", "--rdzv-endpoint"),
    },
    "hf": {"--local-dir"},
    "pip": {"--force-reinstall"},
    "gdcmconv": {"--raw"},
    "dask": {"--nthreads", "--nworkers", "--scheduler-file", "--no-dashboard"},
    "sbatch": {
        *("--nodes", "--ntasks-per-node", "--cpus-per-task", "--mem-per-cpu", "--time"),
        *("--job-name", "--gpus-per-node", "--requeue", "--open-mode", "--array", "--signal", "--wrap"),
    },
    "debootstrap": {"--variant", "--include"},
    "mount": {"--bind"},
    "docker": {"--build-arg", "--gpus", "--rm"},
}


def known(command: click.Command) -> Iterator[str]:
    """The options of a command and of the commands under it."""
    yield "--help"
    for parameter in command.params:
        yield from (*parameter.opts, *parameter.secondary_opts)
    for child in getattr(command, "commands", {}).values():
        yield from known(child)


def of_benchmarks() -> set[str]:
    """The options of the benchmarks, which are scripts of their own."""
    return {
        option for file in (ROOT / "benchmarks").glob("*.py") for option in OPTION.findall(file.read_text())
    }


def named_in_messages() -> Iterator[tuple[str, str]]:
    """(option, where) in the texts of the package."""
    for file in sorted((ROOT / "fve_pipeline").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                where = f"{file.relative_to(ROOT)}:{node.lineno}"
                yield from ((option, where) for option in OPTION.findall(node.value))


def named_in_pages() -> Iterator[tuple[str, str]]:
    """(option, where) in the pages, line by line."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    for page in pages:
        for number, line in enumerate(page.read_text().splitlines(), start=1):
            where = f"{page.relative_to(ROOT)}:{number}"
            yield from ((option, where) for option in OPTION.findall(line))


def test_options_that_are_named_exist() -> None:
    options = set(known(typer.main.get_command(app))).union(of_benchmarks(), *OF_OTHERS.values())
    named = [*named_in_messages(), *named_in_pages()]
    assert len({option for option, _ in named}) > 40
    assert [f"{where}: {option}" for option, where in named if option not in options] == []
