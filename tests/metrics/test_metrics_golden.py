"""The challenge convention against the official evaluator's own results."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fve_pipeline.metrics import match_instances, mean_score, score_classes, split_components

NAMES = (
    [f"semantic_{i}" for i in range(6)]
    + [f"instance_{i}" for i in range(5)]
    + ["empty_prediction", "identical", "one_voxel_class", "hallucinated_class"]
    + ["touches_border", "no_background", "truth_lacks_class"]
)


@pytest.mark.parametrize("name", NAMES)
def test_challenge_convention_equals_the_official_evaluator(golden: Path, name: str) -> None:
    case = json.loads((golden / "challenge_scores.json").read_text())[name]
    with np.load(golden / "challenge_scores.npz") as arrays:
        truth, pred = arrays[f"{name}_gt"], arrays[f"{name}_seg"]
    official = case["official"]
    if case["instance_label"]:
        found = match_instances(truth, split_components(pred, "challenge"), convention="challenge")
        got = {"F1": mean_score([found.f1], "challenge"), "DSC_TP": mean_score([found.dsc_tp], "challenge")}
    else:
        x, y, z = case["spacing"]
        classes = score_classes(truth, pred, (z, y, x), class_ids=case["class_ids"], convention="challenge")
        got = {
            "DSC": mean_score([one.dsc for one in classes], "challenge"),
            "NSD": mean_score([one.nsd for one in classes], "challenge"),
        }
    np.testing.assert_equal(got, official)


def test_every_golden_pair_is_tested(golden: Path) -> None:
    assert sorted(json.loads((golden / "challenge_scores.json").read_text())) == sorted(NAMES)
