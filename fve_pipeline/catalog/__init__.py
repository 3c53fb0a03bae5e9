"""Catalogs: TOML descriptors of datasets, and the cases that they find."""

from __future__ import annotations

from fve_pipeline.catalog.discover import discover, find_volumes, require_folder
from fve_pipeline.catalog.family import expand
from fve_pipeline.catalog.load import load_catalog, shipped_catalogs
from fve_pipeline.catalog.problems import Problem, file_problems
from fve_pipeline.catalog.schema import Catalog, ClassSpec, RenditionSpec

__all__ = [
    "Catalog",
    "ClassSpec",
    "Problem",
    "RenditionSpec",
    "discover",
    "expand",
    "file_problems",
    "find_volumes",
    "load_catalog",
    "require_folder",
    "shipped_catalogs",
]
