"""The weights, input volume and targets of the tiny golden model, in numpy alone. Run it to see its checksums."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

import numpy as np


def fill_value(key: str, shape: tuple[int, ...]) -> np.ndarray | None:
    """Return the weight of a state_dict entry, float32; None means: keep the module's own value."""
    r = np.random.default_rng(zlib.crc32(key.encode("utf-8"))).standard_normal(shape)
    if key in ("pixel_mean", "pixel_std"):
        return None
    if key.endswith("logit_scale"):
        v = 1 + 0.02 * r
    elif key.endswith(("gamma_1", "gamma_2")):
        v = 0.5 + 0.1 * r
    elif len(shape) == 1 and key.endswith("weight"):  # scales of LayerNorm and GroupNorm
        v = 1 + 0.1 * r
    elif len(shape) == 1:  # every bias, in_proj_bias included
        v = 0.05 * r
    else:  # matrices, convolutions, embeddings
        v = r / np.sqrt(np.prod(shape[1:]))
    return np.asarray(v, dtype=np.float32)


def volume(depth: int = 4, size: int = 128) -> tuple[np.ndarray, np.ndarray]:
    """Return a striped volume (D,S,S) uint8 and the disc in it (D,S,S) bool."""
    d, y, x = np.meshgrid(np.arange(depth), np.arange(size), np.arange(size), indexing="ij")
    v = np.minimum(3 * _triangle(x + 3 * d, 40) + 2 * _triangle(2 * y + 5 * d, 52) + 20 * d, 255)
    disc = (x - 40 - 5 * d) ** 2 + (y - 70 + 3 * d) ** 2 <= 20**2
    return np.where(disc, 255 - v // 2, v).astype(np.uint8), disc


def targets(depth: int = 4, size: int = 128) -> np.ndarray:
    """Return labels (D,2,S,S) int64: the disc on slices 0 to 2; two instances that touch, on slice 1."""
    _, disc = volume(depth, size)
    labels = np.zeros((depth, 2, size, size), np.int64)
    labels[:3, 0] = disc[:3]
    labels[1, 1, 20:50, 80:95] = 1
    labels[1, 1, 20:50, 95:112] = 2
    return labels


def boltzmann_uniform(k: int, shape: tuple[int, ...], base: int = 500) -> np.ndarray:
    """Return the k-th uniform draw, (B·heads,Q,N) float32: 0 is the initial head's, i+1 that after layer i."""
    return np.random.default_rng(base + k).random(shape).astype(np.float32)


def _triangle(t: np.ndarray, period: int) -> np.ndarray:
    return np.abs((t % (2 * period)) - period)


def main() -> None:
    """Print the sums that README.md names."""
    shapes = json.loads((Path(__file__).parent / "state_dict_tiny.json").read_text())
    filled = [fill_value(key, tuple(shape)) for key, shape in shapes.items()]
    total = sum(float(np.abs(one.astype(np.float64)).sum()) for one in filled if one is not None)
    print(f"sum of |w| {total:.3f}, sum of the volume {int(volume()[0].sum(dtype=np.int64))}")


if __name__ == "__main__":
    main()
