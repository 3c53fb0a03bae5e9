"""``fve predict``: volumes and prompts -> label maps."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from rich.table import Table

from fve_pipeline.cli.completion import catalogs, one_of
from fve_pipeline.cli.options import Json, Nonfinite, ResampleTilt
from fve_pipeline.cli.predict_asked import (
    Form,
    Instances,
    Overlaps,
    PrecisionChoice,
    archive_form,
    asked,
    asked_of_each,
    with_options,
)
from fve_pipeline.cli.predict_values import axes_of, device_of, part_of, views_of
from fve_pipeline.cli.progress import Bars, console, errors
from fve_pipeline.cli.running import print_json

__all__ = ["predict"]

_WHAT = "What to look for"
_GREY = "How grey values are read"
_MEAN = "What is averaged"
_RUN = "How it runs"


def predict(
    inputs: Annotated[
        list[Path],
        typer.Argument(
            help="NIfTI, NRRD, MHA, TIFF or npz files, DICOM folders, prepared stores, or folders of them."
        ),
    ],
    weights: Annotated[
        Path,
        typer.Option(
            help="A run's folder (best checkpoint, else newest), a file of it, or the released weights."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the label maps and their reports.")],
    prompts: Annotated[
        list[str] | None,
        typer.Option(
            help="What to look for; repeatable. 7=liver gives it label id 7.", rich_help_panel=_WHAT
        ),
    ] = None,
    catalog: Annotated[
        str | None,
        typer.Option(
            help="A catalog's images, classes, ids, modality and window; --prompts picks classes of it.",
            autocompletion=catalogs,
            rich_help_panel=_WHAT,
        ),
    ] = None,
    rendition: Annotated[
        str | None,
        typer.Option(
            help="One rendition alone. [default: all of a catalog, each with its classes]",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    allow_pickle: Annotated[
        bool,
        typer.Option(
            "--allow-pickle",
            help="Take prompts from the pickled text_prompts of the challenge's npz.",
            rich_help_panel=_WHAT,
        ),
    ] = False,
    instances: Annotated[
        Instances | None,
        typer.Option(
            help="What becomes of a mask of instances: [b]split[/] along predicted edges, or [b]merged[/], one mask. "
            "[default: merged for released weights, else split]",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    to: Annotated[
        Form,
        typer.Option(
            help="Of DICOM series, for an archive: [b]seg[/], coded segments, or [b]rtstruct[/], contours. They carry "
            "the patient's identity.",
            rich_help_panel=_WHAT,
        ),
    ] = Form.nifti,
    overlaps: Annotated[
        Overlaps,
        typer.Option(
            help="[b]merge[/]: one label a voxel. [b]keep[/]: besides, every class for itself, a file each. "
            "[b]layers[/]: besides, one file of a layer a class.",
            rich_help_panel=_WHAT,
        ),
    ] = Overlaps.merge,
    findings: Annotated[
        bool,
        typer.Option(
            "--findings",
            help="Ask each case for its own findings, the sentences of the catalog's table; each has a mask of its own.",
            rich_help_panel=_WHAT,
        ),
    ] = False,
    swap: Annotated[
        int | None,
        typer.Option(
            help="With --findings: ask for each by another one's sentence, drawn by this seed (fve evaluate --swap).",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    modality: Annotated[
        str | None, typer.Option(help="CT, MR, PET, US or Microscopy.", rich_help_panel=_GREY)
    ] = None,
    window: Annotated[
        str | None, typer.Option(help="soft_tissue, lung, …, or 400/40.", rich_help_panel=_GREY)
    ] = None,
    channel: Annotated[
        int | None, typer.Option(help="Which volume of a 4D file.", rich_help_panel=_GREY)
    ] = None,
    nonfinite: Nonfinite = None,
    resample_tilt: ResampleTilt = False,
    draws: Annotated[
        int, typer.Option(min=1, help="Draws of the sampled attention.", rich_help_panel=_MEAN)
    ] = 1,
    views: Annotated[
        str | None,
        typer.Option(
            help="axial, coronal, sagittal, several with commas. [default: by the checkpoint's rule]",
            rich_help_panel=_MEAN,
        ),
    ] = None,
    flips: Annotated[
        str,
        typer.Option(
            help="Mirror images along x, y, z, such as x or x,y; along x, left and right prompts change places.",
            rich_help_panel=_MEAN,
        ),
    ] = "",
    seed: Annotated[int, typer.Option(help="Seed of the draws.", rich_help_panel=_MEAN)] = 0,
    adapt: Annotated[
        str | None,
        typer.Option(
            help="bio2vol reads across slices, none does not. [default: as the weights were trained]",
            rich_help_panel=_RUN,
            **one_of("bio2vol", "none"),
        ),
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            help="Where it runs. [default: cuda if there is one]",
            rich_help_panel=_RUN,
            **one_of("cpu", "cuda"),
        ),
    ] = None,
    batch: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Slices at a time, but for bio2vol, which takes a sub-volume. [default: what fits]",
            rich_help_panel=_RUN,
        ),
    ] = None,
    precision: Annotated[
        PrecisionChoice | None,
        typer.Option(
            help="[b]bf16[/] is faster on GPUs that have it. [default: bf16 on a GPU, float32 on a CPU]",
            rich_help_panel=_RUN,
        ),
    ] = None,
    part: Annotated[
        str | None,
        typer.Option(
            help="i/n: every n-th volume from the i-th on, so that n processes share a folder.",
            rich_help_panel=_RUN,
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Segment volumes by text prompts.

    Slices are made as the checkpoint's training slices were. A label map lies on its image (the same axes,
    spacing and place; npz [i]segs[/] for npz), beside a JSON of what was found. Run it again and it does what
    is missing. Exit code 0: all predicted; 1: some failed, named; 2: none predicted.

    [bold]Examples[/bold]

      fve predict scan.nii.gz --modality CT --window soft_tissue --prompts "liver in abdominal CT" --prompts
      "spleen in abdominal CT" --weights model.pt --out predictions/

      fve predict scans/ --catalog amos22_ct --weights model.pt --out predictions/ --flips x --draws 4

      fve predict scans/ --catalog amos22_ct --weights volumes.pt --out predictions/ --adapt bio2vol

      fve predict scans/ --catalog reports.toml --findings --weights model.pt --out true/

      fve predict scans/ --catalog reports.toml --findings --swap 0 --weights model.pt --out swapped/

      fve predict inputs/ --allow-pickle --weights released.ckpt --out outputs/

      fve predict study/series/ --catalog lctsc --weights model.pt --out back/ --to rtstruct

      CUDA_VISIBLE_DEVICES=1 fve predict scans/ --catalog amos22_ct --weights model.pt --out predictions/ --part 2/4
    """
    from fve_pipeline.catalog import load_catalog
    from fve_pipeline.catalog.schema import Modality
    from fve_pipeline.prediction.archive import IDENTITY
    from fve_pipeline.prediction.network import Averaging
    from fve_pipeline.prediction.predictor import Predictor
    from fve_pipeline.prediction.request import Request
    from fve_pipeline.prediction.run import predict_all
    from fve_pipeline.prediction.sources import find_sources

    if adapt not in (None, "bio2vol", "none"):
        raise typer.BadParameter(f"{adapt!r}; expected bio2vol or none", param_hint="--adapt")
    described = load_catalog(catalog) if catalog is not None else None
    if swap is not None and not findings:
        raise typer.BadParameter(
            "sentences are swapped among findings: give --findings too", param_hint="--swap"
        )
    own: dict[Path, Any] = {}
    if findings:
        if prompts:
            raise typer.BadParameter(
                "a case is asked for its findings or by prompts, not both", param_hint="--prompts"
            )
        own, shown = asked_of_each(described, inputs, rendition, swap)
        targets, instance_class = None, False
        overlaps = Overlaps.keep if overlaps is Overlaps.merge else overlaps
    else:
        targets, shown, instance_class = asked(prompts or [], described, rendition, allow_pickle)
    if instances is Instances.split and targets is not None and len(targets) > 1:
        msg = f"instances are of one prompt; {len(targets)} were given"
        raise typer.BadParameter(msg, param_hint="--instances")
    if modality is not None and modality not in get_args(Modality):
        msg = f"{modality!r}; expected {', '.join(get_args(Modality))}"
        raise typer.BadParameter(msg, param_hint="--modality")
    shown = with_options(shown, modality, window, channel, nonfinite, resample_tilt)
    request = Request(
        targets,
        shown,
        Averaging(draws, axes_of(flips), seed),
        views_of(views),
        instance_class or instances is Instances.split,
        instances.value if instances is not None else None,
        overlaps.value,
        own,
    )
    first, parts = part_of(part)
    made = out.resolve()
    for path in inputs:
        if path.resolve().is_relative_to(made):
            msg = f"{path} lies in it; label maps would be written over volumes. Give a folder of its own"
            raise typer.BadParameter(msg, param_hint="--out")
    # Label maps of an earlier run are not volumes to predict.
    told = partial(errors.print, markup=False, highlight=False)
    ending = archive_form(to, overlaps)
    found = find_sources(
        inputs, described, told, [one.intensity.rendition for one in shown if one.intensity.rendition]
    )
    if findings and (without := sum(one.path not in own for one in found)):
        told(f"{without} volumes have no finding and are left out")
        found = [one for one in found if one.path in own]
    sources = [one for one in found if not one.path.resolve().is_relative_to(made)][first::parts]
    if ending is not None:
        sources = [replace(one, ending=ending) for one in sources]
    predictor = Predictor(
        weights, device_of(device), adapt, precision.value if precision is not None else None
    )
    with Bars(as_json) as bars:
        reports, failures = predict_all(predictor, sources, request, out, bars, batch)
    if as_json:
        print_json(
            {
                "predicted": [_brief(one) for one in reports],
                "failed": {one.case: one.reason for one in failures},
            }
        )
    else:
        _print(reports, out)
    if ending is not None and reports:
        errors.print(f"{out}/**/*{ending}: {IDENTITY}", style="yellow", markup=False, highlight=False)
    for failure in failures:
        errors.print(f"failed: {failure.case}: {failure.reason}", style="red", markup=False, highlight=False)
    raise typer.Exit(0 if not failures else 1 if reports else 2)


def _brief(report: dict[str, Any]) -> dict[str, Any]:
    names = ("case", "labels", "seconds", "seconds_a_class", "within_time", "decision")
    return {name: report[name] for name in names} | {
        "volume_ml": {one["name"]: one["volume_ml"] for one in report["classes"]}
    }


def _print(reports: list[dict[str, Any]], out: Path) -> None:
    table = Table("volume", "found, ml", "s", "s a class", title=str(out), title_justify="left")
    for report in reports:
        found = ", ".join(
            f"{one['name']} {one['volume_ml']:.1f}" for one in report["classes"] if one["voxels"]
        )
        late = "" if report["within_time"] else " (over 60)"
        table.add_row(
            report["case"],
            found or "nothing",
            f"{report['seconds']:.1f}",
            f"{report['seconds_a_class']:.1f}{late}",
        )
    console.print(table)
