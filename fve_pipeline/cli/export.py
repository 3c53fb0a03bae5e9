"""fve export: a store in the formats that other people's programs read."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from fve_pipeline.cli.completion import one_of, stores
from fve_pipeline.cli.options import Json, choice, roots_of
from fve_pipeline.cli.progress import Bars, console, errors
from fve_pipeline.cli.running import print_json

__all__ = ["export"]

_FORMATS = ("reference-png", "challenge-npz", "nifti", "nnunet", "ome-zarr", "seg", "rtstruct", "croissant")


def export(
    store: Annotated[str, typer.Argument(help="A store, such as slices.zarr.", autocompletion=stores)],
    to: Annotated[str, typer.Option(help="For which program.", **one_of(*_FORMATS))],
    out: Annotated[
        Path | None,
        typer.Option(
            help="An empty folder; for croissant a file. Default there: croissant.json in the store."
        ),
    ] = None,
    dataset: Annotated[
        list[str] | None, typer.Option(help="Only this dataset; repeatable. Default: all.")
    ] = None,
    split: Annotated[
        list[str] | None, typer.Option(help="Only this split; repeatable. Default: all.")
    ] = None,
    straight: Annotated[
        bool,
        typer.Option(
            "--straight",
            help="Volumes along the world's axes, not where their sources lie (nifti, nnunet, challenge-npz, ome-zarr).",
        ),
    ] = False,
    root: Annotated[
        list[str] | None,
        typer.Option(help="Folder of the sources, or NAME=DIR; for seg and rtstruct, which refer to them."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a store's samples for another program, or what is in it for a catalogue of datasets.

      reference-png: train/, train_mask/ and train.json a dataset, as BiomedParse's fine-tuning reads them.
      challenge-npz: imgs, gts and spacing a case, and class_prompts.json.
      nifti: a folder a case.
      nnunet: Dataset501_NAME and so on.
      ome-zarr: a group a case and rendition, of version 0.5.
      seg, rtstruct: labels as DICOM for an archive, beside the source series below --root, whose patient they name.
      croissant: metadata with licences and checksums, as JSON-LD.

    Volumes lie where their sources lie, an oblique scan obliquely, unless --straight.

    What a format cannot hold, such as classes that are unions of labels, is left out and said.

    [bold]Examples[/bold]

      fve export slices.zarr --to reference-png --out png

      fve export slices.zarr --to nnunet --dataset amos22_ct --out nnunet

      fve export slices.zarr --to rtstruct --root /data/lctsc --out back

      fve export slices.zarr --to croissant
    """
    from fve_pipeline.export.archive import export_archive
    from fve_pipeline.export.challenge import export_challenge
    from fve_pipeline.export.croissant import export_croissant
    from fve_pipeline.export.nifti import export_nifti
    from fve_pipeline.export.nnunet import export_nnunet
    from fve_pipeline.export.ome_zarr import export_ome_zarr
    from fve_pipeline.export.reference_png import export_reference_png
    from fve_pipeline.store.reader import open_store

    choice("to", to, _FORMATS)
    archive = to in ("seg", "rtstruct")
    if straight and (archive or to in ("reference-png", "croissant")):
        where = "lies on its source series" if archive else "holds no volumes that lie anywhere"
        raise typer.BadParameter(f"{to} {where}", param_hint="--straight")
    if archive != bool(root):
        said = (
            f"{to} refers to the source series: say where they are" if archive else f"{to} needs no sources"
        )
        raise typer.BadParameter(said, param_hint="--root")
    if to == "croissant" and out is None and "://" in store:
        raise typer.BadParameter("give a local file; the store is not one", param_hint="--out")
    opened = open_store(store)
    notes: list[str] = []
    if to == "croissant":
        out = out or Path(store) / "croissant.json"
        export_croissant(opened, out, Path(store).name.removesuffix(".zarr"))
    elif out is None:
        raise typer.BadParameter("give an empty folder", param_hint="--out")
    else:
        writers: dict[str, Callable[..., list[str]]] = {
            "reference-png": export_reference_png,
            "challenge-npz": partial(export_challenge, straight=straight),
            "nifti": partial(export_nifti, straight=straight),
            "nnunet": partial(export_nnunet, straight=straight),
            "ome-zarr": partial(export_ome_zarr, straight=straight),
        }
        if archive:
            roots = roots_of(root or [], set(opened.cases["dataset"].to_pylist()))
            writers[to] = partial(export_archive, form=to, roots=roots)
        with Bars(as_json) as bars:
            notes = writers[to](opened, out, bars, datasets=dataset or (), splits=split or ())
    if as_json:
        print_json({"to": to, "out": str(out), "left_out": notes})
        return
    for note in notes:
        errors.print(note, style="yellow", markup=False, highlight=False)
    if archive:
        said = f"{out}: these files carry their patients' identity, as an archive needs; nothing else does"
        errors.print(said, style="yellow", markup=False, highlight=False)
    console.print(f"{store} written as {to}: {out}", markup=False, highlight=False)
