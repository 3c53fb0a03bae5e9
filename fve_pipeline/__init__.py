"""fve_pipeline: from raw medical volumes to a fine-tuned, text-prompted 3D segmenter.

The names below are loaded when they are first used, so that importing the package stays fast.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fve_pipeline.build.api import build_store as build_store
    from fve_pipeline.imaging.encoding import context_depth as context_depth
    from fve_pipeline.imaging.encoding import decode as decode
    from fve_pipeline.imaging.encoding import encode as encode
    from fve_pipeline.store.reader import open_store as open_store
    from fve_pipeline.store.schema import StoreSettings as StoreSettings

__all__ = [
    "StoreSettings",
    "__version__",
    "build_store",
    "context_depth",
    "decode",
    "encode",
    "open_store",
]

__version__ = "0.1.0"

_HOMES = {
    "StoreSettings": "fve_pipeline.store.schema",
    "build_store": "fve_pipeline.build.api",
    "context_depth": "fve_pipeline.imaging.encoding",
    "decode": "fve_pipeline.imaging.encoding",
    "encode": "fve_pipeline.imaging.encoding",
    "open_store": "fve_pipeline.store.reader",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
