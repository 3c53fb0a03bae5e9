"""The challenge's folders in small: made volumes, the JSON of class prompts, and a validation set with its truths.

Three data sets: organs in CT, one organ in MR, nuclei as instances in microscopy. The files hold what the challenge's
hold, under the same names (`imgs`, `gts`, `spacing`, pickled `text_prompts`), so every command of the challenge's
tutorial runs on them within seconds.

    python examples/challenge_miniature.py challenge
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

SHAPE = (12, 48, 48)
PROMPTS: dict[str, dict[str, Any]] = {
    "CT_Organs": {
        "1": ["Liver in abdominal CT", "Hepatic organ, CT"],
        "3": ["Spleen in abdominal CT"],
        "instance_label": 0,
    },
    "MR_Prostate": {"1": ["Prostate in pelvic MRI", "MRI of the prostate"], "instance_label": 0},
    "Microscopy_Nuclei": {"1": ["Nuclei in light-sheet microscopy"], "instance_label": 1},
}
TRAINING = {"CT_Organs": 24, "MR_Prostate": 12, "Microscopy_Nuclei": 8}
HELD_OUT = 2


def volume(dataset: str, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Image (z,y,x) uint8 and its labels uint8: bright ellipsoids in noise, an id each."""
    rng = np.random.default_rng([sorted(PROMPTS).index(dataset), number])
    places = np.stack(np.indices(SHAPE), -1)
    image, labels = rng.normal(60, 12, SHAPE), np.zeros(SHAPE, np.uint8)
    ids = (
        range(1, 7)
        if PROMPTS[dataset]["instance_label"]
        else [int(i) for i in PROMPTS[dataset] if i.isdigit()]
    )
    for label in ids:
        centre = rng.uniform([3, 8, 8], [9, 40, 40])
        radius = rng.uniform([2, 4, 4], [4, 9, 9])
        inside = (((places - centre) / radius) ** 2).sum(-1) < 1
        image[inside] += 40 + 25 * label % 90
        labels[inside] = label
    return np.clip(image, 0, 255).astype(np.uint8), labels


def make(out: Path) -> None:
    """Write `3D_train_npz_all`, `3D_val_npz` and `3D_val_gt` below ``out``."""
    for dataset, count in TRAINING.items():
        modality = dataset.partition("_")[0]
        prompts = {
            key: texts if key == "instance_label" else texts[0] for key, texts in PROMPTS[dataset].items()
        }
        for number in range(count + HELD_OUT):
            image, labels = volume(dataset, number)
            spacing = np.array([0.8, 0.8, 2.5])  # (x,y,z), as the challenge has it
            name = f"{dataset}_case{number:03}.npz"
            if number < count:
                path = out / "3D_train_npz_all" / modality / dataset / name
                path.parent.mkdir(parents=True, exist_ok=True)
                np.savez_compressed(path, imgs=image, gts=labels, spacing=spacing)
                continue
            for folder, arrays in (
                ("3D_val_npz", {"imgs": image, "text_prompts": np.array(prompts, dtype=object)}),
                ("3D_val_gt", {"gts": labels}),
            ):
                (out / folder).mkdir(parents=True, exist_ok=True)
                np.savez_compressed(out / folder / name, spacing=spacing, **arrays)
    text = json.dumps(PROMPTS, indent=1) + "\n"
    (out / "3D_train_npz_all" / "CVPR25_TextSegFMData_with_class.json").write_text(text)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    make(out)
    print(f"{sum(TRAINING.values())} training volumes and {HELD_OUT * len(TRAINING)} held out in {out}")


if __name__ == "__main__":
    main()
