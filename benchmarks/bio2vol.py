"""Bio2Vol's ablations at small scale (its tables 3 and 4, and figure 4), and what the adaptation costs.

A plain segmenter is trained from random weights on single slices of made volumes in which plates, short rods
and long rods look alike in a slice and follow one another. From it, each variant is fine-tuned on sub-volumes
for the same number of steps, its backbone frozen, and judged on whole held-out volumes. All see plain slices
(order 0), so nothing but the cross-slice heads brings what the neighbours know.

    table3   base, + cross-slice heads, + dual-rate sampling, + alignment
    table4   0, 1, 2 and 4 cross-slice heads of 8
    fig4     sub-volumes of 1, 3, 5, 7 and 9 slices, and their cost
    cost     parameters, memory and time a slice beside the plain segmenter, for each part and depth

    python benchmarks/bio2vol.py table3 table4 fig4 cost --out results/bio2vol
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import shutil
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bio2vol_cost import cost, cost_table
from bio2vol_data import PROMPTS, SPACING, RodSubVolumes, held_out, towers
from bio2vol_tables import plot, table
from learning_data import SIZE, Cases

from fve_pipeline.bio2vol.network import Volumes
from fve_pipeline.bio2vol.settings import Bio2VolSettings
from fve_pipeline.metrics import score_classes
from fve_pipeline.prediction.loaded import LoadedModel
from fve_pipeline.prediction.network import Averaging
from fve_pipeline.prediction.prompts import Target
from fve_pipeline.prediction.settings import SliceSettings
from fve_pipeline.prediction.volume import predict_volume
from fve_pipeline.segmenter.checkpoint import open_segmenter
from fve_pipeline.segmenter.model import Segmenter
from fve_pipeline.training.config import TrainConfig
from fve_pipeline.training.estimate import pass_cost
from fve_pipeline.training.trainer import train

CHANGE = {"heads": 8, "decoder_layers": 3}
FULL: dict[str, Any] = {"depth": 7, "heads": 1, "sparse_rate": 2, "alignment": 1.0}
TABLES: dict[str, dict[str, dict[str, Any]]] = {
    "table3": {
        "base": {**FULL, "heads": 0, "sparse_rate": 0, "alignment": 0.0},
        "+ CSDHA": {**FULL, "sparse_rate": 0, "alignment": 0.0},
        "+ CSDHA + DRS": {**FULL, "alignment": 0.0},
        "+ CSDHA + DRS + SAT": FULL,
    },
    "table4": {f"k = {k}": {**FULL, "heads": k} for k in (0, 1, 2, 4)},
    "fig4": {f"d = {d}": {**FULL, "depth": d} for d in (1, 3, 5, 7, 9)},
}
SLICES = SliceSettings(order=0, boundary="repeat", resize="opencv", size=SIZE)
TARGETS = [Target(i + 1, prompt, prompt) for i, prompt in enumerate(PROMPTS)]


def config(args: argparse.Namespace, seed: int, model: dict[str, Any], **tables: Any) -> TrainConfig:
    """Adam, warm-up and cosine, since these runs are a few hundred steps long."""
    run = {
        "precision": "float32",
        "device": args.device,
        "seed": seed,
        "checkpoint_every": 10**6,
        "log_every": 50,
    }
    return TrainConfig.of(
        {
            "model": {"preset": "small", "change": CHANGE, **model},
            "data": {"prompts": len(PROMPTS)},
            "run": run,
            **tables,
        }
    )


def pretrain(args: argparse.Namespace, seed: int, kept: Path) -> None:
    """The plain segmenter, trained on single slices, into ``kept`` unless it is there."""
    if kept.exists():
        return
    torch.set_num_threads(1)
    data = Cases(towers, range(args.volumes), PROMPTS, order=0)
    optimisation = {"batch": 8, "epochs": args.pretrain, "lr": 1e-3, "warmup_steps": 20, "clip": 5.0}
    with tempfile.TemporaryDirectory() as out:
        found = train(config(args, seed, {}, optimisation=optimisation), data, None, Path(out))
        assert found.checkpoint is not None
        shutil.move(found.checkpoint, kept)


def variant(args: argparse.Namespace, seed: int, base: Path, change: dict[str, Any]) -> dict[str, float]:
    """Fine-tune ``base`` with a variant's settings and judge it."""
    torch.set_num_threads(1)
    data = RodSubVolumes(range(args.volumes), Bio2VolSettings(**change))
    steps = len(data) // args.batch * args.epochs
    optimisation = {
        "batch": args.batch,
        "epochs": args.epochs,
        "lr": args.lr,
        "schedule": "cosine",
        "warmup_steps": min(20, steps // 4),
        "clip": 5.0,
    }
    settings = config(args, seed, {"init": str(base)}, optimisation=optimisation, bio2vol=change)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        result = train(settings, data, None, Path(folder))
        seconds = time.perf_counter() - start
        assert result.checkpoint is not None
        model, _ = open_segmenter(result.checkpoint)
    scores = judge(Volumes(model.to(args.device), data.bio2vol).eval(), args.held)
    with torch.device("meta"):
        empty = Segmenter(settings.model.config(), seed=None).train()
    for name, parameter in empty.named_parameters():
        parameter.requires_grad_(not name.startswith("backbone."))
    kept = pass_cost(empty, 1, len(PROMPTS), SIZE, data.bio2vol).activations
    return {
        **scores,
        "s_a_step": seconds / result.steps,
        "mib_a_sub_volume": kept / 2**20,
        "steps": result.steps,
    }


@dataclass(frozen=True)
class Run:
    """A variant with a seed."""

    seed: int
    change: dict[str, Any]

    @property
    def key(self) -> str:
        return json.dumps([self.seed, self.change], sort_keys=True)


def run_all(
    args: argparse.Namespace, wanted: dict[str, dict[str, dict[str, Any]]]
) -> dict[str, dict[str, float]]:
    """Every variant with every seed, by key. A run is kept in ``runs.jsonl`` and not made again."""
    kept = args.out / "runs.jsonl"
    how = {key: getattr(args, key) for key in ("volumes", "held", "pretrain", "epochs", "batch", "lr")}
    done: dict[str, dict[str, float]] = {}
    for line in kept.read_text().splitlines() if kept.exists() else ():
        record = json.loads(line)
        if record["how"] == how:
            done[record["key"]] = record["found"]
    # Variants that two tables share are run once.
    runs = {
        run.key: run
        for seed in range(args.seeds)
        for rows in wanted.values()
        for run in (Run(seed, change) for change in rows.values())
    }
    left = [run for key, run in runs.items() if key not in done]
    bases = {
        seed: args.out / f"base-{seed}-{args.volumes}x{args.pretrain}.pt"
        for seed in sorted({run.seed for run in left})
    }
    with ProcessPoolExecutor(args.jobs, multiprocessing.get_context("spawn")) as pool:
        for made in [pool.submit(pretrain, args, seed, bases[seed]) for seed in bases]:
            made.result()
        started = {pool.submit(variant, args, run.seed, bases[run.seed], run.change): run for run in left}
        for future in as_completed(started):
            run, found = started[future], future.result()
            done[run.key] = found
            with kept.open("a") as file:
                file.write(json.dumps({"key": run.key, "how": how, "found": found}) + "\n")
            shown = "  ".join(f"{k} {v:.3f}" for k, v in found.items())
            print(f"{len(done)} of {len(runs)}  {run.key}  {shown}", flush=True)
    for base in bases.values():
        base.unlink()
    return done


def judge(volumes: Volumes, held: int) -> dict[str, float]:
    """Means over classes and volumes; HD95 over those found, and the share of them."""
    rows, seconds, slices = [], 0.0, 0
    for volume, truth in held_out(range(900, 900 + held)):
        start = time.perf_counter()
        found = predict_volume(
            LoadedModel(volumes.model, volumes), volume, TARGETS, SLICES, ["axial"], Averaging()
        ).labels
        seconds, slices = seconds + time.perf_counter() - start, slices + len(volume)
        rows += score_classes(truth, found, SPACING, class_ids=(1, 2, 3), tolerance=1.0)
    known = [row.hd95 for row in rows if not math.isnan(row.hd95)]
    return {
        "dsc": float(np.mean([row.dsc for row in rows])),
        "nsd": float(np.mean([row.nsd for row in rows])),
        "hd95": float(np.mean(known)) if known else math.nan,
        "found": len(known) / len(rows),
        **{
            f"dsc, {p}": float(np.mean([r.dsc for r in rows if r.class_id == i + 1]))
            for i, p in enumerate(PROMPTS)
        },
        "s_a_slice": seconds / slices,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="+", choices=(*TABLES, "cost"))
    parser.add_argument("--out", type=Path, required=True, help="folder of tables, plot and results.json")
    parser.add_argument("--volumes", type=int, default=16)
    parser.add_argument("--held", type=int, default=6)
    parser.add_argument("--pretrain", type=int, default=12, help="epochs of the plain segmenter")
    parser.add_argument("--epochs", type=int, default=40, help="epochs of each variant")
    parser.add_argument("--batch", type=int, default=5, help="sub-volumes a step")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time, each on one core")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {}
    if "cost" in args.what:
        variants = {"plain": None, **TABLES["table3"], **TABLES["fig4"]}
        results["cost"] = cost(variants, CHANGE, args.device)
        (args.out / "cost.md").write_text(cost_table(results["cost"]) + "\n")
        print(cost_table(results["cost"]))
    wanted = {name: TABLES[name] for name in args.what if name in TABLES}
    done = run_all(args, wanted) if wanted else {}
    tables = {
        name: {
            label: [done[Run(seed, change).key] for seed in range(args.seeds)]
            for label, change in rows.items()
        }
        for name, rows in wanted.items()
    }
    text = "\n\n".join(table(name, rows) for name, rows in tables.items())
    (args.out / "tables.md").write_text(text + "\n")
    (args.out / "results.json").write_text(json.dumps({**results, **tables}, indent=1) + "\n")
    if tables:
        plot(args.out / "plot.png", tables)
        print(text)


if __name__ == "__main__":
    main()
