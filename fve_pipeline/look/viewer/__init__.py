"""A store's slices on a local page, for any case and any order."""

from __future__ import annotations

from fve_pipeline.look.viewer.server import serve
from fve_pipeline.look.viewer.slices import StoreSlices

__all__ = ["StoreSlices", "serve"]
