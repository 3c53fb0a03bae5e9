"""A volume's results as an object that goes back to an archive: DICOM SEG or RTSTRUCT beside the image's series."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fve_pipeline.prediction.pictures import Picture
from fve_pipeline.prediction.prompts import Target
from fve_pipeline.prediction.sources import DICOM_ENDINGS, VolumeSource
from fve_pipeline.prediction.volume import Segmentation
from fve_pipeline.volume.dicom_source import MadeBy, source_series
from fve_pipeline.volume.write import in_source_order
from fve_pipeline.volume.write_rtstruct import write_structures
from fve_pipeline.volume.write_seg import write_segmentation

__all__ = ["IDENTITY", "write_for_archive"]

IDENTITY = (
    "the label map carries the patient's identity, as an archive needs; nothing else that is written does"
)


def write_for_archive(
    source: VolumeSource,
    picture: Picture,
    found: Segmentation,
    targets: Sequence[Target],
    out: Path,
    made_by: MadeBy,
) -> Path:
    """Write what was found as ``source.ending`` says, a segment or structure a target in their order.

    Of instances, each is one. Masks that were kept apart (``found.kept``) overlap as they were found.

    Raises
    ------
    ReadError
        Where the series cannot be referred to, or is not on the label map's grid.
    """
    path = out / f"{source.name}{source.ending}"
    path.parent.mkdir(parents=True, exist_ok=True)
    series = source_series(source.path, source.series)
    if found.instances and len(targets) == 1 and int(found.labels.max(initial=0)) == found.instances:
        names = [f"{targets[0].name} {number}" for number in range(1, found.instances + 1)]
        ids = list(range(1, found.instances + 1))
    else:
        names = [target.name for target in targets]
        ids = [target.class_id for target in targets]
    if found.kept is not None:
        kept = found.kept
        masks = [in_source_order(kept.where(place), picture.affine) for place in range(1, len(names) + 1)]
        labels = np.stack(masks, axis=-1)
    else:
        numbers = np.zeros(1 << 16, np.uint16)
        numbers[ids] = np.arange(1, len(names) + 1)
        labels = in_source_order(numbers[found.labels], picture.affine)
    if source.ending == DICOM_ENDINGS["seg"]:
        write_segmentation(path, series, names, labels, made_by)
    else:
        apart = labels.ndim == 4
        each = (labels[..., n] if apart else labels == n + 1 for n in range(len(names)))
        write_structures(path, series, names, each, made_by)
    return path
