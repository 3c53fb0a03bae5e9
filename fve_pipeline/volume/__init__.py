"""Any medical file -> arrays (z,y,x) in LPS with spacing in mm. The only package that opens such files."""

from __future__ import annotations

from fve_pipeline.volume.dicom import list_series
from fve_pipeline.volume.labels import read_labels
from fve_pipeline.volume.read import read_header, read_image
from fve_pipeline.volume.sources import hash_files, source_files
from fve_pipeline.volume.types import Header, Labels, Series, Volume
from fve_pipeline.volume.write import source_affine, write_labels

__all__ = [
    "Header",
    "Labels",
    "Series",
    "Volume",
    "hash_files",
    "list_series",
    "read_header",
    "read_image",
    "read_labels",
    "source_affine",
    "source_files",
    "write_labels",
]
