"""Feeding trainers: samplers that are functions of (seed, epoch), a torch dataset, threads that read ahead."""

from __future__ import annotations

from fve_pipeline.loading.augment import Recipe
from fve_pipeline.loading.batch import LoadedBatch, collate
from fve_pipeline.loading.dataset import SliceDataset
from fve_pipeline.loading.prefetch import Loader, prefetch
from fve_pipeline.loading.sampler import Batches, Sampler, SamplerState, Ticket
from fve_pipeline.loading.strategies import ClassBalanced, Combined, Once, Positives, Stores, Tempered, Views
from fve_pipeline.loading.training_data import StoreTrainingData, StoreValidationData

__all__ = [
    "Batches",
    "ClassBalanced",
    "Combined",
    "LoadedBatch",
    "Loader",
    "Once",
    "Positives",
    "Recipe",
    "Sampler",
    "SamplerState",
    "SliceDataset",
    "StoreTrainingData",
    "StoreValidationData",
    "Stores",
    "Tempered",
    "Ticket",
    "Views",
    "collate",
    "prefetch",
]
