"""``fve evaluate`` from files to tables."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path

import nibabel
import numpy as np
import pyarrow.parquet as pq
import pytest
from command import run

from fve_pipeline import evaluation as ev
from fve_pipeline.errors import EvaluationError
from fve_pipeline.runtime.executor import cluster

SPACING = (3.0, 0.75, 1.25)  # z, y, x; NIfTI holds them as float32


@pytest.fixture
def labels() -> tuple[np.ndarray, np.ndarray]:
    """A truth with classes 1 and 2, a prediction a little off with class 3 made up."""
    truth = np.zeros((8, 20, 24), np.uint8)
    truth[2:6, 4:14, 5:15], truth[2:4, 15:19, 18:22] = 1, 2
    pred = np.roll(truth, 1, axis=1)
    pred[7, 0, 0] = 3
    return truth, pred


def save_npz(path: Path, **arrays: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, **arrays)


def save_nifti(
    path: Path, array: np.ndarray, spacing: tuple[float, ...] = SPACING, shift: float = 0.0
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    affine = np.diag([-spacing[2], -spacing[1], spacing[0], 1.0])
    affine[0, 3] = shift
    nibabel.save(nibabel.Nifti1Image(array.transpose(2, 1, 0), affine), path)


def xyz(spacing: tuple[float, ...] = SPACING) -> np.ndarray:
    return np.array(spacing[::-1])


def test_npz_and_nifti_give_the_same_scores(tmp_path: Path, labels: tuple[np.ndarray, np.ndarray]) -> None:
    truth, pred = labels
    save_npz(tmp_path / "t" / "CT_A_1.npz", gts=truth, spacing=xyz())
    save_npz(tmp_path / "p" / "CT_A_1.npz", segs=pred)
    save_nifti(tmp_path / "t" / "CT_A_2.nii.gz", truth)
    save_nifti(tmp_path / "p" / "CT_A_2.nii.gz", pred)
    save_nifti(tmp_path / "t" / "CT_A_3.nii.gz", truth.astype(np.float32))
    save_nifti(tmp_path / "p" / "CT_A_3.nii", pred.astype(np.int32))
    pairs, missing = ev.match_folders(tmp_path / "p", tmp_path / "t")
    for convention in ("challenge", "physical"):
        result = ev.evaluate(pairs, ev.ScoreSettings(convention, class_ids=(1, 2, 3)), missing=missing)
        assert not result.failures
        scores = [[row[m] for m in ("class_id", "dsc", "nsd", "hd95")] for row in result.rows]
        third = len(scores) // 3
        np.testing.assert_equal(scores[:third], scores[third : 2 * third])
        np.testing.assert_equal(scores[:third], scores[2 * third :])
    assert {(pair.dataset, pair.modality) for pair in pairs} == {("CT_A", "CT")}


def test_workers_change_nothing(tmp_path: Path, labels: tuple[np.ndarray, np.ndarray]) -> None:
    truth, pred = labels
    for i in range(5):
        save_npz(tmp_path / "t" / f"{i}.npz", gts=np.roll(truth, i, axis=2), spacing=xyz())
        save_npz(tmp_path / "p" / f"{i}.npz", segs=pred)
    (tmp_path / "p" / "3.npz").write_bytes(b"")
    pairs, _ = ev.match_folders(tmp_path / "p", tmp_path / "t")
    alone = ev.evaluate(pairs, ev.ScoreSettings())
    with cluster(workers=2) as executor:
        np.testing.assert_equal(
            asdict(ev.evaluate(pairs, ev.ScoreSettings(), executor=executor)), asdict(alone)
        )
    assert [one.case for one in alone.failures] == ["3"]


def test_conventions_differ_where_documented(tmp_path: Path, labels: tuple[np.ndarray, np.ndarray]) -> None:
    truth, pred = labels
    save_npz(tmp_path / "t.npz", gts=truth, spacing=xyz())
    save_npz(tmp_path / "p.npz", segs=pred)
    pairs, _ = ev.match_folders(tmp_path / "p.npz", tmp_path / "t.npz")
    classes = {
        c: [row["class_id"] for row in ev.evaluate(pairs, ev.ScoreSettings(c, class_ids=(1, 2, 3))).rows]
        for c in ("challenge", "physical")
    }
    assert classes == {"challenge": [1, 2, None], "physical": [1, 2, 3, None]}


def test_command_writes_table_and_means(
    tmp_path: Path,
    labels: tuple[np.ndarray, np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    truth, pred = labels
    for i, where in enumerate(["CT_A_1", "CT_A_2", "MR_B_1"]):
        save_npz(tmp_path / "t" / f"{where}.npz", gts=np.roll(truth, i, axis=2), spacing=xyz())
        save_npz(tmp_path / "p" / f"{where}.npz", segs=pred)
    (tmp_path / "times.csv").write_text("case,seconds,classes\nCT_A_1,100,2\nCT_A_2,121,2\nMR_B_1,200,\n")
    out = tmp_path / "new" / "scores.parquet"
    code = run(
        monkeypatch,
        "evaluate",
        tmp_path / "p",
        tmp_path / "t",
        "--out",
        out,
        "--workers",
        1,
        "--json",
        "--runtimes",
        tmp_path / "times.csv",
    )
    assert code == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads(out.with_suffix(".json").read_text())
    table = pq.read_table(out)
    assert table.schema.equals(ev.report.SCHEMA)
    rows = [row for row in table.to_pylist() if row["class_id"] is None]
    assert [(row["case"], row["over_time"]) for row in rows] == [
        ("CT_A_1", False),
        ("CT_A_2", True),
        ("MR_B_1", True),
    ]
    assert rows[0]["dsc"] > 0
    assert (rows[1]["dsc"], rows[1]["nsd"]) == (0.0, 0.0)
    assert math.isnan(rows[1]["hd95"])
    assert (rows[0]["seconds_a_class"], rows[2]["seconds_a_class"]) == (50.0, pytest.approx(200 / 3))
    levels = {(row["level"], row["name"]) for row in printed["summary"]}
    assert {("all", ""), ("modality", "MR"), ("dataset", "CT_A"), ("class", "CT_A")} <= levels
    everything = next(row for row in printed["summary"] if (row["level"], row["metric"]) == ("all", "dsc"))
    assert everything["mean"] == pytest.approx(rows[0]["dsc"] / 3)
    assert everything["low"] <= everything["mean"] <= everything["high"]


def test_hundreds_of_ids_are_not_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = np.arange(1, 121, dtype=np.uint8).repeat(8).reshape(4, 12, 20)
    save_npz(tmp_path / "t" / "a.npz", gts=ids, spacing=xyz())
    save_npz(tmp_path / "p" / "a.npz", segs=ids)
    out = tmp_path / "scores.parquet"
    run(monkeypatch, "evaluate", tmp_path / "p", tmp_path / "t", "--out", out, "--workers", 1)
    printed = capsys.readouterr().out
    assert len(printed.splitlines()) < 60
    assert "more rows of classes are in the file of means" in printed
    assert (
        len({row["class_id"] for row in json.loads(out.with_suffix(".json").read_text())["summary"]}) == 121
    )


def test_instances_and_prompts_of_the_file(tmp_path: Path) -> None:
    truth = np.zeros((4, 12, 12), np.uint8)
    truth[1:3, 1:5, 1:5], truth[1:3, 7:11, 7:11] = 1, 2
    prompts = {"1": "cell in microscopy", "instance_label": 1}
    save_npz(tmp_path / "t" / "a.npz", gts=truth, spacing=xyz(), text_prompts=prompts)
    save_npz(tmp_path / "p" / "a.npz", segs=(truth > 0).astype(np.uint8))
    pairs, _ = ev.match_folders(tmp_path / "p", tmp_path / "t")
    for settings in (ev.ScoreSettings(instances=True), ev.ScoreSettings(allow_pickle=True)):
        (row,) = ev.evaluate(pairs, settings).rows
        assert (row["f1"], row["dsc_tp"], row["matched"], row["dsc"]) == (1.0, 1.0, 2, None)
    assert [row["class_id"] for row in ev.evaluate(pairs, ev.ScoreSettings()).rows] == [1, 2, None]


def test_asked_classes_limit_what_is_scored(tmp_path: Path, labels: tuple[np.ndarray, np.ndarray]) -> None:
    truth, pred = labels
    prompts = {"2": "spleen", "3": "kidney", "instance_label": 0}
    save_npz(tmp_path / "t" / "a.npz", gts=truth, spacing=xyz(), text_prompts=prompts)
    save_npz(tmp_path / "p" / "a.npz", segs=pred)
    pairs, _ = ev.match_folders(tmp_path / "p", tmp_path / "t")
    rows = ev.evaluate(pairs, ev.ScoreSettings("challenge", allow_pickle=True)).rows
    assert [row["class_id"] for row in rows] == [2, None]
    rows = ev.evaluate(pairs, ev.ScoreSettings(class_ids=(1, 3))).rows
    assert [row["class_id"] for row in rows] == [1, 3, None]


def test_what_is_wrong_is_named_and_the_rest_scored(
    tmp_path: Path,
    labels: tuple[np.ndarray, np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    truth, pred = labels
    t, p = tmp_path / "t", tmp_path / "p"
    for name in ("good", "shape", "pickled", "fraction", "no_spacing", "no_segs", "no_pred"):
        arrays = {"gts": truth} | ({} if name == "no_spacing" else {"spacing": xyz()})
        save_npz(t / f"{name}.npz", **arrays)
        segs: object = {"shape": pred[1:], "pickled": {"1": pred}, "fraction": pred * 0.5}.get(name, pred)
        if name != "no_pred":
            save_npz(p / f"{name}.npz", **{"gts" if name == "no_segs" else "segs": segs})
    for name in ("spacing", "shifted"):
        save_nifti(t / f"{name}.nii.gz", truth)
        save_nifti(
            p / f"{name}.nii.gz",
            pred,
            (5.0, 0.75, 1.25) if name == "spacing" else SPACING,
            shift=7.0 * (name == "shifted"),
        )
    save_npz(p / "no_truth.npz", segs=pred)
    (p / "damaged.npz").write_bytes((p / "good.npz").read_bytes()[:200])
    save_npz(t / "damaged.npz", gts=truth, spacing=xyz())
    code = run(monkeypatch, "evaluate", p, t, "--out", tmp_path / "s.parquet", "--workers", 1)
    assert code == 1
    report = json.loads((tmp_path / "s.json").read_text())
    assert report["cases"] == 1
    expected = {
        "shape": "shape (7, 20, 24)",
        "pickled": "pickled object",
        "fraction": "not all whole numbers",
        "no_spacing": "no spacing",
        "no_segs": "segs",
        "no_pred": "no prediction",
        "no_truth": "no truth",
        "damaged": "damaged",
        "spacing": "spacing (5.0, 0.75, 1.25)",
        "shifted": "7.00 mm off",
    }
    assert report["failures"].keys() == expected.keys()
    printed = " ".join(capsys.readouterr().err.split())
    for case, text in expected.items():
        assert text in report["failures"][case]
        assert f"fve: {case}: " in printed


def test_nothing_in_common_is_an_error_with_both_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save_npz(tmp_path / "t" / "a.npz", gts=np.zeros((2, 2, 2), np.uint8))
    save_npz(tmp_path / "p" / "b.npz", segs=np.zeros((2, 2, 2), np.uint8))
    code = run(
        monkeypatch,
        "evaluate",
        tmp_path / "p",
        tmp_path / "t",
        "--out",
        tmp_path / "s.parquet",
        "--workers",
        1,
    )
    error = capsys.readouterr().err
    assert code == 2
    assert "as a" in error
    assert "as b" in error
    assert not (tmp_path / "s.parquet").exists()


def test_two_files_of_one_name(tmp_path: Path) -> None:
    for name in ("a.npz", "a.nii.gz"):
        (tmp_path / name).touch()
    with pytest.raises(EvaluationError, match="one case by name"):
        ev.match_folders(tmp_path, tmp_path)


def test_a_pattern_says_which_part_of_a_name_is_the_case(tmp_path: Path) -> None:
    for name in ("p/ct/01/image.npz", "p/ct/02/image.npz", "t/ct/01/labels.npz", "t/ct/01/image.npz"):
        save_npz(tmp_path / name, gts=np.zeros((2, 2, 2), np.uint8))
    patterns = {"pred_pattern": "{case}/image", "truth_pattern": "{case}/labels"}
    pairs, missing = ev.match_folders(tmp_path / "p", tmp_path / "t", **patterns)
    assert [(pair.case, pair.truth.name, pair.pred.name) for pair in pairs] == [
        ("ct/01", "labels.npz", "image.npz")
    ]
    assert [one.case for one in missing] == ["ct/02"]
    assert pairs[0].predicted_as == "ct/01/image"
    for wrong in ("labels", "{case}{case}"):
        with pytest.raises(EvaluationError, match=r"expected \{case\}"):
            ev.match_folders(tmp_path / "p", tmp_path / "t", truth_pattern=wrong)


def test_the_time_limit_knows_a_case_by_its_predictions_name(tmp_path: Path) -> None:
    save_npz(tmp_path / "p" / "a" / "image.npz", segs=np.ones((2, 4, 4), np.uint8))
    save_npz(tmp_path / "t" / "a" / "labels.npz", gts=np.ones((2, 4, 4), np.uint8), spacing=xyz())
    (tmp_path / "times.csv").write_text("case,seconds,classes\na/image,100,1\n")
    patterns = {"pred_pattern": "{case}/image", "truth_pattern": "{case}/labels"}
    pairs, _ = ev.match_folders(tmp_path / "p", tmp_path / "t", **patterns)
    found = ev.evaluate(
        pairs,
        ev.ScoreSettings("challenge", class_ids=(1,)),
        runtimes=ev.read_runtimes(tmp_path / "times.csv"),
    )
    assert found.failures == ()
    assert {row["over_time"] for row in found.rows if row["class_id"] is None} == {True}


def test_scores_are_not_kept_under_the_name_of_their_means(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save_npz(tmp_path / "a.npz", segs=np.ones((2, 4, 4), np.uint8))
    code = run(monkeypatch, "evaluate", tmp_path / "a.npz", tmp_path / "a.npz", "--out", tmp_path / "s.json")
    assert code == 2
    assert "scores.parquet" in " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert not (tmp_path / "s.json").exists()


def test_folders_are_datasets_and_a_table_wins(tmp_path: Path) -> None:
    save_npz(tmp_path / "t" / "amos" / "0001.npz", gts=np.zeros((2, 2, 2), np.uint8))
    pairs, _ = ev.match_folders(tmp_path / "t", tmp_path / "t")
    assert (pairs[0].case, pairs[0].dataset) == ("amos/0001", "amos")
    (tmp_path / "c.csv").write_text("case,dataset,modality\nfoo/0001,foo,MR\n")
    pairs, _ = ev.match_folders(tmp_path / "t", tmp_path / "t", ev.read_case_table(tmp_path / "c.csv"))
    assert (pairs[0].dataset, pairs[0].modality) == ("foo", "MR")
    (tmp_path / "c.csv").write_text("case,dataset,modality\nfoo/0002,foo,MR\n")
    pairs, missing = ev.match_folders(tmp_path / "t", tmp_path / "t", ev.read_case_table(tmp_path / "c.csv"))
    assert pairs == []
    assert "no row" in missing[0].what
    (tmp_path / "c.csv").write_text("case,dataset\nfoo/0002,foo\n")
    with pytest.raises(EvaluationError, match="no column modality"):
        ev.read_case_table(tmp_path / "c.csv")


@pytest.mark.parametrize("line", ["a,fast", "a,-1", "a", "a,nan"])
def test_bad_runtimes_are_named_with_their_line(tmp_path: Path, line: str) -> None:
    (tmp_path / "r.csv").write_text(f"case,seconds\nb,1\n{line}\n")
    with pytest.raises(EvaluationError, match="line 3"):
        ev.read_runtimes(tmp_path / "r.csv")
