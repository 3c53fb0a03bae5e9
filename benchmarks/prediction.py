"""What does it save that volumes are read and written beside the network?

Predicts made CTs with a model of random weights, in series (each volume read, segmented and written before the next
is begun) and as ``fve predict`` does it, in turns that begin with the one and the other, first from the disk as it
is, then from one that is slowed until reading a volume takes as long as the network took. Prints volumes an hour, the
ratio with its spread over the turns, and how long the command takes to start and predict one slice, files warm. The
label maps of all runs are compared byte for byte.

    python benchmarks/prediction.py
    python benchmarks/prediction.py --volumes 4 --slices 20 --side 128 --rounds 1
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch

from fve_pipeline.prediction.pictures import Intensity
from fve_pipeline.prediction.predictor import Opened, Predictor, Segmented
from fve_pipeline.prediction.prompts import Target
from fve_pipeline.prediction.request import Request, Shown
from fve_pipeline.prediction.run import predict_all
from fve_pipeline.prediction.sources import VolumeSource, find_sources
from fve_pipeline.runtime.progress import Silent
from fve_pipeline.segmenter.checkpoint import save_weights
from fve_pipeline.segmenter.config import preset
from fve_pipeline.segmenter.model import Segmenter


class SlowedDisk(Predictor):
    """A predictor whose volumes arrive ``seconds`` after they were asked for, at the earliest; it times its network."""

    seconds = 0.0

    def __init__(self, weights: Path) -> None:
        super().__init__(weights)
        self.network: list[float] = []

    def open(self, source: VolumeSource, request: Request, out: Path) -> Opened | dict[str, Any]:
        """Wait for what a slow disk would take beyond what this one takes."""
        begun = time.perf_counter()
        opened = super().open(source, request, out)
        time.sleep(max(0.0, self.seconds - (time.perf_counter() - begun)))
        return opened

    def segment(self, *args: Any, **kwargs: Any) -> Segmented:
        """Segment, and keep how long it took."""
        begun = time.perf_counter()
        found = super().segment(*args, **kwargs)
        self.network.append(time.perf_counter() - begun)
        return found


def in_series(predictor: Predictor, sources: list[VolumeSource], request: Request, out: Path) -> None:
    """One step after the other."""
    out.mkdir()
    for source in sources:
        opened = predictor.open(source, request, out)
        assert isinstance(opened, Opened)
        predictor.write(predictor.segment(opened, request, Silent()), out, Silent())


def overlapped(predictor: Predictor, sources: list[VolumeSource], request: Request, out: Path) -> None:
    """As ``fve predict`` does."""
    assert not predict_all(predictor, sources, request, out, Silent())[1]


def made(folder: Path, count: int, slices: int, side: int) -> list[VolumeSource]:
    """Noisy made CTs as ``.nii.gz``."""
    rng = np.random.default_rng(0)
    for number in range(count):
        image = sitk.GetImageFromArray(rng.normal(40, 90, (slices, side, side)).astype(np.int16))
        image.SetSpacing((0.8, 0.8, 2.5))
        sitk.WriteImage(image, folder / f"ct{number:03}.nii.gz")
    return find_sources([folder])


def start_seconds(root: Path, side: int, turns: int = 3) -> float:
    """From the command to the label map of a volume of one slice, the fastest of some turns."""
    one = root / "one"
    one.mkdir()
    np.savez(one / "slice.npz", imgs=np.zeros((1, side, side), np.uint8), spacing=np.ones(3))
    took = []
    for turn in range(turns):
        asked = ["--weights", root / "model.pt", "--prompts", "liver", "--device", "cpu", "--json"]
        command = [
            sys.executable,
            "-m",
            "fve_pipeline",
            "predict",
            one,
            "--out",
            root / f"one-{turn}",
            *asked,
        ]
        begun = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        took.append(time.perf_counter() - begun)
    return min(took)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--volumes", type=int, default=8)
    parser.add_argument("--slices", type=int, default=60)
    parser.add_argument("--side", type=int, default=256, help="of the volumes' slices, and of the model's")
    parser.add_argument("--preset", default="small")
    parser.add_argument("--rounds", type=int, default=5, help="turns, each in the other order")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    ways: dict[str, Callable[..., None]] = {"in series": in_series, "overlapped": overlapped}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "in").mkdir()
        sources = made(root / "in", args.volumes, args.slices, args.side)
        settings = {"order": 1, "boundary": "repeat", "resize": "opencv", "size": args.side}
        save_weights(root / "model.pt", Segmenter(preset(args.preset), seed=0), settings)
        targets = (
            Target(1, "liver", "liver in abdominal CT"),
            Target(2, "spleen", "spleen in abdominal CT"),
        )
        request = Request(targets, (Shown(Intensity(modality="CT", window="soft_tissue")),))
        print(f"from the command to its first slice, warm: {start_seconds(root, args.side):.1f} s")
        predictor = SlowedDisk(root / "model.pt")
        print(f"{args.volumes} volumes of {args.slices} × {args.side}², {args.preset} preset")
        in_series(predictor, sources[:1], request, root / "warm")
        contents: set[bytes] = set()
        for slowed in (False, True):
            predictor.seconds = statistics.median(predictor.network) if slowed else 0.0
            disk = f"{predictor.seconds:.2f} s a volume" if slowed else "as it is"
            took: dict[str, list[float]] = {name: [] for name in ways}
            for turn in range(args.rounds):
                for name, way in list(ways.items())[:: 1 if turn % 2 == 0 else -1]:
                    out = root / f"{name} {disk} {turn}".replace(" ", "-")
                    begun = time.perf_counter()
                    way(predictor, sources, request, out)
                    took[name].append(time.perf_counter() - begun)
                    contents.add(b"".join(path.read_bytes() for path in sorted(out.glob("*.nii.gz"))))
            for name, own in took.items():
                rate = 3600 * args.volumes / statistics.median(own)
                ratios = [first / second for first, second in zip(took["in series"], own, strict=True)]
                spread = f"{min(ratios):.2f}–{max(ratios):.2f}"
                print(
                    f"disk {disk:18}  {name:10}  {rate:7.0f} volumes an hour  "
                    f"{statistics.median(ratios):.2f}× in series ({spread})",
                    flush=True,
                )
        assert len(contents) == 1, "the label maps differ"


if __name__ == "__main__":
    main()
