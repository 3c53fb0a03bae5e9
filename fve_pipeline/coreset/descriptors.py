"""Numbers that describe a case: geometry, intensity, and where its classes lie and how large they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fve_pipeline.coreset.arrow import fixed, ragged
from fve_pipeline.coreset.table import CaseTable

__all__ = ["DESCRIPTORS_VERSION", "Block", "describe", "describe_by_class", "standardise"]

DESCRIPTORS_VERSION = 1  # recorded in every selection; goes up when any number below changes

Floats = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True, eq=False)
class Block:
    """Columns of one kind: ``values`` float64 (n, len(names)). Blocks weigh the same, however wide."""

    kind: str
    names: tuple[str, ...]
    values: Floats


def describe(table: CaseTable) -> list[Block]:
    """Return what every case has, whatever its dataset, so that cases of different datasets compare.

    geometry: log shape and log spacing in mm, z y x. intensity: the uint8 quantiles (0.5 to 99.5 percent) and
    log gradient energy. labels: how many classes are present, log of the labelled volume in mm³, its share
    of the image, and its centroid (relative, z y x). What the table has no columns for is left out.
    """
    blocks = _geometry(table) + _intensity(table)
    labels = _Labels.of(table)
    present = np.diff(table.indptr).astype(np.float64)
    if labels is None:
        return [*blocks, Block("labels", ("classes",), present[:, None])]
    volume = labels.sum_by_case(labels.volume)
    body = np.maximum(labels.voxel * np.prod(fixed(table.facts.column("shape"), 3), 1), 1e-6)
    weight = np.maximum(labels.sum_by_case(labels.volume), 1e-6)
    centre = [labels.sum_by_case(labels.volume * labels.centroid[:, axis]) / weight for axis in range(3)]
    centre = [np.where(volume > 0, value, 0.5) for value in centre]
    columns = [present, np.log1p(volume), volume / body, *centre]
    names = ("classes", "log_volume_mm3", "labelled_share", "centroid_z", "centroid_y", "centroid_x")
    return [*blocks, Block("labels", names, np.column_stack(columns))]


def describe_by_class(table: CaseTable) -> list[Block]:
    """Describe the cases of one dataset: as ``describe``, with a block of their labels.

    It has, for every class that occurs in them, presence, log volume in mm³, share of the labelled voxels (the
    label histogram), log extent in mm and relative centroid (z y x); zeros where the class is absent.
    """
    blocks = _geometry(table) + _intensity(table)
    present = np.unique(table.indices)
    column = np.searchsorted(present, table.indices)
    case = np.repeat(np.arange(len(table)), np.diff(table.indptr))
    facts: dict[str, Floats] = {"present": np.ones(len(table.indices))}
    labels = _Labels.of(table)
    if labels is not None:
        facts["log_volume_mm3"] = np.log1p(labels.volume)
        total = np.maximum(labels.sum_by_case(labels.volume), 1e-6)
        facts["share"] = labels.volume / total[case]
        for axis, letter in enumerate("zyx"):
            facts[f"log_extent_{letter}_mm"] = np.log1p(labels.extent[:, axis])
            facts[f"centroid_{letter}"] = labels.centroid[:, axis] - 0.5
    names, columns = [], []
    for fact, values in facts.items():
        wide = np.zeros((len(table), len(present)))
        wide[case, column] = values
        columns.append(wide)
        names += [f"{table.classes[number]}:{fact}" for number in present.tolist()]
    return [*blocks, Block("labels", tuple(names), np.concatenate(columns, axis=1))]


def standardise(blocks: list[Block]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return one matrix float32 (n, d): columns to mean 0 and variance 1, constant ones dropped.

    Unknown values are at the mean; each block is divided by the root of its width, so that a typical distance is
    near 1.
    """
    parts = []
    for block in blocks:
        known = np.isfinite(block.values)
        count = np.maximum(known.sum(0), 1)
        mean = np.where(known, block.values, 0).sum(0) / count
        centred = np.where(known, block.values - mean, 0)
        deviation = np.sqrt((centred**2).sum(0) / count)
        varied = deviation > 1e-9
        if varied.any():
            parts.append(centred[:, varied] / deviation[varied] / np.sqrt(varied.sum()))
    rows = len(blocks[0].values) if blocks else 0
    return np.concatenate([*parts, np.zeros((rows, 1))], axis=1).astype(np.float32)


def _geometry(table: CaseTable) -> list[Block]:
    if not {"shape", "spacing"} <= set(table.facts.column_names):
        return []
    shape, spacing = (fixed(table.facts.column(name), 3) for name in ("shape", "spacing"))
    values = np.log(np.maximum(np.concatenate([shape, spacing], axis=1), 1e-6))
    names = ("log_size_z", "log_size_y", "log_size_x", "log_mm_z", "log_mm_y", "log_mm_x")
    return [Block("geometry", names, values)]


def _intensity(table: CaseTable) -> list[Block]:
    if not {"quantiles", "gradient_energy"} <= set(table.facts.column_names):
        return []
    flat, lengths = ragged(table.facts, "quantiles")
    width = int(lengths.max(initial=0))
    values = np.full((len(table), width), np.nan)
    case = np.repeat(np.arange(len(table)), lengths)
    place = np.arange(len(case)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    values[case, place] = flat.to_numpy(zero_copy_only=False)
    energy = table.facts.column("gradient_energy").to_numpy().astype(np.float64)
    names = (*(f"quantile_{i}" for i in range(width)), "log_gradient_energy")
    return [Block("intensity", names, np.column_stack([values, np.log1p(energy)]))]


@dataclass(frozen=True, eq=False)
class _Labels:
    """The facts of every (case, class) entry, in the order of ``table.indices``."""

    case: np.ndarray[Any, np.dtype[np.int64]]
    cases: int
    voxel: Floats  # mm³ a voxel, by case
    volume: Floats  # mm³
    extent: Floats  # mm, (entries, 3)
    centroid: Floats  # 0..1, (entries, 3)

    @classmethod
    def of(cls, table: CaseTable) -> _Labels | None:
        needed = {"class_voxels", "class_extent", "class_centroid", "shape", "spacing"}
        if not needed <= set(table.facts.column_names):
            return None
        case = np.repeat(np.arange(len(table)), np.diff(table.indptr))
        voxel = np.prod(fixed(table.facts.column("spacing"), 3), axis=1)
        voxels = ragged(table.facts, "class_voxels")[0].to_numpy(zero_copy_only=False).astype(np.float64)
        return cls(
            case=case,
            cases=len(table),
            voxel=voxel,
            volume=voxels * voxel[case],
            extent=fixed(ragged(table.facts, "class_extent")[0], 3),
            centroid=fixed(ragged(table.facts, "class_centroid")[0], 3),
        )

    def sum_by_case(self, values: Floats) -> Floats:
        out: Floats = np.bincount(self.case, values, minlength=self.cases).astype(np.float64)
        return out
