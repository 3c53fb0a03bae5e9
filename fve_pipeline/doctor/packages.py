"""Versions of what is installed, and what is missing without harm."""

from __future__ import annotations

import platform
from importlib import metadata

from fve_pipeline import __version__
from fve_pipeline.doctor.check import Check

__all__ = ["package_checks"]

# The packages that a store's bytes and speed depend on.
_NEEDED = (
    "numpy",
    "numba",
    "zarr",
    "numcodecs",
    "crc32c",
    "zstandard",
    "dask",
    "distributed",
    "SimpleITK",
    "pydicom",
    "isal",
    "opencv-python-headless",
    "pyarrow",
    "pydantic",
    "obstore",
)
# Package: the extra that brings it, and what doesn't work without it.
_OPTIONAL = {
    "torch": ("train", "training, prediction, torch datasets"),
    "ftfy": ("train", "prompts to tokens"),
    "regex": ("train", "prompts to tokens"),
    "safetensors": ("train", "weights in .safetensors files"),
    "tensorboard": ("train", "curves of a training run"),
    "numba-cuda": ("cuda", "kernels on a GPU"),
    "tensorstore": ("fast", "another reader of stores"),
    "matplotlib": ("report", "figures"),
}


def package_checks() -> list[Check]:
    """Python, this package, what it needs, and the optional packages with what they are for."""
    found = [
        Check("versions", "fve_pipeline", __version__),
        Check("versions", "Python", f"{platform.python_version()} ({platform.python_implementation()})"),
    ]
    for name in _NEEDED:
        version = _version(name)
        found.append(
            Check("versions", name, version)
            if version
            else Check("versions", name, "missing", "problem", f"pip install {name}")
        )
    for name, (extra, purpose) in _OPTIONAL.items():
        version = _version(name)
        if name == "torch" and version:
            found.append(_torch(version, purpose))
            continue
        found.append(
            Check("optional", name, f"{version}: {purpose}")
            if version
            else Check(
                "optional", name, "missing", "note", f"for {purpose}: pip install 'fve-pipeline[{extra}]'"
            )
        )
    return found


def _torch(version: str, purpose: str) -> Check:
    """Return whether torch can be imported and computes: a folder of metadata alone has a version too."""
    try:
        import torch

        right = float((torch.ones(3, 3) @ torch.ones(3, 3)).sum()) == 27
        gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    except Exception as error:  # a half-installed torch fails in any way
        advice = "reinstall it: pip install --force-reinstall torch"
        return Check("optional", "torch", f"{version}: {type(error).__name__}: {error}", "problem", advice)
    if not right:
        return Check("optional", "torch", f"{version}: computes wrongly", "problem", "reinstall torch")
    return Check("optional", "torch", f"{version}, {gpu}: {purpose}")


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
