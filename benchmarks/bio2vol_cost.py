"""What each part of Bio2Vol and each depth costs, beside the plain segmenter, in one run."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch
from bio2vol_data import PROMPTS, towers
from learning_data import SIZE

from fve_pipeline.bio2vol.network import PathLayout, Volumes
from fve_pipeline.bio2vol.sampling import sub_volume
from fve_pipeline.bio2vol.settings import Bio2VolSettings
from fve_pipeline.segmenter.config import preset
from fve_pipeline.segmenter.model import Segmenter
from fve_pipeline.segmenter.randomness import CounterRandomness
from fve_pipeline.training.estimate import pass_cost

__all__ = ["cost", "cost_table"]

_PLAIN = {"depth": 7, "heads": 0, "sparse_rate": 0, "alignment": 0}
_ROUNDS = 5


def cost(
    variants: dict[str, dict[str, Any] | None], change: dict[str, Any], device: str
) -> list[dict[str, Any]]:
    """One sub-volume through each variant, or its slices through the plain segmenter (None); the best of five
    rounds, in which the variants take turns. Memory is what a pass keeps for going back."""
    sides = {name: _Side(settings, change, device) for name, settings in variants.items()}
    for _ in range(_ROUNDS):
        for side in sides.values():
            side.measure()
    return [{"name": name, **side.row()} for name, side in sides.items()]


class _Side:
    """A variant's model and its times."""

    def __init__(self, settings: dict[str, Any] | None, change: dict[str, Any], device: str) -> None:
        self.device = device
        self.bio2vol = Bio2VolSettings(**(settings or _PLAIN))
        self.plain = settings is None
        self.model = Segmenter(preset("small").model_copy(update=change), seed=0).to(device)
        self.run = self._pass()
        self.predict = self.step = float("inf")

    def _pass(self) -> Callable[[], Any]:
        depth = self.bio2vol.depth
        images = torch.from_numpy(towers(0)[0][:depth])[:, None].expand(-1, 3, -1, -1).to(self.device)
        tokens = self.model.tokenize(PROMPTS)
        if self.plain:
            draws = CounterRandomness.of(0, range(depth), [range(3)] * depth).to(self.device)
            return lambda: self.model(images, self.model.encode_text(tokens).shared_by(depth), draws)
        layout = PathLayout.of([sub_volume(0, range(depth), self.bio2vol).places], self.bio2vol)
        volumes = Volumes(self.model, self.bio2vol)
        keys = layout.randomness(0, range(depth), [range(3)]).to(self.device)
        return lambda: volumes(images, layout, tokens, keys)

    def measure(self) -> None:
        self.model.eval()
        with torch.inference_mode():
            self.predict = min(self.predict, self._seconds(self.run))
        self.model.train()
        self.step = min(self.step, self._seconds(lambda: self.run().masks.sum().backward()))

    def _seconds(self, run: Callable[[], Any]) -> float:
        start = time.perf_counter()
        run()
        if self.device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start

    def row(self) -> dict[str, Any]:
        depth = self.bio2vol.depth
        with torch.device("meta"):
            empty = Segmenter(self.model.config, seed=None).train()
        kept = pass_cost(empty, depth if self.plain else 1, 3, SIZE, None if self.plain else self.bio2vol)
        return {
            "slices": depth,
            "parameters": sum(p.numel() for p in self.model.parameters()),
            "ms a slice": 1000 * self.predict / depth,
            "ms a slice, trained": 1000 * self.step / depth,
            "MiB a sub-volume, trained": kept.activations / 2**20,
        }


def cost_table(rows: list[dict[str, Any]]) -> str:
    """Markdown."""
    columns = list(rows[0])
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    for row in rows:
        cells = [
            f"{v:.1f}" if isinstance(v, float) else f"{v:,}" if isinstance(v, int) else v
            for v in row.values()
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
