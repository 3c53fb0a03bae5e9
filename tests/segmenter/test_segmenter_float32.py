"""Float32 against float64 of the same network, at the size of real slices."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fve_pipeline.segmenter.boltzmann import boltzmann_probability
from fve_pipeline.segmenter.config import preset
from fve_pipeline.segmenter.decoder import BoltzmannDecoder
from fve_pipeline.segmenter.focalnet import FocalNet
from fve_pipeline.segmenter.losses import segmentation_losses
from fve_pipeline.segmenter.model import Prediction, Segmenter
from fve_pipeline.segmenter.pixel_decoder import PixelDecoder

SIZE = 512
PROMPTS = ["liver in abdominal CT", "left kidney"]


def _disc() -> Tensor:
    y, x = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    return (y - SIZE // 2) ** 2 + (x - SIZE // 3) ** 2 < (SIZE // 8) ** 2


def _slice(kind: str) -> Tensor:
    """Encoded slices (1,3,S,S): ``flat`` but for a textured disc, ``blank`` altogether, or ``textured`` all over."""
    generator = torch.Generator().manual_seed(4)
    texture = torch.randint(80, 200, (3, SIZE, SIZE), generator=generator, dtype=torch.uint8)
    shown = {"flat": _disc(), "blank": torch.tensor(False), "textured": torch.tensor(True)}[kind]
    return torch.where(shown, texture, torch.zeros_like(texture))[None]


KINDS = ["flat", "blank", "textured"]


def _model(name: str, **changes: Any) -> Segmenter:
    """Without sampling, which turns a rounded probability into another mask."""
    return Segmenter(preset(name).model_copy(update={"boltzmann": False, **changes}), seed=1).eval()


def _tensors(value: Any) -> Iterator[Tensor]:
    """All floating tensors in what a module returns."""
    if isinstance(value, Tensor):
        yield from [value] if value.is_floating_point() else []
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _tensors(one)
    elif is_dataclass(value):
        for one in fields(value):
            yield from _tensors(getattr(value, one.name))


def _doubled(value: Any) -> Any:
    if isinstance(value, Tensor) and value.is_floating_point():
        return value.double()
    return [_doubled(one) for one in value] if isinstance(value, list) else value


def _worst(single: Tensor, exact: Tensor) -> float:
    """The largest difference, as a share of the largest value."""
    return float((single - exact).abs().max() / exact.abs().max().clamp_min(1e-6))


@pytest.mark.parametrize("kind", ["flat", "textured"])
def test_no_module_loses_float32(kind: str) -> None:
    """Each module by itself, up to blocks, on what it is given in a forward pass at 512²; the whole is held below."""
    model = _model("tiny")
    exact = copy.deepcopy(model).double()
    seen: dict[str, float] = {}

    def check(name: str) -> Callable[..., None]:
        def hook(_: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any], output: Any) -> None:
            twin = exact.get_submodule(name)
            found = twin(*map(_doubled, inputs), **{key: _doubled(one) for key, one in named.items()})
            pairs = zip(_tensors(output), _tensors(found), strict=True)
            seen[name] = max([seen.get(name, 0.0), *(_worst(a, b) for a, b in pairs)])

        return hook

    for name, module in model.named_modules():
        if name and not isinstance(module, FocalNet | PixelDecoder | BoltzmannDecoder):
            module.register_forward_hook(check(name), with_kwargs=True)
    with torch.no_grad():
        model(_slice(kind), model.tokenize(PROMPTS))
    norms = {n for n, m in model.named_modules() if isinstance(m, nn.LayerNorm | nn.GroupNorm)}
    assert norms <= seen.keys()
    assert {"FocalModulation", "Attention", "FeedForwardLayer", "TextEncoder"} <= {
        type(model.get_submodule(name)).__name__ for name in seen
    }
    far = {name: worst for name, worst in seen.items() if worst > 2e-5}
    assert not far


def _logits_agree(model: Segmenter, images: Tensor) -> None:
    tokens = model.tokenize(PROMPTS)
    with torch.no_grad():
        single = model(images, tokens)
        model.double()
        exact = model(images.double(), tokens)
    assert float((single.masks - exact.masks).abs().max()) < 1e-4
    assert _worst(single.edges, exact.edges) < 1e-4
    assert float((single.existence - exact.existence).abs().max()) < 1e-4


@pytest.mark.parametrize("kind", KINDS)
def test_mask_logits_are_float64s_to_four_digits(kind: str) -> None:
    _logits_agree(_model("tiny"), _slice(kind))


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_mask_logits_of_the_full_model(kind: str) -> None:
    """371 million parameters: 6 GB and a minute each."""
    _logits_agree(_model("full"), _slice(kind))


def test_sampling_probabilities_sum_4096_tokens_rightly() -> None:
    """At the finest level of a 512² slice, where all but a disc is unlikely; the probability is float32 always."""
    generator = torch.Generator().manual_seed(5)
    score = torch.where(_disc()[::8, ::8], 0.9, 1e-4).flatten() + 1e-5 * torch.rand(4096, generator=generator)
    for layer in range(-1, 9):
        found = boltzmann_probability(score, 1 / (layer + 2), 1.1).double()
        exact = torch.softmax(score.double() * (layer + 2), 0)
        torch.testing.assert_close(found, exact, rtol=2e-5, atol=0)


def test_losses_sum_a_quarter_of_a_million_pixels_rightly() -> None:
    generator = torch.Generator().manual_seed(6)
    small = torch.where(_disc()[::4, ::4], 0.7, -9.0) + 0.1 * torch.randn(
        (1, 1, 128, 128), generator=generator
    )
    labels = _disc()[None, None].long()
    found = segmentation_losses(Prediction(small, small, small[:, :, 0, 0]), labels)

    large = torch.nn.functional.interpolate(small.double(), (SIZE, SIZE), mode="bicubic", antialias=True)
    score, target = large.sigmoid(), labels.double()
    overlap, size = (score * target).sum(), score.square().sum() + target.sum()
    dice = 1 - (2 * overlap + 1e-5) / (size + 1e-5)
    bce = -(target * score.log() + (1 - target) * (-large).sigmoid().log()).mean()
    torch.testing.assert_close(found.dice[0, 0].double(), dice, rtol=0, atol=2e-5)
    torch.testing.assert_close(found.bce[0, 0].double(), bce, rtol=2e-5, atol=0)
