"""Uniform numbers that are a function of (key, stream, position) and of nothing else.

The model is random in two places: drop path in training, and Boltzmann sampling always. Both take their
numbers from here, so a result does not depend on batch size, rank, device, or what ran before it.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import torch
from torch import Tensor

__all__ = ["CounterRandomness", "Randomness", "combine_keys", "hash_uniform", "prompt_key"]

_MASK = 0xFFFFFFFF


class Randomness(Protocol):
    """Where the model's random numbers come from."""

    def drop_path(self, stream: int) -> Tensor:
        """U[0,1) float32 (B,), one number an image; ``stream`` counts the drop-path sites."""
        ...

    def sampling(self, draw: int, heads: int, queries: int, tokens: int) -> Tensor:
        """U[0,1) float32 (B, P, heads, queries, tokens) for the ``draw``-th mask (0 = initial head)."""
        ...


def _mix_int(x: int) -> int:
    """A full 32-bit avalanche of a Python integer (xor-shift and multiply, three rounds)."""
    x &= _MASK
    x = ((x ^ (x >> 17)) * 0xED5AD4BB) & _MASK
    x = ((x ^ (x >> 11)) * 0xAC4C1B51) & _MASK
    x = ((x ^ (x >> 15)) * 0x31848BAB) & _MASK
    return x ^ (x >> 14)


def combine_keys(*parts: int) -> int:
    """One 62-bit key from integers such as (seed, epoch, sample, prompt). Order matters."""
    low, high = 0x9E3779B9, 0x85EBCA6B
    for part in parts:
        while True:
            low = _mix_int(low ^ (part & _MASK))
            high = _mix_int((high + low) ^ ((part & _MASK) * 0x27D4EB2F))
            part >>= 32
            if part in (0, -1):
                break
    return ((high & 0x3FFFFFFF) << 32) | low


def prompt_key(prompt: str) -> int:
    """A key of a prompt's text, so that its draws do not depend on which prompts stand beside it."""
    return zlib.crc32(prompt.encode("utf-8"))


def _shift(x: Tensor, bits: int) -> Tensor:
    """Logical right shift of int32 (torch's is arithmetic)."""
    return (x >> bits) & ((1 << (32 - bits)) - 1)


def _signed(value: int) -> int:
    return value - (1 << 32) if value >= 1 << 31 else value


def _mix(x: Tensor) -> Tensor:
    x = (x ^ _shift(x, 17)) * _signed(0xED5AD4BB)
    x = (x ^ _shift(x, 11)) * _signed(0xAC4C1B51)
    x = (x ^ _shift(x, 15)) * _signed(0x31848BAB)
    return x ^ _shift(x, 14)


def hash_uniform(keys: Tensor, stream: int, count: int) -> Tensor:
    """U[0,1) float32 ``(*keys.shape, count)``: element j of a row depends on (key, stream, j) alone.

    ``keys`` int64. Integer arithmetic that wraps, so the CPU and a GPU give the same numbers; 24 random
    bits, exact in float32 and never 1.
    """
    low, high = (keys & _MASK), (keys >> 32)
    low = torch.where(low >= 1 << 31, low - (1 << 32), low).to(torch.int32)
    high = high.to(torch.int32)
    low = _mix(low ^ _signed(_mix_int(stream + 1)))[..., None]
    high = _mix(high ^ _signed(_mix_int(stream * 2 + 0x5BD1)))[..., None]
    position = torch.arange(count, dtype=torch.int32, device=keys.device)
    # Two keyed rounds: with one, two keys could give shifted copies of one sequence.
    bits = _mix(_mix(position ^ low) ^ high)
    return _shift(bits, 8).to(torch.float32) * (1.0 / (1 << 24))


@dataclass(frozen=True)
class CounterRandomness:
    """Counter-based numbers: int64 keys ``images`` (B,) for drop path and ``rows`` (B,P) for sampling."""

    images: Tensor
    rows: Tensor

    @classmethod
    def of(cls, seed: int, samples: Sequence[int], prompts: Sequence[Sequence[int]], epoch: int = 0) -> Self:
        """Keys of (seed, epoch, sample id, prompt key): ``samples`` holds B integers, ``prompts`` B × P."""
        images = [combine_keys(seed, epoch, sample, 0) for sample in samples]
        rows = [
            [combine_keys(seed, epoch, sample, 1 + prompt) for prompt in own]
            for sample, own in zip(samples, prompts, strict=True)
        ]
        return cls(torch.tensor(images, dtype=torch.int64), torch.tensor(rows, dtype=torch.int64))

    def to(self, device: torch.device | str) -> Self:
        """The same keys on another device."""
        return type(self)(self.images.to(device), self.rows.to(device))

    def drop_path(self, stream: int) -> Tensor:
        return hash_uniform(self.images, 0x10000 + stream, 1)[:, 0]

    def sampling(self, draw: int, heads: int, queries: int, tokens: int) -> Tensor:
        flat = hash_uniform(self.rows, draw, heads * queries * tokens)
        return flat.view(*self.rows.shape, heads, queries, tokens)
