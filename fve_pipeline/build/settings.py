"""The two presets: choices that belong together, by name. Each is recorded in the store."""

from __future__ import annotations

from typing import Any

__all__ = ["PRESETS"]

# `paper`: as BiomedParse-V is written (§3.2, §5.2). `released`: as the released weights' data were made, which
# a store must be for fine-tuning or judging those weights. Both feed order 1 and 512² slices by default.
PRESETS: dict[str, dict[str, Any]] = {
    "paper": {"boundary": "repeat", "views_rule": "paper", "intensity_rule": "window", "resize": "opencv"},
    "released": {
        "boundary": "mirror",
        "views_rule": "released",
        "intensity_rule": "medsam",
        "resize": "released",
    },
}
