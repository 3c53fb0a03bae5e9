"""Feeding trainers: samplers that are functions of (seed, epoch), a torch dataset, threads that read ahead.

The names below are loaded when they are first used: those that need no torch work without it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fve_pipeline.loading.augment import Recipe as Recipe
    from fve_pipeline.loading.batch import LoadedBatch as LoadedBatch
    from fve_pipeline.loading.batch import collate as collate
    from fve_pipeline.loading.dataset import SliceDataset as SliceDataset
    from fve_pipeline.loading.findings import FindingMix as FindingMix
    from fve_pipeline.loading.loader import Loader as Loader
    from fve_pipeline.loading.loader import prefetch as prefetch
    from fve_pipeline.loading.sampler import Batches as Batches
    from fve_pipeline.loading.sampler import Sampler as Sampler
    from fve_pipeline.loading.sampler import SamplerState as SamplerState
    from fve_pipeline.loading.sampler import Ticket as Ticket
    from fve_pipeline.loading.strategies import ClassBalanced as ClassBalanced
    from fve_pipeline.loading.strategies import Combined as Combined
    from fve_pipeline.loading.strategies import Once as Once
    from fve_pipeline.loading.strategies import Positives as Positives
    from fve_pipeline.loading.strategies import Stores as Stores
    from fve_pipeline.loading.strategies import Tempered as Tempered
    from fve_pipeline.loading.strategies import Views as Views

_HOMES = {
    "Batches": "sampler",
    "ClassBalanced": "strategies",
    "Combined": "strategies",
    "FindingMix": "findings",
    "LoadedBatch": "batch",
    "Loader": "loader",
    "Once": "strategies",
    "Positives": "strategies",
    "Recipe": "augment",
    "Sampler": "sampler",
    "SamplerState": "sampler",
    "SliceDataset": "dataset",
    "Stores": "strategies",
    "Tempered": "strategies",
    "Ticket": "sampler",
    "Views": "strategies",
    "collate": "batch",
    "prefetch": "loader",
}

__all__ = [
    "Batches",
    "ClassBalanced",
    "Combined",
    "FindingMix",
    "LoadedBatch",
    "Loader",
    "Once",
    "Positives",
    "Recipe",
    "Sampler",
    "SamplerState",
    "SliceDataset",
    "Stores",
    "Tempered",
    "Ticket",
    "Views",
    "collate",
    "prefetch",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
