"""Coresets: choosing the cases to train on when only some of them may be used.

The unit is the case. Everything here works on pyarrow tables (``cases``, ``classes``, ``index``) and opens
no store.
"""

from __future__ import annotations

# Importing a method's module registers it.
from fve_pipeline.coreset import facility, herding, kcenter, multicover, stratified, uniform  # noqa: F401
from fve_pipeline.coreset.compare import Comparison, compare
from fve_pipeline.coreset.method import (
    Choice,
    Method,
    SelectionProblem,
    SelectionSettings,
    get_method,
    method_names,
    register,
)
from fve_pipeline.coreset.select import Pool, Tables, select
from fve_pipeline.coreset.selection import ChosenFrom, Selection, load_selection

__all__ = [
    "Choice",
    "ChosenFrom",
    "Comparison",
    "Method",
    "Pool",
    "Selection",
    "SelectionProblem",
    "SelectionSettings",
    "Tables",
    "compare",
    "get_method",
    "load_selection",
    "method_names",
    "register",
    "select",
]
