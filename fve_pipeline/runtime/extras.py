"""Packages that only some commands use: which extra brings each, and what for."""

from __future__ import annotations

import sys
from dataclasses import dataclass

__all__ = ["OPTIONAL", "Optional", "missing_package"]


@dataclass(frozen=True, slots=True)
class Optional:
    """A package that need not be there: the name it is imported by, its own, the extra, and its use."""

    module: str
    package: str
    extra: str
    purpose: str
    before: tuple[int, int] | None = None  # the first Python for which it is not to be had


OPTIONAL = (
    Optional("torch", "torch", "train", "training, prediction, torch datasets"),
    Optional("ftfy", "ftfy", "train", "prompts to tokens"),
    Optional("regex", "regex", "train", "prompts to tokens"),
    Optional("safetensors", "safetensors", "train", "weights in .safetensors files"),
    Optional("tensorboard", "tensorboard", "train", "curves of a training run"),
    Optional("numba_cuda", "numba-cuda", "cuda", "kernels on a GPU"),
    Optional("tensorstore", "tensorstore", "fast", "another reader of stores"),
    Optional("matplotlib", "matplotlib", "report", "figures"),
    Optional("obstore", "obstore", "s3", "stores in S3 and other object stores"),
    Optional("sklearn", "scikit-learn", "coreset", "descriptors of many numbers made short"),
    Optional("highdicom", "highdicom", "dicom", "DICOM SEG, written", before=(3, 14)),
    Optional("contourpy", "contourpy", "dicom", "RTSTRUCT, written"),
    Optional("bokeh", "bokeh", "dashboard", "Dask's dashboard"),
)


def missing_package(error: ModuleNotFoundError) -> str | None:
    """Return what to do about an import that failed: the extra that brings it; None where no extra does."""
    name = (error.name or "").partition(".")[0]
    for one in OPTIONAL:
        if one.module == name:
            text = f"the package {one.package} ({one.purpose}) is not installed: pip install 'fve-pipeline[{one.extra}]'"
            if one.before is None or sys.version_info < one.before:
                return text
            here, last = sys.version_info, f"{one.before[0]}.{one.before[1] - 1}"
            return f"{text} on Python up to {last}; this is {here.major}.{here.minor}, for which it is not to be had"
    return None
