"""Float32 against float64 of the same network, at the size of real slices."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from fve_pipeline.segmenter.config import preset
from fve_pipeline.segmenter.focalnet import FocalModulation
from fve_pipeline.segmenter.model import Segmenter


def _slice(size: int) -> torch.Tensor:
    """A bright disc with texture in an otherwise empty slice: (1,3,S,S)."""
    generator = torch.Generator().manual_seed(4)
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    disc = (y - size // 2) ** 2 + (x - size // 3) ** 2 < (size // 8) ** 2
    texture = torch.randint(80, 200, (3, size, size), generator=generator, dtype=torch.uint8)
    return torch.where(disc, texture, torch.zeros_like(texture))[None]


def _tensors(values: Any) -> list[torch.Tensor]:
    return [one for one in (values if isinstance(values, tuple) else (values,)) if torch.is_tensor(one)]


def _doubled(value: Any) -> Any:
    return value.double() if torch.is_tensor(value) and value.is_floating_point() else value


def _worst(single: torch.Tensor, exact: torch.Tensor) -> float:
    """The largest difference, as a share of the largest value."""
    return float((single - exact).abs().max() / exact.abs().max().clamp_min(1e-6))


def test_flat_background_costs_no_module_its_float32() -> None:
    """Each module that turns tensors into tensors, alone, on what it is given in a forward pass at 512²."""
    model = Segmenter(preset("tiny").model_copy(update={"boltzmann": False}), seed=1).eval()
    seen: dict[str, float] = {}

    def check(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any], output: Any) -> None:
            if not inputs or not all(torch.is_tensor(one) for one in inputs) or not _tensors(output):
                return
            twin = copy.deepcopy(module).double()
            for own in twin.modules():
                own._forward_hooks.clear()
            found = twin(*map(_doubled, inputs), **{key: _doubled(one) for key, one in named.items()})
            pairs = zip(_tensors(output), _tensors(found), strict=True)
            seen[name] = max([seen.get(name, 0.0), *(_worst(a, b) for a, b in pairs)])

        return hook

    for name, module in model.named_modules():
        if name.count(".") > 1:
            module.register_forward_hook(check(name), with_kwargs=True)
    with torch.no_grad():
        model(_slice(512), model.tokenize(["liver in abdominal CT", "left kidney"]))
    norms = [name for name in seen if isinstance(model.get_submodule(name), nn.LayerNorm | nn.GroupNorm)]
    assert len(norms) > 20
    assert any(isinstance(model.get_submodule(name), FocalModulation) for name in seen)
    far = {name: worst for name, worst in seen.items() if worst > 2e-5}
    assert not far


def test_flat_background_costs_mask_logits_nothing() -> None:
    model = Segmenter(preset("tiny").model_copy(update={"boltzmann": False}), seed=1).eval()
    images, tokens = _slice(512), model.tokenize(["liver in abdominal CT", "left kidney"])
    with torch.no_grad():
        single = model(images, tokens)
        model.double()
        exact = model(images.double(), tokens)
    assert float((single.masks - exact.masks).abs().max()) < 1e-4
    assert _worst(single.edges, exact.edges) < 1e-4
    assert float((single.existence - exact.existence).abs().max()) < 1e-4
