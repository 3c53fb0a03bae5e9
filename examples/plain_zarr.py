"""Train on a store with PyTorch and zarr-python alone: no other code of this project.

python examples/plain_zarr.py slices.zarr --steps 20
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
import zarr
from torch import nn


def batches(store: Path, batch: int, seed: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Shuffled batches, for ever. A whole shard at a time: single rows of a sharded array read far slower."""
    group = zarr.open_group(store, mode="r")
    if "images" not in group:
        raise SystemExit(
            f"{store}: keeps plain slices; `fve encode --from` makes the encoded store that this reads"
        )
    images, masks = group["images"], group["masks"]
    split = pq.read_table(store / "index.parquet", columns=["split"])["split"].to_pylist()
    train = np.array([name == "train" for name in split])
    rows_per_shard = images.shards[0]
    most = max(train[i : i + rows_per_shard].sum() for i in range(0, len(train), rows_per_shard))
    if most < batch:
        raise SystemExit(f"{store}: no shard has {batch} training samples, the fullest {most}; lower --batch")
    rng = np.random.default_rng(seed)
    while True:
        for shard in rng.permutation(-(-len(train) // rows_per_shard)):
            start, stop = shard * rows_per_shard, min((shard + 1) * rows_per_shard, len(train))
            x, y = images[start:stop], masks[start:stop]
            rows = rng.permutation(np.flatnonzero(train[start:stop]))
            for i in range(0, len(rows) - batch + 1, batch):
                picked = rows[i : i + batch]
                # (B, S, S, 3) uint8: focal slice, slices before, slices after
                image = torch.from_numpy(x[picked]).permute(0, 3, 1, 2).float() / 255
                yield image, torch.from_numpy(y[picked].astype(np.int64))


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
