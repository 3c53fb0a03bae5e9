"""Does the trainer teach, and do the paper's ablations show at small scale? (Tables 3, 4 and 5.)

Trains the small preset from random weights on made volumes and prints Dice of whole held-out volumes:

    isd      one run, judged with and without the existence filter, on volumes with many empty slices
    cutoff   the same with the gradient cut-off switched off
    order    FVE order 0 (no context) to 3 on plates, short rods and long rods, which a slice alone does not
             tell apart
    store    a store (--store, such as the demo's): Dice on its training and, if it has any, on its held-out
             subjects

    python benchmarks/learning.py isd cutoff order
    python benchmarks/learning.py store --store demo/slices.zarr --epochs 30
    fve build benchmarks/real_ct.toml --root ../shared/data/ct_totalseg --out ct.zarr --size 128 --val 0
    python benchmarks/learning.py store --store ct.zarr --epochs 400
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from learning_data import Cases, Held, rods, sparse_discs

from fve_pipeline.segmenter.checkpoint import open_segmenter
from fve_pipeline.store.reader import open_store
from fve_pipeline.training.config import TrainConfig
from fve_pipeline.training.ranks import Ranks
from fve_pipeline.training.store import StoreTraining, StoreValidation
from fve_pipeline.training.trainer import TrainResult, train
from fve_pipeline.training.validation import validate

RODS = ("a plate", "a short rod", "a long rod")
DISCS = ("a round object", "a square object")


def config(args: argparse.Namespace, prompts: int, seed: int = 0, **change: Any) -> TrainConfig:
    """The small preset, from random weights."""
    return TrainConfig.of(
        {
            "model": {"preset": "small", "change": change},
            "optimisation": {
                "batch": 8,
                "epochs": args.epochs,
                "lr": args.lr,
                "warmup_steps": 20,
                "clip": 5.0,
            },
            "data": {
                "prompts": prompts,
                "augment": "swap",
                "sampling": "class_balanced",
                "classes_without_positives": True,
            },
            "run": {
                "precision": "float32",
                "device": args.device,
                "validate_every": args.epochs,
                "seed": seed,
            },
        }
    )


def run(settings: TrainConfig, data: Any, held: Any) -> tuple[TrainResult, float]:
    """Train in a folder that goes away; seconds beside the result."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as out:
        return train(settings, data, held, Path(out)), time.perf_counter() - start


def line(name: str, result: TrainResult, seconds: float) -> dict[str, Any]:
    """Print and return means over classes."""
    known = list(result.scores.values())
    values = {
        key: sum(float(s[key] or 0) for s in known) / len(known)
        for key in ("dice", "dice_raw", "precision", "recall")
    }
    each = "  ".join(f"{k.split('/')[1]} {float(s['dice'] or 0):.3f}" for k, s in result.scores.items())
    shown = "  ".join(f"{k} {v:.3f}" for k, v in values.items())
    print(f"{name:28s} {shown}   [{each}]   {result.steps} steps, {seconds:.0f} s", flush=True)
    return {"name": name, **values, "classes": result.scores, "steps": result.steps, "seconds": seconds}


def existence(args: argparse.Namespace, cut: bool) -> list[dict[str, Any]]:
    """ISD on volumes where each object is in 5 slices of 24; ``cut``: with the gradient cut-off or without."""
    data, held = Cases(sparse_discs, range(args.volumes), DISCS), Held(sparse_discs, range(900, 906), DISCS)
    name = "cut-off on" if cut else "cut-off off"
    return [
        line(f"{name}, seed {seed}", *run(config(args, 2, seed, stop_gradient=cut), data, held))
        for seed in range(args.seeds)
    ]


def order(args: argparse.Namespace) -> list[dict[str, Any]]:
    """FVE order 0 to 3."""
    found = []
    for k in range(4):
        data, held = Cases(rods, range(args.volumes), RODS, k), Held(rods, range(900, 906), RODS, k)
        found += [
            line(f"order {k}, seed {seed}", *run(config(args, 3, seed), data, held))
            for seed in range(args.seeds)
        ]
    return found


def store(args: argparse.Namespace) -> list[dict[str, Any]]:
    """What is reached on the subjects trained on, and on those held out."""
    opened = open_store(args.store)
    settings = config(args, 4)
    data, held = StoreTraining([opened], settings.data), StoreValidation([opened])
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as out:
        result = train(settings, data, held if len(held) else None, Path(out))
        seconds = time.perf_counter() - start
        assert result.checkpoint is not None
        model, _ = open_segmenter(result.checkpoint)
    ranks = Ranks(0, 1, torch.device(args.device))
    seen, _ = validate(model.to(args.device), StoreValidation([opened], "train"), ranks, 0)
    found = [line("held out", result, seconds)] if len(held) else []
    return [*found, line("trained on", TrainResult(result.steps, result.loss, seen, None), 0.0)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="+", choices=("isd", "cutoff", "order", "store"))
    parser.add_argument("--store")
    parser.add_argument("--volumes", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    found = {}
    for what in args.what:
        print(f"--- {what}")
        if what == "order":
            found[what] = order(args)
        elif what == "store":
            found[what] = store(args)
        else:
            found[what] = existence(args, cut=what == "isd")
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
