"""Scoring a folder of predictions against a folder of truths."""

from fve_pipeline.evaluation.cases import CaseScores, ScoreSettings, score_case
from fve_pipeline.evaluation.pairs import Missing, Pair, images_beside, match_folders, read_case_table
from fve_pipeline.evaluation.report import Evaluation, evaluate, save
from fve_pipeline.evaluation.runtimes import Runtime, read_runtimes

__all__ = [
    "CaseScores",
    "Evaluation",
    "Missing",
    "Pair",
    "Runtime",
    "ScoreSettings",
    "evaluate",
    "images_beside",
    "match_folders",
    "read_case_table",
    "read_runtimes",
    "save",
    "score_case",
]
