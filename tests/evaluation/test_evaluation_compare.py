"""``fve compare`` on score files that ``fve evaluate`` wrote."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from command import run

from fve_pipeline import evaluation as ev
from fve_pipeline.errors import EvaluationError
from fve_pipeline.evaluation.compare import compare_scores, read_scores

CASES = 8


def score(root: Path, model: str, settings: ev.ScoreSettings | None = None) -> Path:
    pairs, missing = ev.match_folders(root / model, root / "truth")
    assert not missing
    out = root / "scores" / model / "scores.parquet"
    ev.save(ev.evaluate(pairs, settings or ev.ScoreSettings()), out)
    return out


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Truths of two classes; `good` misses a voxel's width, `bad` two, and makes a class up in one case."""
    folder = tmp_path_factory.mktemp("compare")
    for case in range(CASES):
        truth = np.zeros((6, 24, 24), np.uint8)
        truth[1:5, 4 : 12 + case % 3, 4:12], truth[2:4, 15:21, 14 : 20 + case % 2] = 1, 2
        bad = np.roll(truth, 2 + case % 2, axis=2)
        if case == 3:
            bad[0, 0, 0] = 7
        for name, labels, key in (
            ("truth", truth, "gts"),
            ("good", np.roll(truth, 1, axis=1), "segs"),
            ("bad", bad, "segs"),
        ):
            (folder / name).mkdir(exist_ok=True)
            arrays = {key: labels, "spacing": np.ones(3)}
            np.savez_compressed(folder / name / f"case{case}.npz", **arrays)
    for model in ("good", "bad"):
        score(folder, model)
    return folder


def files(root: Path) -> list[Path]:
    return [root / "scores" / model / "scores.parquet" for model in ("bad", "good")]


def test_the_better_model_is_found_overall_and_by_class(root: Path) -> None:
    scores = read_scores(files(root))
    assert [one.name for one in scores] == ["bad", "good"]
    found = {(one.metric, one.class_id): one for one in compare_scores(scores)}
    assert {metric for metric, _ in found} == {"dsc", "nsd", "hd95"}
    overall = found["dsc", None]
    rows = [pq.read_table(path).to_pylist() for path in files(root)]
    means = [
        [
            np.mean([r["dsc"] for r in own if r["case"] == f"case{case}" and r["dsc"] is not None])
            for case in range(CASES)
        ]
        for own in rows
    ]
    assert overall.paired.difference == pytest.approx(np.mean(np.subtract(means[1], means[0])))
    assert (overall.paired.n, overall.paired.better) == (CASES, CASES)
    assert overall.paired.p == pytest.approx(2 / 2**CASES)
    assert overall.p_holm == overall.paired.p  # two models: one comparison of the score overall
    by_class = [found["dsc", one] for one in (1, 2)]
    assert all(one.p_holm == pytest.approx(2 * one.paired.p) for one in by_class)
    assert found["hd95", None].paired.better >= CASES - 1  # lower is better there
    # The class that `bad` made up is not in the truth: no pair of its own, but it costs its case.
    assert found["dsc", 7].paired.n == 0
    assert found["dsc", 7].paired.undefined == 1
    assert means[0][3] < np.mean(means[0][:3])


def test_the_table_the_figures_and_json(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "compare", *files(root), "--out", tmp_path / "out") == 0
    assert "good − bad" in capsys.readouterr().out.replace("\n", " ")
    made = {path.name for path in (tmp_path / "out").iterdir()}
    assert made >= {"comparison.csv", "comparison.md", "boxes_dsc.png", "pairs_dsc_1_2.png", "volumes.png"}
    for path in (tmp_path / "out").glob("*.png"):
        assert cv2.imread(str(path)).std() > 5
    with (tmp_path / "out" / "comparison.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert run(monkeypatch, "compare", *files(root), "--names", "A,B", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert list(said["models"]) == ["A", "B"]
    assert len(said["comparisons"]) == len(rows)
    first = said["comparisons"][0]
    assert (first["first"], first["second"], first["metric"], first["class_id"]) == ("A", "B", "dsc", None)
    assert float(rows[0]["p_holm"]) == first["p_holm"]
    assert first["second_mean"] - first["first_mean"] == pytest.approx(first["difference"])


def test_what_cannot_be_compared_is_refused(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bad, good = files(root)
    table = pq.read_table(good)
    fewer = tmp_path / "fewer.parquet"
    pq.write_table(table.filter([case != "case5" for case in table.column("case").to_pylist()]), fewer)
    with pytest.raises(EvaluationError, match=r"fewer.parquet: lacks 3 scores .* class 1 of case5"):
        read_scores([bad, fewer])
    with pytest.raises(EvaluationError, match="expected two or more"):
        read_scores([good])
    with pytest.raises(EvaluationError, match="given twice"):
        read_scores([good, good])
    with pytest.raises(EvaluationError, match="no two alike"):
        read_scores([bad, good], ["A", "A"])
    other = tmp_path / "other.parquet"
    pq.write_table(table.drop_columns(["dsc"]), other)
    with pytest.raises(EvaluationError, match="lacks the columns dsc"):
        read_scores([bad, other])
    (tmp_path / "text.parquet").write_text("no table")
    assert run(monkeypatch, "compare", bad, tmp_path / "text.parquet") == 2
    assert "no score file" in " ".join(capsys.readouterr().err.split())
    ruled = root / "good"
    pairs, _ = ev.match_folders(ruled, root / "truth")
    ev.save(ev.evaluate(pairs, ev.ScoreSettings(tolerance=1.0)), tmp_path / "ruled.parquet")
    with pytest.raises(EvaluationError, match=r"scored by other rules \(tolerance 2.0 and 1.0\)"):
        read_scores([bad, tmp_path / "ruled.parquet"])
