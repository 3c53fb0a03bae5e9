"""The on-disk contract: the only package that knows how a store lies on disk.

The names below are for everyone who reads stores. Other rooms of the package import from the modules that define
what they need.
"""

from __future__ import annotations

from fve_pipeline.store.cache import ShardCache
from fve_pipeline.store.class_table import ClassEntry, ClassTable
from fve_pipeline.store.query import rows_of_cases, rows_of_class
from fve_pipeline.store.reader import Store, open_store
from fve_pipeline.store.runs import Runs
from fve_pipeline.store.schema import Manifest, StoreSettings
from fve_pipeline.store.summary import summarise
from fve_pipeline.store.verify import Finding, verify

__all__ = [
    "ClassEntry",
    "ClassTable",
    "Finding",
    "Manifest",
    "Runs",
    "ShardCache",
    "Store",
    "StoreSettings",
    "open_store",
    "rows_of_cases",
    "rows_of_class",
    "summarise",
    "verify",
]
