"""Scores of 3D label maps: pure functions on arrays, under the challenge's convention or the physical one."""

from fve_pipeline.metrics.bootstrap import Interval, bootstrap_mean
from fve_pipeline.metrics.classes import CONVENTIONS, ClassScore, Convention, mean_score, score_classes
from fve_pipeline.metrics.distances import SurfaceDistances, hd95, nsd, surface_distances
from fve_pipeline.metrics.grounding import FindingScore, GroundingScore, ground, score_finding
from fve_pipeline.metrics.instances import InstanceScore, match_instances, split_components
from fve_pipeline.metrics.overlap import Overlap, boxes, overlap
from fve_pipeline.metrics.surfels import Surface, surface, surfel_areas

__all__ = [
    "CONVENTIONS",
    "ClassScore",
    "Convention",
    "FindingScore",
    "GroundingScore",
    "InstanceScore",
    "Interval",
    "Overlap",
    "Surface",
    "SurfaceDistances",
    "bootstrap_mean",
    "boxes",
    "ground",
    "hd95",
    "match_instances",
    "mean_score",
    "nsd",
    "overlap",
    "score_classes",
    "score_finding",
    "split_components",
    "surface",
    "surface_distances",
    "surfel_areas",
]
