"""What does feeding the trainer cost? Steps from a store against the same model on random tensors, in one run.

Both sides take the same steps with the same model, batch and prompts; they alternate, so that a busy machine
hurts both alike. Prints samples/s of each, the share of time the trainer waited for data, and on a GPU peak
memory and the share of the device's peak arithmetic.

    python benchmarks/training.py --store demo/slices.zarr
    python benchmarks/training.py --store slices.zarr --preset full --device cuda --precision bf16 --peak 790
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from fve_pipeline.loading.share import Batch, Share
from fve_pipeline.segmenter.model import Segmenter
from fve_pipeline.store.reader import open_store
from fve_pipeline.training.config import TrainConfig
from fve_pipeline.training.log import Stopwatch
from fve_pipeline.training.ranks import Ranks
from fve_pipeline.training.setup import build_model
from fve_pipeline.training.store import StoreTraining
from fve_pipeline.training.trainer import _Run


def random_batches(batch: int, prompts: int, size: int) -> Iterator[Batch]:
    """One batch of random pixels, over and over: a step's cost without any data."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (batch, 3, size, size), generator=generator, dtype=torch.uint8)
    masks = torch.randint(0, 2, (batch, prompts, size, size), generator=generator, dtype=torch.int32)
    fixed = Batch(images, masks, [["liver in abdominal CT"] * prompts] * batch, list(range(batch)))
    while True:
        yield fixed


def flops(model: Segmenter, run: Any, batch: Batch) -> int:
    """Floating-point operations of one step, counted by torch."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        run._step([batch], 0)
    del model
    return counter.get_total_flops()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--store", required=True)
    parser.add_argument("--preset", default="small")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=10, help="a round and side")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--recompute", action="store_true")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--peak", type=float, help="the device's peak in TFLOP/s, for the share of it")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    settings = TrainConfig.of(
        {
            "model": {"preset": args.preset},
            "optimisation": {"batch": args.batch, "epochs": 1},
            "run": {"precision": args.precision, "device": args.device, "recompute": args.recompute},
        }
    )
    data = StoreTraining([open_store(args.store)], settings.data)
    size = data.settings["size"]
    start = build_model(settings.model, 0)
    ranks = Ranks(0, 1, torch.device(args.device))
    run = _Run(settings, data, None, Path("unused"), ranks, start, per_epoch=10**6)
    share = Share(args.batch, 0, 1, 1)

    def endless() -> Iterator[Batch]:
        epoch = 0
        while True:
            yield from data.batches(epoch, share, 0)
            epoch += 1

    watch = Stopwatch()
    sides = {"random tensors": random_batches(args.batch, 4, size), "store": watch.waiting(endless())}
    seconds = dict.fromkeys(sides, 0.0)
    for round_ in range(args.rounds + 1):
        for name, batches in sides.items():
            watch.read()
            began = time.perf_counter()
            for _ in range(args.steps):
                run._step([next(batches)], 0)
            if round_:  # the first round warms up
                seconds[name] += time.perf_counter() - began
                if name == "store":
                    waited = watch.read()[1]
    done = args.rounds * args.steps * args.batch
    print(f"{args.preset} preset, {size}² slices, batch {args.batch}, {args.precision}, {args.device}")
    for name, spent in seconds.items():
        print(f"  {name:16s} {done / spent:8.2f} samples/s   {spent / args.rounds / args.steps:.4f} s a step")
    print(
        f"  data costs {seconds['store'] / seconds['random tensors'] - 1:+.1%} of a step; waited {waited:.1%}"
    )
    if ranks.device.type == "cuda":
        print(f"  peak memory {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB")
    work = flops(start.model, run, next(sides["random tensors"]))
    rate = work * args.rounds * args.steps / seconds["store"] / 1e12
    print(
        f"  {work / 1e12:.2f} TFLOP a step, {rate:.2f} TFLOP/s"
        + (f", {rate / args.peak:.0%} of peak" if args.peak else "")
    )


if __name__ == "__main__":
    main()
