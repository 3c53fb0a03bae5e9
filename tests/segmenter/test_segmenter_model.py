"""Behaviour of the whole model: starting weights, switches, independence of the batch."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from fve_pipeline.segmenter.config import PRESETS, SegmenterConfig, preset
from fve_pipeline.segmenter.focalnet import drop_path
from fve_pipeline.segmenter.losses import segmentation_losses
from fve_pipeline.segmenter.model import Segmenter
from fve_pipeline.segmenter.randomness import CounterRandomness

PROMPTS = ["liver", "left kidney in CT"]


def _images(count: int, size: int = 64) -> torch.Tensor:
    generator = torch.Generator().manual_seed(8)
    return torch.randint(0, 256, (count, 3, size, size), generator=generator, dtype=torch.uint8)


def _keys(samples: list[int], epoch: int = 0) -> CounterRandomness:
    return CounterRandomness.of(0, samples, [[0, 1]] * len(samples), epoch)


def test_starting_weights_depend_on_the_seed_alone() -> None:
    torch.manual_seed(1)
    first = Segmenter(preset("tiny"), seed=5).state_dict()
    torch.manual_seed(2)
    before = torch.random.get_rng_state()
    second, other = (Segmenter(preset("tiny"), seed=seed).state_dict() for seed in (5, 6))
    assert all(torch.equal(first[k], second[k]) for k in first)
    assert not torch.equal(
        first["backbone.patch_embed.proj.weight"], other["backbone.patch_embed.proj.weight"]
    )
    assert all(bool(v.isfinite().all()) for v in first.values())
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_layer_more_leaves_the_other_layers_weights() -> None:
    small = Segmenter(preset("tiny"))
    larger = Segmenter(preset("tiny").model_copy(update={"decoder_layers": 10}))
    own = larger.state_dict()
    assert all(torch.equal(v, own[k]) for k, v in small.state_dict().items())


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_builds(name: str) -> None:
    with torch.device("meta"):
        assert Segmenter(preset(name), seed=None).config == PRESETS[name]


def test_wrong_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="multiple of 32"):
        SegmenterConfig(dim=100)
    with pytest.raises(ValueError, match="edge_queries is 16"):
        SegmenterConfig(edge_queries=16)
    with pytest.raises(ValueError, match="known: full, tiny"):
        preset("huge")


@pytest.mark.parametrize("size", [(64, 64), (60, 84)])
def test_shapes(tiny_random: Callable[..., Segmenter], size: tuple[int, int]) -> None:
    model = tiny_random()
    with torch.no_grad():
        text = model.encode_text(model.tokenize(PROMPTS))
        got = model(torch.zeros(3, 3, *size), text.shared_by(3), _keys([0, 1, 2]))
    assert got.masks.shape == got.edges.shape == (3, 2, size[0] // 4, size[1] // 4)
    assert got.existence.shape == (3, 2)


def test_a_slice_does_not_depend_on_its_batch(tiny_random: Callable[..., Segmenter]) -> None:
    model, images = tiny_random(), _images(4)
    with torch.no_grad():
        text = model.encode_text(model.tokenize(PROMPTS))
        whole = model(images, text.shared_by(4), _keys([10, 11, 12, 13]))
        alone = model(images[2:3], text, _keys([12]))
        again = model(images[2:3], text, _keys([12], epoch=1))
    torch.testing.assert_close(alone.masks[0], whole.masks[2], atol=1e-4, rtol=0)
    torch.testing.assert_close(alone.existence[0], whole.existence[2], atol=1e-4, rtol=0)
    assert not torch.allclose(again.masks, alone.masks, atol=1e-3)


def test_drop_path_drops_whole_images_and_keeps_the_mean() -> None:
    uniform = torch.arange(1000) / 1000
    out = drop_path(torch.ones(1000, 2, 3), uniform, 0.3)
    assert sorted(out.unique().tolist()) == pytest.approx([0, 1 / 0.7])
    assert float(out.mean()) == pytest.approx(1.0)
    assert not out[:300].any()


def test_drop_path_acts_in_training_only_and_is_seeded(tiny_random: Callable[..., Segmenter]) -> None:
    model, images = tiny_random(drop_path=0.5), _images(2)
    x = images.float() / 50
    with torch.no_grad():
        still = model.backbone(x)[3]
        model.train()
        first, same, other = (model.backbone(x, _keys([1, 2], epoch))[3] for epoch in (0, 0, 3))
    assert torch.equal(first, same)
    assert not torch.allclose(first, other)
    assert not torch.allclose(first, still)
    with pytest.raises(ValueError, match="needs a source of randomness"):
        model.backbone(x)


def test_recomputing_activations_gives_the_same_gradients(tiny_random: Callable[..., Segmenter]) -> None:
    labels = torch.zeros(2, 2, 64, 64, dtype=torch.int64)
    labels[:, 0, 20:40, 20:40] = 1
    gradients = []
    for recompute in (False, True):
        model = tiny_random(drop_path=0.3).train()
        model.recompute_activations(on=recompute)
        tokens = model.tokenize(PROMPTS * 2)
        segmentation_losses(model(_images(2), tokens, _keys([3, 4])), labels).total.mean().backward()
        gradients.append({k: p.grad for k, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], msg=name)


# torch's compiler uses deprecated parts of torch, and looks at .grad of features between the two parts.
@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning",
    "ignore:The .grad attribute:UserWarning",
    "ignore:Guards may run slower on Python 3.13.0:RuntimeWarning",
)
def test_backbone_and_pixel_decoder_are_each_one_graph_compiled_once(
    tiny_random: Callable[..., Segmenter],
) -> None:
    from torch._dynamo.testing import CompileCounter

    model = tiny_random(drop_path=0.2).train()
    counters = [CompileCounter(), CompileCounter()]
    images = _images(2).float()
    exact = [model.sem_seg_head.pixel_decoder(model.backbone(images, _keys([s, s + 1])))[0] for s in (0, 4)]
    model.backbone.compile(backend=counters[0], fullgraph=True)
    model.sem_seg_head.pixel_decoder.compile(backend=counters[1], fullgraph=True)
    for step, expected in zip((0, 4), exact, strict=True):
        got = model.sem_seg_head.pixel_decoder(model.backbone(images, _keys([step, step + 1])))[0]
        torch.testing.assert_close(got, expected)
    assert [counter.frame_count for counter in counters] == [1, 1]


def test_bfloat16_autocast_stays_near_float32(tiny_random: Callable[..., Segmenter]) -> None:
    model = tiny_random(boltzmann=False)
    with torch.no_grad():
        text = model.tokenize(PROMPTS * 2)
        exact = model(_images(2), text)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = model(_images(2), text)
    spread = float(exact.masks.std())
    assert float((half.masks.float() - exact.masks).abs().mean()) < 0.1 * spread
