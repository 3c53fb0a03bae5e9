"""From files to scores: make a cohort, build a store, train a small model, predict new cases, score them.

Everything happens through the commands that a user has. Takes a few minutes on two cores; ends with the
scores and a picture of image, truth and prediction.

    python examples/end_to_end.py --out end_to_end
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from fve_pipeline.demo.cohort import make_ct_case
from fve_pipeline.imaging.intensity import to_uint8
from fve_pipeline.look.contact_sheet import draw_sheet, write_png
from fve_pipeline.volume import read_image

TRAIN = """\
[model]
preset = "small"
[model.change]
stop_gradient = false  # from random weights presence is learnt with the masks, or hardly at all
[optimisation]
batch = 8
epochs = {epochs}
lr = 1e-3
warmup_steps = 20
[data]
augment = "swap"
sampling = "class_balanced"
[run]
seed = {seed}
device = "cpu"
precision = "float32"
"""


def run(
    out: Path, *, epochs: int = 24, train_cases: int = 6, test_cases: int = 2, seed: int = 0
) -> dict[str, Any]:
    """Do it all in ``out`` and return what ``fve evaluate`` prints; the picture is ``out/picture.png``."""
    for number in range(1, train_cases + test_cases + 1):
        part = "train" if number <= train_cases else "test"
        make_ct_case(out / part / "ct" / f"ct_{number:02d}", number, size=96)
    (out / "train.toml").write_text(TRAIN.format(epochs=epochs, seed=seed))
    store, weights = out / "store.zarr", out / "weights"
    fve("build", "demo_ct", "--root", out / "train", "--out", store, "--size", 64, "--val", 0, "--workers", 1)
    fve("train", store, "--out", weights, "--config", out / "train.toml", "--no-validation")
    checkpoint = max((weights / "checkpoints").glob("*.pt"))
    ask = ("--catalog", "demo_ct", "--rendition", "soft_tissue", "--draws", 2)
    fve("predict", out / "test", *ask, "--weights", checkpoint, "--out", out / "predictions")
    names = ("--pred-pattern", "{case}/image", "--truth-pattern", "{case}/labels", "--classes", "1,2,3,4,5")
    scores = fve(
        "evaluate",
        out / "predictions",
        out / "test",
        "--out",
        out / "scores.parquet",
        *names,
        "--workers",
        1,
        "--json",
    )
    draw(out, next((out / "test" / "ct").iterdir()).name, out / "picture.png")
    found: dict[str, Any] = json.loads(scores)
    return found


def fve(*args: object) -> str:
    """Run a command and return what it prints."""
    command = [sys.executable, "-m", "fve_pipeline", *map(str, args)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def draw(out: Path, case: str, path: Path) -> None:
    """Three slices of a case: image, truth, prediction."""
    image = read_image(out / "test" / "ct" / case / "image.nii.gz")
    grey, _ = to_uint8(image.array, modality="CT", window="soft_tissue")
    truth = read_image(out / "test" / "ct" / case / "labels.nii.gz").array
    pred = read_image(out / "predictions" / "ct" / case / "image.nii.gz").array
    truth = np.where(np.isin(truth, range(1, 6)), truth, 0)  # lungs need another window
    slices = [len(grey) * part // 10 for part in (4, 5, 6)]
    rows = [(grey[z], mask) for z in slices for mask in (np.zeros_like(truth[z]), truth[z], pred[z])]
    captions = [name for _ in slices for name in ("image", "truth", "prediction")]
    write_png(path, draw_sheet(*map(list, zip(*rows, strict=True)), captions, columns=3, panel=224))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("end_to_end"))
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0, help="of training; the cases stay the same")
    args = parser.parse_args()
    for row in run(args.out, epochs=args.epochs, seed=args.seed)["summary"]:
        if row["level"] in ("all", "class"):
            print(f"{row['level']} {row['class_id'] or '':>3} {row['metric']:>6} {row['mean']:.3f}")
    print(f"picture: {args.out / 'picture.png'}")


if __name__ == "__main__":
    main()
