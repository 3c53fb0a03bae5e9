"""Does a model that is trained on sentences read them?

Made CT of lungs with up to four nodules of two sizes, one a lobe at most, each described by its size, side and lobe. The
small preset is trained on the sentences from random weights; then the nodules of held-out subjects are asked for by their
own sentence, and by that of another nodule. A model that reads has at least twice the Dice with the true sentence.

    python benchmarks/findings.py --seeds 3
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from numpy.typing import NDArray

from fve_pipeline import build_store
from fve_pipeline.build.settings import store_settings
from fve_pipeline.catalog.load import parse_catalog
from fve_pipeline.loading.findings import swapped
from fve_pipeline.segmenter.checkpoint import open_segmenter
from fve_pipeline.store.reader import Store, open_store
from fve_pipeline.training.config import TrainConfig
from fve_pipeline.training.store import StoreCase, StoreTraining, StoreValidation
from fve_pipeline.training.trainer import train
from fve_pipeline.training.validation import mean_dice, score, tally_case

SIZE, DEPTH = 64, 6
CATALOG = """
name = "nodules"
modality = "CT"
licence = "made here"
citation = "made here"
[layout]
images = "{case}_ct.nii.gz"
[findings]
table = "findings.csv"
mask = "mask"
complete = true
"""
# Centres (y, x) of the lobes in an axial slice: the upper ones lie before the lower ones, the right lung on the left.
LOBES = {
    "right upper": (22, 18),
    "right lower": (42, 18),
    "left upper": (22, 46),
    "left lower": (42, 46),
}
SIZES = {"small": (3, 5), "large": (6, 12)}  # radius in pixels of 1 mm, what the sentence says in mm


def write_case(root: Path, name: str, seed: int) -> list[tuple[str, str, str]]:
    """An image and a mask a nodule; returns the rows of the table."""
    rng = np.random.default_rng(seed)
    z, y, x = np.indices((DEPTH, SIZE, SIZE)).astype(float)
    image = rng.normal(0, 15, z.shape)
    for centre in (18, 46):
        lung = ((y - 32) / 24) ** 2 + ((x - centre) / 12) ** 2 < 1
        image[lung] = rng.normal(-800, 25, int(lung.sum()))
        image[lung & (abs(y - 32) < 0.6)] = -600  # the fissure
    rows = []
    for lobe in rng.permutation(list(LOBES))[: rng.integers(2, 5)]:
        size = str(rng.choice(list(SIZES)))
        radius, said = SIZES[size]
        cy, cx = np.array(LOBES[str(lobe)]) + rng.integers(-2, 3, 2)
        nodule = (y - cy) ** 2 + (x - cx) ** 2 + (3 * (z - DEPTH / 2 + 0.5)) ** 2 < radius**2 + 30
        nodule &= (y - cy) ** 2 + (x - cx) ** 2 < radius**2
        image[nodule] = rng.normal(30, 15, int(nodule.sum()))
        file = f"{name}_{len(rows)}.nii.gz"
        write(root / file, nodule.astype(np.uint8))
        rows.append((name, f"A {size} nodule of {2 * said} mm in the {lobe} lobe", file))
    write(root / f"{name}_ct.nii.gz", image.astype(np.int16))
    return rows


def write(path: Path, array: NDArray[np.generic]) -> None:
    """A (z,y,x) LPS array as NIfTI."""
    nib.save(nib.Nifti1Image(array.transpose(2, 1, 0), np.diag([-1.0, -1.0, 2.0, 1.0])), path)


def made_store(folder: Path, cases: int, seed: int) -> Store:
    """Cases with their sentences, a quarter of them held out."""
    root = folder / "cases"
    root.mkdir(parents=True)
    rows = [
        row for number in range(cases) for row in write_case(root, f"c{number:03d}", 1000 * seed + number)
    ]
    with (root / "findings.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["case", "text", "mask"])
        writer.writerows(rows)
    settings = store_settings(
        size=SIZE, storage="slices", views_rule="axial", val_fraction=0.25, mask_dtype="uint16", overlaps=True
    )
    out = folder / "s.zarr"
    build_store(parse_catalog(CATALOG, "nodules.toml"), root, out, settings=settings, workers=1)
    return open_store(out)


def asked_otherwise(cases: list[StoreCase], seed: int) -> list[StoreCase]:
    """The same cases and masks, each finding asked for by another one's sentence."""
    others = iter(swapped([entry.prompts for case in cases for entry in case.entries], seed))
    found = []
    for case in cases:
        texts = [next(others) for _ in case.entries]
        entries = (
            replace(entry, prompts=(text,)) for entry, text in zip(case.entries, texts, strict=True) if text
        )
        found.append(replace(case, entries=tuple(entries)))
    return found


def run(seed: int, args: argparse.Namespace) -> tuple[float, float]:
    """Train once; return Dice of held-out findings with their own sentences, and with others'."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        store = made_store(folder, args.cases, seed)
        config = TrainConfig.of(
            {
                "model": {"preset": "small"},
                "optimisation": {
                    "batch": 8,
                    "epochs": args.epochs,
                    "lr": args.lr,
                    "warmup_steps": 20,
                    "clip": 5.0,
                },
                "data": {"prompts": args.prompts, "augment": "none", "findings": 1.0, "negatives": 0.25},
                "run": {"precision": "float32", "device": args.device, "seed": seed},
            }
        )
        result = train(config, StoreTraining([store], config.data, seed), None, folder / "run")
        assert result.checkpoint is not None
        model, _ = open_segmenter(result.checkpoint)
        model = model.to(args.device).eval()
        cases = StoreValidation([store]).found
        own, other = (
            mean_dice(score([tally_case(model, case, 0) for case in part]))
            for part in (cases, asked_otherwise(cases, seed))
        )
    seconds = time.perf_counter() - start
    print(
        f"seed {seed}: {result.steps} steps, loss {result.loss:.3f}, {len(cases)} held-out cases: Dice with the true "
        f"sentence {own:.3f}, with a swapped one {other:.3f} ({seconds:.0f} s)",
        flush=True,
    )
    return own, other


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--cases", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--prompts", type=int, default=4)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    scores = [run(seed, args) for seed in range(args.seeds)]
    ratios = [own / other if other else float("inf") for own, other in scores]
    print(f"true by swapped: {', '.join(f'{ratio:.2f}' for ratio in ratios)}; at least 2 is asked for")


if __name__ == "__main__":
    main()
