"""``fve catalogs from-nnunet``, ``from-bids`` and ``from-folder``: drafts of catalogs, to be read and edited."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fve_pipeline.files.atomic import write_whole

if TYPE_CHECKING:
    from fve_pipeline.catalog.draft import Draft

__all__ = ["from_bids", "from_folder", "from_nnunet"]

Folder = Annotated[
    Path, typer.Argument(help="The dataset's folder.", show_default=False, exists=True, file_okay=False)
]
Out = Annotated[
    Path | None,
    typer.Option("--out", help="The file to write; NAME.toml here by default.", show_default=False),
]
Modality = Annotated[
    str | None,
    typer.Option(
        "--modality", help="CT, MR, PET, US or Microscopy, where it is not told right.", show_default=False
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Write over a file that exists.")]


def from_nnunet(
    folder: Folder,
    out: Out = None,
    modality: Modality = None,
    splits: Annotated[
        Path | None,
        typer.Option("--splits", help="splits_final.json, where it is not found.", show_default=False),
    ] = None,
    fold: Annotated[
        int, typer.Option("--fold", help="The fold whose validation cases become val.", min=0)
    ] = 0,
    force: Force = False,
) -> None:
    """Make a catalog of an nnU-Net (v1, v2) or Decathlon dataset from its dataset.json.

    Channels become renditions, regions become unions, and splits_final.json is honoured.

    [bold]Examples[/bold]

      fve catalogs from-nnunet nnUNet_raw/Dataset220_KiTS2023
      fve catalogs from-nnunet Task07_Pancreas --out pancreas.toml
    """
    from fve_pipeline.catalog.nnunet import from_nnunet as draft_from

    _write(draft_from(folder, modality=modality, splits=splits, fold=fold), folder, out, force)


def from_bids(
    folder: Folder,
    out: Out = None,
    suffix: Annotated[
        str | None,
        typer.Option(
            "--suffix",
            help="Which images: T1w, FLAIR, ct, ... The most common by default.",
            show_default=False,
        ),
    ] = None,
    force: Force = False,
) -> None:
    """Make a catalog of a BIDS dataset: label maps from derivatives, class names from its dseg.tsv.

    [bold]Examples[/bold]

      fve catalogs from-bids ds004470
      fve catalogs from-bids ds004470 --suffix FLAIR
    """
    from fve_pipeline.catalog.bids import from_bids as draft_from

    _write(draft_from(folder, suffix=suffix), folder, out, force)


def from_folder(
    folder: Folder,
    out: Out = None,
    modality: Modality = None,
    instances: Annotated[
        bool | None,
        typer.Option(
            "--instances/--classes",
            help="What a label map's ids are, where they are many.",
            show_default=False,
        ),
    ] = None,
    sample: Annotated[int, typer.Option("--sample", help="How many cases to look into.", min=1)] = 20,
    force: Force = False,
) -> None:
    """Guess a catalog from a folder: images, label maps, ids and modality, with the numbers behind each guess.

    [bold]Examples[/bold]

      fve catalogs from-folder /data/mine
      fve catalogs from-folder /data/mine --modality US --out mine.toml
      fve catalogs from-folder /data/cells --instances
    """
    from fve_pipeline.catalog.folder import from_folder as draft_from

    _write(draft_from(folder, modality=modality, instances=instances, sample=sample), folder, out, force)


def _write(draft: Draft, folder: Path, out: Path | None, force: bool) -> None:
    from rich.console import Console

    from fve_pipeline.errors import CatalogError

    catalog = draft.catalog()
    path = out or Path(f"{catalog.name}.toml")
    if path.exists() and not force:
        msg = f"{path} exists already; give another --out, or --force to write over it"
        raise CatalogError(msg)
    with write_whole(path) as file:
        file.write(draft.toml().encode())
    console = Console(highlight=False)
    for note in draft.notes:
        console.print(f"· {note}", markup=False, soft_wrap=True)
    console.print(
        f"Wrote {path}: {len(catalog.classes)} classes. Read it, then:", markup=False, soft_wrap=True
    )
    console.print(f"  fve catalogs check {path} --root {folder}", markup=False, soft_wrap=True)
