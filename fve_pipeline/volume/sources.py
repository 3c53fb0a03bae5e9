"""Which files a volume is made of, and what they hash to."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from fve_pipeline.volume.detached import data_files
from fve_pipeline.volume.dicom import series_files
from fve_pipeline.volume.kinds import kind_of, shown
from fve_pipeline.volume.pictures import picture_files

__all__ = ["hash_files", "source_files"]


def source_files(path: str | Path, series: str | None = None) -> list[Path]:
    """Return the files behind a path, sorted.

    A series' files, PNG slices, an MHD's or NHDR's header and voxels, or the path itself.
    """
    path = Path(path)
    if pictures := picture_files(path):
        return pictures
    kind = kind_of(path, shown(path))
    if kind == "dicom":
        return series_files(path, series) if path.is_dir() else [path]
    if kind == "itk":
        return sorted([path, *data_files(path, shown(path))])
    return [path]


def hash_files(paths: Iterable[str | Path]) -> str:
    """sha256 (hex) of one file's bytes, or of the sorted lines "name sha256" of several."""
    hashes = []
    for path in map(Path, paths):
        with path.open("rb") as file:
            hashes.append((path.name, hashlib.file_digest(file, "sha256").hexdigest()))
    if len(hashes) == 1:
        return hashes[0][1]
    return hashlib.sha256(
        "".join(f"{name} {digest}\n" for name, digest in sorted(hashes)).encode()
    ).hexdigest()
