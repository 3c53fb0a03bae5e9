"""fve explain: what the encoding makes of a slice of one's own volume."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fve_pipeline.cli.completion import one_of
from fve_pipeline.cli.options import Json, choice
from fve_pipeline.cli.progress import console
from fve_pipeline.cli.running import print_json

__all__ = ["explain"]


def explain(
    file: Annotated[
        Path, typer.Argument(help="A volume: NIfTI, NRRD, MHA, TIFF, npz, HDF5, or a DICOM folder.")
    ],
    out: Annotated[Path, typer.Option(help="Picture to write: .png, .svg or .pdf.")] = Path("explain.png"),
    index: Annotated[
        int | None, typer.Option("--slice", help="Slice number along the view. [default: the middle]", min=0)
    ] = None,
    order: Annotated[int, typer.Option(help="FVE order k.", min=0, max=6)] = 3,
    view: Annotated[str, typer.Option(help="View.", **one_of("axial", "coronal", "sagittal"))] = "axial",
    window: Annotated[
        str | None, typer.Option(help="CT window: a name such as soft_tissue, or width/level in HU.")
    ] = None,
    modality: Annotated[str | None, typer.Option(help="CT, MR, … where the file doesn't say.")] = None,
    boundary: Annotated[
        str, typer.Option(help="What lies past the volume's ends.", **one_of("repeat", "mirror"))
    ] = "repeat",
    downsample: Annotated[
        str, typer.Option(help="How farther slices are halved.", **one_of("mean", "stride"))
    ] = "mean",
    series: Annotated[str | None, typer.Option(help="Which series of a DICOM folder.")] = None,
    channel: Annotated[int | None, typer.Option(help="Which channel of a 4D or multi-channel file.")] = None,
    member: Annotated[
        str | None, typer.Option(help="Which array of an npz or HDF5 file. [default: imgs]")
    ] = None,
    as_json: Json = False,
) -> None:
    """Draw a slice as it is encoded at orders 1 to K, and what the last of them decodes to.

    [bold]Examples[/bold]

      fve explain ct.nii.gz --window soft_tissue --slice 40 --order 3 --out explain.png

      fve explain series/ --window 1500/-600 --view coronal

      fve explain case.npz --order 4 --boundary mirror
    """
    import numpy as np

    from fve_pipeline.imaging.encoding import BOUNDARIES, DOWNSAMPLINGS
    from fve_pipeline.imaging.intensity import to_uint8
    from fve_pipeline.imaging.views import VIEWS, take_view
    from fve_pipeline.look.figures import draw_explanation, save_figure
    from fve_pipeline.volume import read_image

    if (file / "manifest.json").is_file():
        msg = f"{file} is a store; expected a volume: fve view shows a store's slices, fve info what it holds"
        raise typer.BadParameter(msg, param_hint="FILE")
    choice("view", view, VIEWS)
    choice("boundary", boundary, BOUNDARIES)
    choice("downsample", downsample, DOWNSAMPLINGS)
    choice("out", out.suffix, (".png", ".svg", ".pdf"))
    volume = read_image(file, series=series, channel=channel, modality=modality, member=member)
    slices = take_view(volume.array, view)
    if index is None:
        index = len(slices) // 2
    if index >= len(slices):
        raise typer.BadParameter(
            f"{index}: the {view} view has slices 0 to {len(slices) - 1}", param_hint="--slice"
        )
    image, decision = to_uint8(slices, modality=volume.modality or "", window=window)
    title = f"{file.name}, {view} slice {index} of 0 to {len(slices) - 1}, {decision}"
    how = {"boundary": boundary, "downsample": downsample}
    figure = draw_explanation(np.asarray(image), index, order, title=title, view=view, **how)
    save_figure(figure, out)
    if as_json:
        facts = {"view": view, "slice": index, "slices": len(slices), "order": order}
        print_json({"picture": str(out), **facts, "decision": decision, "notes": list(volume.notes)})
        return
    for note in volume.notes:
        console.print(note, style="dim", markup=False, soft_wrap=True)
    said = f"{decision}\n{view} slice {index} of {len(slices)}, order {order}: {out}"
    console.print(said, markup=False, highlight=False, soft_wrap=True)
