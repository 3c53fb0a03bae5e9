"""Every benchmark still starts, and ``make bench`` says what moved."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path

import bench
import pytest

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = {
    path.stem: path.read_text("utf-8")
    for path in (ROOT / "benchmarks").glob("*.py")
    if '__name__ == "__main__"' in path.read_text("utf-8")
}
# Started by build.py and loading.py, in processes of their own.
STARTED_BY_OTHERS = {"build_script", "loading_measure"}


def test_every_script_has_a_quick_and_a_smallest_form() -> None:
    assert set(bench.FORMS) == set(SCRIPTS) - STARTED_BY_OTHERS


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_a_script_finds_all_that_it_imports(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(ROOT / "benchmarks"), *sys.path])
    before = set(sys.modules)
    importlib.import_module(name)
    for new in set(sys.modules) - before:  # names such as "metrics" are not left for other tests to find
        if str(getattr(sys.modules[new], "__file__", "")).startswith(str(ROOT / "benchmarks")):
            del sys.modules[new]


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(bench.FORMS))
def test_its_smallest_form_runs(name: str, tmp_path: Path) -> None:
    result = bench.run(name, bench.FORMS[name][1], tmp_path)
    if result.state == "not here":
        pytest.skip(result.lines[-1])
    assert result.state == "ran", "\n".join(result.lines[-20:])
    assert result.lines


def test_a_verdict_needs_an_interval_on_one_side(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    tables = importlib.import_module("evidence_tables")
    intervals = {"reproduced": (0.01, 0.2), "not reproduced": (-0.3, 0.005), "not decidable": (-0.1, 0.1)}
    assert {name: tables.verdict(*interval) for name, interval in intervals.items()} == {
        n: n for n in intervals
    }
    assert tables.verdict(float("nan"), float("nan")) == "not decidable"
    low, high = tables._interval([0.1, 0.2, 0.3])
    assert (low, high) == pytest.approx((0.2 - 4.3027 * 0.1 / 3**0.5, 0.2 + 4.3027 * 0.1 / 3**0.5), abs=1e-4)


def test_a_page_is_filled_from_the_runs_that_are_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    tables = importlib.import_module("evidence_tables")
    plan = (ROOT / "benchmarks" / "evidence" / "isd.toml").read_text("utf-8")
    (tmp_path / "isd.toml").write_text(plan, "utf-8")
    for name, seed, dice in (("cut-off", 0, 0.6), ("cut-off", 1, 0.5), ("no_cut-off", 0, 0.4)):
        run = tmp_path / "isd" / name / f"seed-{seed}"
        run.mkdir(parents=True)
        scores = {"dice": dice, "dice_raw": 0.3, "precision": 0.5, "recall": 0.5, "f1": 0.5}
        (run / "result.json").write_text(json.dumps({"scores": {"organs/ring": scores}}), "utf-8")
    page = (ROOT / "docs" / "evidence.md").read_text("utf-8")
    once = tables.fill(page, tmp_path)
    assert "| cut-off | 2 | 0.550 |" in once
    assert "| the filter pays, trained with the cut-off | 2 | +0.250 |" in once
    assert "| the cut-off pays | 1 | | | | | not run |" in once
    assert once.count("Not run yet.") == 3
    assert tables.fill(once, tmp_path) == once


def test_what_moved_is_said_beside_what_it_was() -> None:
    before = ["fve, k=1   1,000 MB/s  100 %", "numpy   10 MB/s", "gone  3"]
    after = ["fve, k=1   1,400 MB/s  110 %", "numpy   11 MB/s", "new  3"]
    assert list(bench.moved(before, after, 25)) == ["fve, k=1   1,400 MB/s  110 %   (was 1, 1000, 100)"]
    assert list(bench.moved(before, before, 0)) == []


def test_a_run_is_kept_and_the_next_is_compared_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    speeds = iter((100, 50))
    monkeypatch.setattr(
        bench,
        "run",
        lambda name, form, _folder: bench.Result(name, form, 0, 1.0, [f"fve {next(speeds)} MB/s"]),
    )
    names = iter(("run-1.json", "run-2.json"))  # two runs of one second would share a name
    monkeypatch.setattr(bench.time, "strftime", lambda _: next(names))
    for _ in range(2):
        assert bench.main(["--only", "metrics", "--folder", str(tmp_path)]) == 0
    assert "fve 50 MB/s   (was 100)" in capsys.readouterr().out
    kept = json.loads((tmp_path / "run-2.json").read_text())
    assert kept["benchmarks"]["metrics"]["lines"] == ["fve 50 MB/s"]


@pytest.mark.parametrize(
    ("line", "code"),
    [("usage: cuda_static.py [--what]", 1), (bench.LACKING["cuda_static"] + ": no libnvrtc", 0)],
)
def test_a_benchmark_that_fails_fails_the_run(
    line: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "run", lambda name, form, _folder: bench.Result(name, form, 1, 1.0, [line]))
    assert bench.main(["--only", "cuda_static", "--folder", str(tmp_path)]) == code
