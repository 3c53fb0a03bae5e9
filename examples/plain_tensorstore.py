"""Train on a store with PyTorch and tensorstore alone: no other code of this project.

tensorstore reads single rows of a sharded array well, many at once, so samples are drawn freely.

python examples/plain_tensorstore.py slices.zarr --steps 20
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import tensorstore as ts
import torch
from torch import nn


def open_array(store: Path, name: str) -> ts.TensorStore:
    place = {"driver": "file", "path": str(store / name)}
    return ts.open({"driver": "zarr3", "kvstore": place}, open=True).result()


def batches(store: Path, batch: int, seed: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Shuffled batches, for ever."""
    images, masks = open_array(store, "images"), open_array(store, "masks")
    split = pq.read_table(store / "index.parquet", columns=["split"])["split"].to_pylist()
    train = np.flatnonzero([name == "train" for name in split])
    rng = np.random.default_rng(seed)
    while True:
        order = rng.permutation(train)
        for i in range(0, len(order) - batch + 1, batch):
            reads = [(images[row].read(), masks[row].read()) for row in order[i : i + batch].tolist()]
            image = np.stack([x.result() for x, _ in reads])
            mask = np.stack([y.result() for _, y in reads])
            yield (
                torch.from_numpy(image).permute(0, 3, 1, 2).float() / 255,
                torch.from_numpy(mask.astype(np.int64)),
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", type=Path)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch", type=int, default=4)
    given = parser.parse_args()
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 1, 3, padding=1))
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-2)
    for step, (image, mask) in zip(
        range(given.steps), batches(given.store, given.batch, seed=0), strict=False
    ):
        loss = nn.functional.binary_cross_entropy_with_logits(network(image)[:, 0], (mask > 0).float())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        print(f"step {step} loss {loss.item():.4f}")


if __name__ == "__main__":
    main()
