"""Whether the model that made a prediction had learnt from the case."""

from __future__ import annotations

import json

from fve_pipeline.evaluation.pairs import Pair, stem

__all__ = ["seen_in_training"]


def seen_in_training(pair: Pair) -> bool | None:
    """Return what the report of ``fve predict`` beside the label map says; None where there is none, or it does not say."""
    try:
        report = json.loads((pair.pred.parent / f"{stem(pair.pred)}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    seen = report.get("seen_in_training") if isinstance(report, dict) else None
    return seen if isinstance(seen, bool) else None
