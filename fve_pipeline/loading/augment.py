"""The augmentations of the reference recipe: what is drawn for a sample. Their effects are elsewhere.

They act on slices before these are encoded. Each has a name and can be switched off.
"""

from __future__ import annotations

from dataclasses import dataclass

from fve_pipeline.loading.hashing import Stream, generator

__all__ = ["Change", "Crop", "Recipe", "draw_change"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """Which augmentations are on.

    ``swap`` exchanges the slices before and after, in half of the samples. The others pass a common gate of
    one half: ``rotate`` by quarter turns; ``flip`` up–down, left–right or both; ``crop`` (in half of those)
    to 90–110 % of the side, moved by up to 10 %; ``brightness`` by up to 25.5 grey levels; ``noise`` (in
    half), Gaussian of deviation up to 25; ``salt_pepper`` (in half) on 2–10 % of the pixels.
    """

    swap: bool = True
    rotate: bool = True
    flip: bool = True
    crop: bool = True
    brightness: bool = True
    noise: bool = True
    salt_pepper: bool = True
    gate: float = 0.5

    @property
    def only_swap(self) -> bool:
        """Whether nothing touches pixels within a slice."""
        return not any((self.rotate, self.flip, self.crop, self.brightness, self.noise, self.salt_pepper))


@dataclass(frozen=True, slots=True)
class Crop:
    """A window of ``scale`` times the side, its centre moved by (``down``, ``right``), parts of the side."""

    scale: float
    down: float
    right: float


@dataclass(frozen=True, slots=True)
class Change:
    """What happens to one sample. ``flip`` is OpenCV's code: 0 up–down, 1 left–right, −1 both; None neither.

    ``noise`` and ``pepper`` are a deviation in grey levels and a share of pixels; ``key`` seeds their fields.
    """

    swap: bool = False
    turns: int = 0
    flip: int | None = None
    crop: Crop | None = None
    brightness: float = 0.0
    noise: float = 0.0
    pepper: float = 0.0
    key: tuple[int, ...] = ()

    @property
    def mirrors(self) -> bool:
        """Whether left becomes right: one flip does that; two are half a turn."""
        return self.flip in (0, 1)

    @property
    def within_slices(self) -> bool:
        """Whether anything but the order of the slices changes."""
        moved = self.turns or self.flip is not None or self.crop is not None
        return bool(moved or self.brightness or self.noise or self.pepper)

    @property
    def unmirrored(self) -> Change:
        """The same without its flip."""
        return Change(
            self.swap, self.turns, None, self.crop, self.brightness, self.noise, self.pepper, self.key
        )


def draw_change(recipe: Recipe, seed: int, epoch: int, sample: int, time: int) -> Change:
    """Return what happens to a sample: a function of (seed, epoch, sample, time). Switches change nothing else."""
    key = (seed, epoch, sample, time)
    u = generator(Stream.AUGMENT, *key).random(16).tolist()
    swap = recipe.swap and u[0] < 0.5
    if u[1] >= recipe.gate:
        return Change(swap=swap, key=key)
    return Change(
        swap=swap,
        turns=int(4 * u[2]) if recipe.rotate else 0,
        flip=(0, 1, -1)[int(3 * u[3])] if recipe.flip else None,
        crop=Crop(0.9 + 0.2 * u[5], 0.2 * u[6] - 0.1, 0.2 * u[7] - 0.1)
        if recipe.crop and u[4] < 0.5
        else None,
        brightness=51 * u[8] - 25.5 if recipe.brightness else 0.0,
        noise=25 * u[10] if recipe.noise and u[9] < 0.5 else 0.0,
        pepper=0.02 + 0.08 * u[12] if recipe.salt_pepper and u[11] < 0.5 else 0.0,
        key=key,
    )
