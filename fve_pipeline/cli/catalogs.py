"""``fve catalogs``: what datasets are known, what a catalog says, and whether a folder agrees with it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fve_pipeline.cli import completion
from fve_pipeline.cli.catalogs_check import check
from fve_pipeline.cli.catalogs_make import from_bids, from_folder, from_nnunet
from fve_pipeline.cli.catalogs_structures import structures

if TYPE_CHECKING:
    from fve_pipeline.catalog import Catalog

__all__ = ["app"]

app = typer.Typer(
    name="catalogs",
    help="Catalogs: TOML descriptors of datasets. List, show, check and make them.",
    no_args_is_help=True,
    rich_markup_mode="rich",
)

app.command()(check)
app.command()(from_nnunet)
app.command()(from_bids)
app.command()(from_folder)
app.command()(structures)

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
Name = Annotated[
    str,
    typer.Argument(
        help="A shipped catalog's name or the path of a .toml file.",
        show_default=False,
        autocompletion=completion.catalogs,
    ),
]


@app.command("list")
def list_catalogs(as_json: Json = False) -> None:
    """List the catalogs that are shipped.

    [bold]Examples[/bold]

      fve catalogs list
      fve catalogs list --json
    """
    from rich.console import Console
    from rich.table import Table

    from fve_pipeline.catalog import load_catalog, shipped_catalogs

    catalogs = [load_catalog(name) for name in shipped_catalogs()]
    if as_json:
        typer.echo(json.dumps([_summary(catalog) for catalog in catalogs], indent=2))
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("name", "modality", "site", "classes", "licence", "title"):
        table.add_column(column, justify="right" if column == "classes" else "left", no_wrap=column == "name")
    for catalog in catalogs:
        row = _summary(catalog)
        table.add_row(
            *(str(row[column]) for column in ("name", "modality", "site", "classes", "licence", "title"))
        )
    Console().print(table)


@app.command()
def show(name: Name, as_json: Json = False) -> None:
    """Show a catalog: its source and licence, where its files are, its classes and their prompts.

    [bold]Examples[/bold]

      fve catalogs show amos22_ct
      fve catalogs show my_dataset.toml --json
    """
    from rich.console import Console
    from rich.table import Table

    from fve_pipeline.catalog import load_catalog

    catalog = load_catalog(name)
    if as_json:
        typer.echo(catalog.model_dump_json(indent=2, exclude_defaults=True))
        return
    console = Console()
    facts = Table(box=None, show_header=False, pad_edge=False)
    facts.add_column(style="bold", no_wrap=True)
    facts.add_column(overflow="fold")
    for label, value in _facts(catalog):
        facts.add_row(label, value)
    console.print(facts)
    if catalog.prompt_file is not None:
        console.print(f"Its datasets and classes are those of {catalog.prompt_file.name}.", highlight=False)
        return
    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("id", "class", "label ids", "side", "prompts", "for example"):
        table.add_column(column, justify="right" if column in ("id", "prompts") else "left")
    for spec in catalog.classes:
        ids = "instances" if spec.instance else ", ".join(map(str, spec.ids))
        example = spec.prompts[min(1, len(spec.prompts) - 1)]
        table.add_row(str(spec.id), spec.name, ids, spec.side or "", str(len(spec.prompts)), example)
    console.print(table)


def _summary(catalog: Catalog) -> dict[str, Any]:
    return {
        "name": catalog.name,
        "title": catalog.title,
        "modality": catalog.modality or "several",
        "site": catalog.site,
        "classes": len(catalog.classes),
        "licence": catalog.licence,
    }


def _facts(catalog: Catalog) -> list[tuple[str, str]]:
    renditions = ", ".join(
        spec.name + (f" ({spec.window})" if spec.window not in (None, spec.name) else "")
        for spec in catalog.renditions
    )
    facts = [
        (catalog.name, catalog.title),
        ("modality", catalog.modality or "several"),
        ("licence", catalog.licence),
        ("citation", catalog.citation),
        ("where", catalog.url),
        ("download", catalog.download),
        ("checked against", catalog.source),
        ("images", catalog.layout.images),
        ("labels", catalog.layout.labels),
        ("subject", catalog.layout.subject_template),
        ("renditions", renditions or catalog.window or ""),
        (
            "mask",
            "" if catalog.is_family else "instances, uint16" if catalog.instance else catalog.mask_dtype,
        ),
    ]
    return [(label, value) for label, value in facts if value]
