"""The same scan in disguise: a fingerprint a case, and which cases show one scan. Pure functions over arrays."""

from __future__ import annotations

from fve_pipeline.duplicates.align import Likeness, compare
from fve_pipeline.duplicates.fingerprint import Fingerprinter, fingerprint
from fve_pipeline.duplicates.groups import Found, find_duplicates, groups_of

__all__ = ["Fingerprinter", "Found", "Likeness", "compare", "find_duplicates", "fingerprint", "groups_of"]
