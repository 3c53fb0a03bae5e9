"""How much memory and time does predicting a long volume take?

Predicts a made volume of 600 slices with 15 prompts, one view, with a model of the small preset and random
weights, slices of 512², and prints the peak memory of the process and the time a slice and a class. Fewer
slices give the time sooner, and less memory.

    python benchmarks/prediction_memory.py
    python benchmarks/prediction_memory.py --slices 40 --threads 2
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np
import torch

from fve_pipeline.prediction.loaded import LoadedModel
from fve_pipeline.prediction.network import Averaging
from fve_pipeline.prediction.prompts import Target
from fve_pipeline.prediction.settings import SliceSettings
from fve_pipeline.prediction.volume import predict_volume
from fve_pipeline.segmenter.config import preset
from fve_pipeline.segmenter.model import Segmenter


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--slices", type=int, default=600)
    parser.add_argument("--prompts", type=int, default=15)
    parser.add_argument("--side", type=int, default=512, help="of the volume's slices, and of the model's")
    parser.add_argument("--preset", default="small")
    parser.add_argument("--views", default="axial")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    model = Segmenter(preset(args.preset)).eval()
    torch.nn.init.constant_(model.sem_seg_head.predictor.classifier.bias, 3.0)  # everything is present
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (args.slices, args.side, args.side), dtype=np.uint8)
    targets = [Target(i, f"organ {i}", f"organ {i} in abdominal CT") for i in range(1, args.prompts + 1)]
    settings = SliceSettings(1, "repeat", "opencv", args.side)
    loaded = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20

    start = time.perf_counter()
    found = predict_volume(
        LoadedModel(model), image, targets, settings, args.views.split(","), Averaging(), batch=args.batch
    )
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    full = args.prompts * image.size * 4 / 2**30

    print(f"{args.slices} slices of {args.side}², {args.prompts} prompts, {args.views}, {args.preset} preset")
    print(
        f"peak memory   {peak:6.2f} GB, {loaded:.2f} of it before the first slice ({full:.1f} GB would be all probabilities)"
    )
    print(
        f"time          {seconds:6.1f} s, {seconds / args.slices:.3f} s a slice, {seconds / args.prompts:.1f} s a class"
    )
    print(f"labelled      {np.count_nonzero(found.labels) / found.labels.size:6.1%}")


if __name__ == "__main__":
    main()
