"""Masks of classes that may overlap take two bytes a value, and hardly more of them once compressed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import store_maker as maker

from fve_pipeline.imaging.resample import Fit
from fve_pipeline.store.documents import mask_codec


@pytest.mark.parametrize("name", ["example_seg", "totalseg"])
@pytest.mark.parametrize("size", [256, 512])
def test_they_cost_at_most_a_tenth_more(shared_data: Path, name: str, size: int) -> None:
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(shared_data / "ct_totalseg" / f"{name}.nii.gz")))
    masks = Fit(labels.shape[1:], size, "opencv").masks(np.ascontiguousarray(labels.astype(np.uint8)))

    def nbytes(dtype: str, overlaps: bool) -> int:
        settings = maker.settings().model_copy(
            update={"size": size, "mask_dtype": dtype, "overlaps": overlaps}
        )
        codec = mask_codec(settings)
        return sum(len(codec.encode_chunk(mask.astype(dtype)[None])) for mask in masks)

    assert nbytes("uint16", True) <= 1.1 * nbytes("uint8", False)
