"""Tables of made cases, as a store would hold them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from fve_pipeline.coreset import Pool, Tables


def made_tables(
    datasets: dict[str, list[list[int]]], *, seed: int = 0, modality: str | None = None
) -> Tables:
    """One case for each list of class ids; every id up to a dataset's largest is declared."""
    rng = np.random.default_rng(seed)
    rows = []
    for dataset, cases in datasets.items():
        for number, classes in enumerate(cases):
            rows.append(
                {
                    "case": f"{dataset}/c{number}",
                    "dataset": dataset,
                    "subject": f"{dataset}/s{number}",
                    "modality": modality or dataset.split("_")[0],
                    "split": "train",
                    "source": f"{dataset}/c{number}.nii.gz",
                    "shape": rng.integers(20, 200, 3).tolist(),
                    "spacing": rng.uniform(0.5, 3, 3).tolist(),
                    "class_ids": classes,
                    "class_voxels": rng.integers(1, 10**6, len(classes)).tolist(),
                    "class_extent": rng.uniform(1, 100, (len(classes), 3)).tolist(),
                    "class_centroid": rng.uniform(0, 1, (len(classes), 3)).tolist(),
                    "pixels_sha256": f"{dataset}/c{number}",
                    "quantiles": np.sort(rng.uniform(0, 255, 7)).tolist(),
                    "gradient_energy": float(rng.uniform(0, 100)),
                }
            )
    declared = [
        {"dataset": name, "class_id": number, "name": f"class {number}"}
        for name, cases in datasets.items()
        for number in range(1, max((max(c, default=0) for c in cases), default=0) + 1)
    ]
    return Tables(
        pa.Table.from_pylist(rows, schema=CASES), pa.Table.from_pylist(declared, schema=CLASSES), "a" * 64
    )


def made_pool(datasets: dict[str, list[list[int]]], **options: object) -> Pool:
    return Pool.of([made_tables(datasets, **options)])  # type: ignore[arg-type]


def uneven(seed: int = 0) -> dict[str, list[list[int]]]:
    """Four datasets of very different sizes, with rare classes in the large ones."""
    rng = np.random.default_rng(seed)
    out: dict[str, list[list[int]]] = {"CT_small": [[1]] * 6, "US_tiny": [[1, 2]] * 3}
    for name, size, width in (("CT_large", 200, 8), ("MR_middle", 60, 5)):
        share = np.linspace(0.03, 0.9, width)
        out[name] = [(np.flatnonzero(rng.random(width) < share) + 1).tolist() for _ in range(size)]
    return out


CASES = pa.schema(
    [
        *[(name, pa.string()) for name in ("case", "dataset", "subject", "modality", "split", "source")],
        ("shape", pa.list_(pa.int32(), 3)),
        ("spacing", pa.list_(pa.float32(), 3)),
        ("class_ids", pa.list_(pa.uint16())),
        ("class_voxels", pa.list_(pa.uint64())),
        ("class_extent", pa.list_(pa.list_(pa.float32(), 3))),
        ("class_centroid", pa.list_(pa.list_(pa.float32(), 3))),
        ("pixels_sha256", pa.string()),
        ("quantiles", pa.list_(pa.float32())),
        ("gradient_energy", pa.float32()),
    ]
)
CLASSES = pa.schema([("dataset", pa.string()), ("class_id", pa.uint16()), ("name", pa.string())])
