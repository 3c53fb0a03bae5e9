"""Made cohorts: anatomy-like volumes with known labels, in the formats that real ones come in."""

from __future__ import annotations

from fve_pipeline.demo.cohort.benchmark import make_ct_benchmark_case
from fve_pipeline.demo.cohort.make import (
    make_challenge_case,
    make_cohort,
    make_ct_case,
    make_dicom_case,
    make_microscopy_case,
    make_mr_case,
)

__all__ = [
    "make_challenge_case",
    "make_cohort",
    "make_ct_benchmark_case",
    "make_ct_case",
    "make_dicom_case",
    "make_microscopy_case",
    "make_mr_case",
]
