"""A plan of runs, its queue, and its table."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from command import run as fve
from scipy import stats

from fve_pipeline.ablation.plan import Trial, load_plan, toml_of, trials_of
from fve_pipeline.ablation.queue import TrialJob, run_jobs
from fve_pipeline.ablation.runs import job_of, write_config
from fve_pipeline.ablation.table import table_of
from fve_pipeline.errors import TrainError
from fve_pipeline.runtime.executor import cluster

PLAN = """
stores = ["slices.zarr"]
seeds = [0, 1, 2]

[base]
optimisation = { batch = 4, epochs = 1, lr = 1e-3 }
model = { preset = "small" }

[[variants]]
name = "cut-off"

[[variants]]
name = "no cut-off"
set = { "model.change.stop_gradient" = false }

[grid]
"data.order" = [0, 1]
"""


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    file = tmp_path / "plan.toml"
    file.write_text(PLAN)
    return file


def test_a_plan_is_every_variant_with_every_value_and_seed(plan: Path) -> None:
    read = load_plan(plan)
    runs = trials_of(read)
    assert [run.variant for run in runs[::3]] == [
        f"{name} order={order}" for name in ("cut-off", "no cut-off") for order in (0, 1)
    ]
    assert [run.seed for run in runs[:3]] == [0, 1, 2]
    last = runs[-1].settings
    assert last["model"] == {"preset": "small", "change": {"stop_gradient": False}}
    assert (last["data"]["order"], last["run"]["seed"], last["optimisation"]["lr"]) == (1, 2, 1e-3)
    assert "change" not in runs[0].settings["model"]  # variants do not write into each other
    assert read.stores == (str(plan.parent / "slices.zarr"),)
    assert tomllib.loads(toml_of(last)) == last


def test_a_variant_may_have_data_of_its_own(plan: Path) -> None:
    own = (
        'name = "no cut-off"\nstores = ["other.zarr"]\nval = ["held.zarr"]\ncoreset = "chosen-{seed}.parquet"'
    )
    init = 'model = { preset = "small", init = "start.pt" }'
    text = PLAN.replace('name = "no cut-off"', own).replace('model = { preset = "small" }', init)
    plan.write_text(text)
    read, below = load_plan(plan), plan.parent
    first, last = trials_of(read)[0], trials_of(read)[-1]
    assert first.settings["model"]["init"] == str(below / "start.pt")
    words = job_of(read, last, below / "out").command
    assert words[4:7] == (str(below / "other.zarr"), "--val", str(below / "held.zarr"))
    assert words[7:9] == ("--coreset", str(below / "chosen-2.parquet"))
    assert job_of(read, first, below / "out").command[4:6] == (str(below / "slices.zarr"), "--out")
    job = job_of(read, last, below / "out")
    write_config(job, last)
    job.result.write_text("{}")
    plan.write_text(text.replace("other.zarr", "another.zarr"))
    changed = trials_of(load_plan(plan))[-1]
    with pytest.raises(TrainError, match="done, with other settings"):
        write_config(job, changed)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('stores = ["slices.zarr"]', "", "stores: Field required"),
        ('"no cut-off"', '"cut-off"', "are both named cut-off_order=0/seed-0"),
        ("stop_gradient", "stop_gradients", r"no cut-off order=0: .*stop_gradients"),
        ("lr = 1e-3", "lr = -1", "cut-off order=0: optimisation.lr"),
        ("[grid]", "[grit]", "grit: Extra inputs"),
        ("seeds = [0, 1, 2]", "seeds = [0", "not TOML"),
    ],
)
def test_a_plan_that_cannot_be_run_is_refused_before_anything_is(
    plan: Path, old: str, new: str, message: str
) -> None:
    plan.write_text(PLAN.replace(old, new))
    with pytest.raises(TrainError, match=message):
        load_plan(plan)


def scripted(folder: Path, name: str, code: str) -> TrialJob:
    return TrialJob(name, folder / name, (sys.executable, "-c", code, str(folder / name)))


FINE = "print('{}')"
BROKEN = "import sys; print('no such store', file=sys.stderr); sys.exit(2)"
# Asked to come again once, as a queue's limit does.
AGAIN = (
    "import pathlib, sys; p = pathlib.Path(sys.argv[1], 'once'); seen = p.exists(); p.touch();"
    "print('{}' if seen else '', end=''); sys.exit(0 if seen else 75)"
)


def test_a_queue_goes_on_past_what_fails_and_does_nothing_twice(tmp_path: Path) -> None:
    jobs = [scripted(tmp_path, *one) for one in (("a", FINE), ("b", BROKEN), ("c", AGAIN), ("d", FINE))]
    told: list[str] = []
    failed = run_jobs(jobs, 2, lambda job, reason: told.append(f"{job.name} {reason is None}"))
    assert sorted(told) == ["a True", "b False", "c True", "d True"]
    assert list(failed) == ["b"]
    assert failed["b"].startswith("exit code 2: no such store (")
    assert [job.result.exists() for job in jobs] == [True, False, True, True]
    before = [job.result.stat().st_mtime_ns for job in (jobs[0], jobs[3])]
    run_jobs(jobs, 1, lambda job, _: told.append(job.name))
    assert told[4:] == ["b"]
    assert [job.result.stat().st_mtime_ns for job in (jobs[0], jobs[3])] == before


def test_a_table_pairs_by_seed_and_agrees_with_scipy() -> None:
    rng = np.random.default_rng(0)
    dice = {"a": rng.random(6), "b": rng.random(6), "c": rng.random(6)}
    runs = [Trial(name, seed, {}) for name in dice for seed in range(6)]

    def printed(value: float) -> str:
        scores: dict[str, Any] = {
            "x/1": {"dice": value + 0.1},
            "x/2": {"dice": value - 0.1},
            "x/3": {"dice": None},
        }
        return json.dumps({"scores": scores})

    results = {
        run.folder: printed(dice[run.variant][run.seed])
        for run in runs
        if (run.variant, run.seed) != ("b", 3)
    }
    rows = {row.variant: row for row in table_of(runs, results) if row.score == "dice"}
    assert rows["a"].against is None
    assert rows["a"].mean.mean == pytest.approx(dice["a"].mean())
    for name, kept in (("b", [0, 1, 2, 4, 5]), ("c", list(range(6)))):
        pair = rows[name].against
        assert pair is not None
        assert pair.n == len(kept)
        difference = dice[name][kept] - dice["a"][kept]
        assert pair.difference == pytest.approx(difference.mean())
        assert pair.p == pytest.approx(stats.wilcoxon(difference).pvalue)
    assert min(rows["b"].p_holm, rows["c"].p_holm) >= min(rows[n].against.p for n in "bc")  # type: ignore[union-attr]


def test_a_run_that_is_done_is_not_taken_for_another(plan: Path, tmp_path: Path) -> None:
    read = load_plan(plan)
    run = trials_of(read)[0]
    job = job_of(read, run, tmp_path / "out")
    write_config(job, run)
    job.result.write_text("{}")
    write_config(job, run)
    other = Trial(run.variant, run.seed, {**run.settings, "data": {"order": 3}})
    with pytest.raises(TrainError, match="done, with other settings"):
        write_config(job, other)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_plan_is_trained_stopped_and_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tiny.write_cohort(tmp_path / "cohort", 4)
    with cluster(1, None, None) as executor:
        settings = tiny.settings(val_fraction=0.4, size=64)
        tiny.build(tiny.datasets(root), tmp_path / "slices.zarr", executor, settings=settings)
    file = tmp_path / "plan.toml"
    small = '{ preset = "small", change = { embed_dim = 16, dim = 32, text_layers = 1, queries = 6 } }'
    file.write_text(
        f'stores = ["slices.zarr"]\nseeds = [0, 1]\n[base]\nmodel = {small}\n'
        "optimisation = { batch = 4, epochs = 3, lr = 1e-3 }\ndata = { classes_without_positives = true }\n"
        '[grid]\n"model.change.stop_gradient" = [true, false]\n'
    )
    out = tmp_path / "runs"
    command = [sys.executable, "-m", "fve_pipeline", "ablate", str(file), "--out", str(out)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    first = out / "stop_gradient=True" / "seed-0" / "log.jsonl"
    limit = time.monotonic() + 200
    while not first.exists() or not first.read_text():
        assert process.poll() is None
        assert time.monotonic() < limit
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert process.wait(200) == 130
    assert list((first.parent / "checkpoints").glob("step-*.pt"))
    assert fve(monkeypatch, "ablate", file, "--out", out, "--slots", "2", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["runs"], said["failed"]) == (4, {})
    steps = [json.loads(line)["step"] for line in first.read_text().splitlines() if '"train"' in line]
    assert steps == list(range(1, len(steps) + 1))  # none twice, none lost
    dice = [row for row in said["table"] if row["score"] == "dice"]
    assert [row["variant"] for row in dice] == ["stop_gradient=True", "stop_gradient=False"]
    assert all(row["n"] == 2 for row in dice)
    assert "| dice | stop_gradient=False |" in (out / "table.md").read_text()
