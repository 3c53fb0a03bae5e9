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
    "instant-clip-tokenizer": ("train", "prompts to tokens"),
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
        found.append(
            Check("optional", name, f"{version}: {purpose}")
            if version
            else Check(
                "optional", name, "missing", "note", f"for {purpose}: pip install 'fve-pipeline[{extra}]'"
            )
        )
    return found


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
