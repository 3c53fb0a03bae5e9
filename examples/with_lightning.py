"""A Lightning module on a store: batches read ahead by our threads, text prompts drawn for each sample.

python examples/with_lightning.py slices.zarr --steps 20
"""

import argparse

import lightning as L
import torch
from torch import nn

from fve_pipeline.loading import LoadedBatch, Loader, Recipe, SliceDataset


class Model(L.LightningModule):
    """A toy: the class asked for by name chooses the output channel."""

    def __init__(self, classes: list[str]) -> None:
        super().__init__()
        self.channel = {name: i for i, name in enumerate(classes)}
        self.network = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, len(classes), 1)
        )

    def training_step(self, batch: LoadedBatch, step: int) -> torch.Tensor:
        logits = self.network(batch.images.float() / 255)
        asked = torch.tensor([[self.channel[name] for name in names] for names in batch.classes])
        chosen = logits[torch.arange(len(logits))[:, None], asked]
        loss = nn.functional.binary_cross_entropy_with_logits(chosen, (batch.masks > 0).float())
        print(f"step {step} loss {loss.item():.4f}")
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=1e-2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store")
    parser.add_argument("--steps", type=int, default=20)
    given = parser.parse_args()
    L.seed_everything(0, verbose=False)
    samples = SliceDataset(given.store, prompts=4, augment=Recipe())
    table = samples.sources[0].store.classes.to_pylist()
    model = Model([f"{row['dataset']}/{row['name']}" for row in table])
    trainer = L.Trainer(
        max_steps=given.steps,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, Loader(samples, batch=4))


if __name__ == "__main__":
    main()
