"""A MONAI network, loss and transforms on a store, through our dataset.

python examples/with_monai.py slices.zarr --steps 20
"""

import argparse
from typing import Any

import torch
from monai.losses import DiceCELoss
from monai.networks.nets import UNet
from monai.transforms import Compose, EnsureTyped, RandGaussianNoised, RandRotate90d, ScaleIntensityd
from torch.utils.data import DataLoader, Dataset

from fve_pipeline.loading import SliceDataset


class Transformed(Dataset[dict[str, Any]]):
    """Our samples, a channel put before the mask, through MONAI's dictionary transforms."""

    def __init__(self, samples: SliceDataset, transform: Compose) -> None:
        self.samples, self.transform = samples, transform

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, i: int) -> dict[str, Any]:
        sample = self.samples[i]
        return self.transform({"image": sample["image"].float(), "mask": (sample["mask"] > 0).float()[None]})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store")
    parser.add_argument("--steps", type=int, default=20)
    given = parser.parse_args()
    torch.manual_seed(0)
    transform = Compose(
        [
            ScaleIntensityd("image"),
            RandRotate90d(["image", "mask"], prob=0.5),
            RandGaussianNoised("image", prob=0.2, std=0.05),
            EnsureTyped(["image", "mask"], track_meta=False),
        ]
    )
    loader = DataLoader(Transformed(SliceDataset(given.store), transform), batch_size=4, shuffle=True)
    network = UNet(spatial_dims=2, in_channels=3, out_channels=1, channels=(8, 16), strides=(2,))
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-2)
    loss_of = DiceCELoss(sigmoid=True)
    for step, batch in zip(range(given.steps), loader, strict=False):
        loss = loss_of(network(batch["image"]), batch["mask"])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        print(f"step {step} loss {loss.item():.4f}")


if __name__ == "__main__":
    main()
