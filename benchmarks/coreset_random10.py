"""How many classes get fewer than five positive cases when a tenth of the challenge's cases is chosen?

The pool is made: every case of the official random 10 % (``random10_cases.csv`` beside the project's data)
stands for ten cases of its dataset with its classes, so that datasets, modalities and class presence follow
the list. What the list does not hold is assumed, and printed: a dataset of today's prompt file without a
case in the list gets ASSUMED_CASES cases with every class; a class without a positive case in a listed
dataset is given to ASSUMED_POSITIVES of its cases.

    python benchmarks/coreset_random10.py [--data ../shared/data/challenge] [--seeds 3]
"""

from __future__ import annotations

import argparse
import csv
import json
from collections import Counter
from pathlib import Path

import pyarrow as pa

from fve_pipeline.coreset import Pool, Tables, select

SCALE = 10
ASSUMED_CASES = 12  # a dataset of 12 cases is missed by a random tenth with probability 0.28
ASSUMED_POSITIVES = 6
RENAMED = {"cremi": "Microscopy_cremi", "nucmm": "Microscopy_nucmm"}
MODALITIES = {"CT": "CT", "MR": "MR", "US": "US3D", "Microscopy": "Microscopy", "autoPET": "PET"}


def made_tables(data: Path) -> tuple[Tables, list[str]]:
    """The made index, and what was assumed for it."""
    prompts = json.loads((data / "CVPR25_TextSegFMData_with_class.json").read_text())
    with (data / "random10_cases.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    listed = [row | {"dataset": RENAMED.get(row["dataset"], row["dataset"])} for row in rows]
    assumed: list[str] = []
    present: dict[str, list[tuple[str, list[int]]]] = {}
    modality: dict[str, str] = {}
    widths: dict[str, int] = {}
    for row in listed:
        marks = row["classes_present"]
        modality[row["dataset"]] = row["modality"]
        widths[row["dataset"]] = len(marks)
        classes = [number + 1 for number, mark in enumerate(marks) if mark == "1"]
        copies = present.setdefault(row["dataset"], [])
        copies.extend((f"{row['case']}_{copy}", classes) for copy in range(SCALE))
    for dataset, copies in present.items():
        counts = Counter(number for _, classes in copies for number in classes)
        for number in range(1, widths[dataset] + 1):
            if not counts[number]:
                assumed.append(f"{dataset} class {number}: {ASSUMED_POSITIVES} of {len(copies)} cases")
                for place in range(ASSUMED_POSITIVES):
                    case, classes = copies[place]
                    copies[place] = (case, sorted([*classes, number]))
    for dataset in prompts:
        if dataset not in present:
            classes = [int(key) for key in prompts[dataset] if key != "instance_label"]
            present[dataset] = [(f"{dataset}_{i}", classes) for i in range(ASSUMED_CASES)]
            modality[dataset] = next(
                kind for prefix, kind in MODALITIES.items() if dataset.startswith(prefix)
            )
            widths[dataset] = len(classes)
            assumed.append(f"{dataset}: {ASSUMED_CASES} cases with all of its {len(classes)} classes")
    rows = [
        {"case": f"{d}/{case}", "dataset": d, "subject": case, "modality": modality[d], "class_ids": classes}
        for d, copies in present.items()
        for case, classes in copies
    ]
    declared = [
        {"dataset": d, "class_id": n, "name": (prompts.get(d, {}).get(str(n)) or [""])[0]}
        for d, width in widths.items()
        for n in range(1, width + 1)
    ]
    cases = pa.Table.from_pylist(rows)
    return Tables(cases, pa.Table.from_pylist(declared), "made"), assumed


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2] / "shared/data/challenge")
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    if not (arguments.data / "random10_cases.csv").is_file():
        parser.error(f"{arguments.data}: no random10_cases.csv there; say --data FOLDER")
    tables, assumed = made_tables(arguments.data)
    print("assumed, because the list says nothing:")
    print("\n".join(f"  {line}" for line in assumed))
    pool = Pool.of([tables])
    able = pool.table.positives() >= 5
    sizes = f"{len(pool.table):,} cases, {len(pool.table.dataset.names)} datasets, {len(able)} classes"
    print(f"\n{sizes}, {int(able.sum())} of them with 5 cases or more; a tenth is chosen")
    print("method      seed   cases   classes < 5 that could have 5   classes with none   largest dataset")
    for method in ("random", "stratified", "multicover"):
        for seed in range(arguments.seeds):
            chosen = select(pool, method=method, fraction=0.1, seed=seed)
            row_of = {case: row for row, case in enumerate(pool.table.ids)}
            picked = pool.table.take([row_of[case] for case in chosen.case_ids])
            have, share = picked.positives(), picked.dataset.counts().max() / len(picked)
            short, none = int(((have < 5) & able).sum()), int((have == 0).sum())
            print(f"{method:<12}{seed:>4}{len(picked):>8}{short:>32}{none:>20}{share:>18.1%}")
            for note in chosen.notes:
                print(f"             {note}")


if __name__ == "__main__":
    main()
