"""Cross-slice heads: who reads whom, and that nothing else changes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from fve_pipeline.bio2vol.attention import CrossSliceAttention, SliceOrder, adapt, source_slices
from fve_pipeline.errors import Bio2VolError
from fve_pipeline.segmenter.checkpoint import load_checkpoint, save_weights
from fve_pipeline.segmenter.config import preset
from fve_pipeline.segmenter.layers import Attention
from fve_pipeline.segmenter.model import Prediction, Segmenter
from fve_pipeline.segmenter.randomness import CounterRandomness

PROMPTS = ["liver", "left kidney"]


def small(seed: int = 1) -> Segmenter:
    change = {"embed_dim": 16, "dim": 32, "text_layers": 1, "queries": 6, "vocabulary": 49408}
    return Segmenter(preset("small").model_copy(update=change), seed=seed)


def slices(count: int = 5) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 1, 64, 64), generator=generator, dtype=torch.uint8).expand(
        -1, 3, -1, -1
    )


def predict(model: Segmenter, images: Tensor) -> Prediction:
    count = len(images)
    draws = CounterRandomness.of(0, range(count), [range(2)] * count)
    found: Prediction = model(images, model.tokenize(PROMPTS * count), draws)
    return found


def same(a: Prediction, b: Prediction) -> bool:
    return all(torch.equal(getattr(a, k), getattr(b, k)) for k in ("masks", "edges", "existence"))


def one_attention(heads: int = 4) -> Attention:
    module = Attention(32, heads)
    generator = torch.Generator().manual_seed(1)
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter, std=0.3, generator=generator)
    return module


@pytest.mark.parametrize("offset", [1, 2, 3, -2])
@pytest.mark.parametrize("heads", [1, 4])
@pytest.mark.parametrize("each", [1, 3])  # batch entries an image, as with three prompts
def test_one_module_reads_exactly_its_own_slice_and_the_one_ahead(offset: int, heads: int, each: int) -> None:
    order = SliceOrder(heads, offset)
    module = CrossSliceAttention(one_attention(), order)
    lengths = (5, 3)
    order.sequences(lengths, torch.device("cpu"))
    x = torch.randn(8 * each, 6, 32, generator=torch.Generator().manual_seed(2), requires_grad=True)
    out = module(x, x, x)
    for t in range(8):
        for entry in range(each):
            (gradient,) = torch.autograd.grad(out[t * each + entry].sum(), x, retain_graph=True)
            reached = {int(i) for i in gradient.abs().sum((1, 2)).nonzero()[:, 0]}
            first, length = (0, 5) if t < 5 else (5, 3)
            ahead = first + min(max(t - first + offset, 0), length - 1)
            assert reached == {t * each + entry, ahead * each + entry}


def test_keys_and_values_alone_come_from_the_other_slice() -> None:
    # With all heads crossing, queries are the only thing that a slice reads of itself.
    order = SliceOrder(4, 2)
    plain = one_attention()
    module = CrossSliceAttention(plain, order)
    order.sequences((3,), torch.device("cpu"))
    query, key, value = torch.randn(3, 3, 6, 32, generator=torch.Generator().manual_seed(3))
    source = source_slices((3,), 2)
    assert source == [2, 2, 2]
    torch.testing.assert_close(module(query, key, value), plain(query, key[source], value[source]))


def test_the_mask_is_the_querys_own() -> None:
    order = SliceOrder(4, 1)
    plain = one_attention()
    module = CrossSliceAttention(plain, order)
    order.sequences((2,), torch.device("cpu"))
    generator = torch.Generator().manual_seed(4)
    query, key = torch.randn(2, 2, 6, 32, generator=generator)
    opened = torch.rand(2, 4, 6, 6, generator=generator) < 0.5
    opened |= ~opened.any(-1, keepdim=True)
    torch.testing.assert_close(
        module(query, key, key, opened), plain(query, key[[1, 1]], key[[1, 1]], opened)
    )


def test_a_batch_that_is_not_of_the_sequences_is_refused() -> None:
    order = SliceOrder(1, 1)
    module = CrossSliceAttention(one_attention(), order)
    order.sequences((3,), torch.device("cpu"))
    x = torch.zeros(4, 2, 32)
    with pytest.raises(ValueError, match="4 entries for 3 slices"):
        module(x, x, x)


def test_no_cross_heads_and_no_sequences_are_the_original_to_the_bit() -> None:
    images = slices(3)
    with torch.no_grad():
        original = predict(small(), images)
        for heads in (0, 1):
            model = small()
            order = adapt(model, heads)
            if heads == 0:
                order.sequences((3,), images.device)
            assert same(predict(model, images), original)
            order.sequences((3,), images.device)
            assert same(predict(model, images), original) == (heads == 0)
            adapt(model, 0)
            assert same(predict(model, images), original)


def test_a_sequence_of_one_slice_reads_itself() -> None:
    images = slices(2)
    model = small()
    with torch.no_grad():
        original = predict(model, images)
        adapt(model, 2).sequences((1, 1), images.device)
        assert same(predict(model, images), original)


def test_weights_keep_their_names_and_load_before_and_after(tmp_path: Path) -> None:
    source = small(seed=5)
    save_weights(tmp_path / "weights.pt", source, {})
    names, count = list(source.state_dict()), sum(p.numel() for p in source.parameters())
    images, found = slices(3), []
    for after in (False, True):
        model = small(seed=6)
        if not after:
            load_checkpoint(model, tmp_path / "weights.pt")
        order = adapt(model, 1)
        if after:
            load_checkpoint(model, tmp_path / "weights.pt")
        assert list(model.state_dict()) == names
        assert sum(p.numel() for p in model.parameters()) == count
        order.sequences((3,), images.device)
        with torch.no_grad():
            found.append(predict(model, images))
    assert same(*found)


def test_what_is_adapted_and_what_is_not() -> None:
    model = small()
    adapt(model, 1)
    crossing = {n for n, m in model.named_modules() if isinstance(m, CrossSliceAttention)}
    every = {n for n, m in model.named_modules() if isinstance(m, Attention)}
    left = every - crossing
    assert {n.split(".")[2] for n in left if "language_encoder" not in n} == {
        "classifier_cross_attention_layers"
    }
    config = model.config  # pixel layers, the initial layer, self- and cross-attention
    assert len(crossing) == config.pixel_layers + 1 + 2 * config.decoder_layers
    assert not any("language_encoder" in n or "classifier" in n for n in crossing)


def test_gradients_flow_across_slices_also_when_recomputed() -> None:
    found = []
    for recompute in (False, True):
        model = small()
        adapt(model, 1, 2).sequences((5,), torch.device("cpu"))
        model.recompute_activations(on=recompute)
        images = slices(5).float().requires_grad_()
        model(images, model.tokenize(["liver"] * 5), CounterRandomness.of(0, range(5), [[0]] * 5)).masks[
            0
        ].sum().backward()
        assert images.grad is not None
        reached = images.grad.abs().sum((1, 2, 3)) > 0
        # Over several layers, multiples of the offset.
        assert reached.tolist() == [True, False, True, False, True]
        found.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    assert found[0].keys() == found[1].keys()
    for name, gradient in found[0].items():
        torch.testing.assert_close(found[1][name], gradient, msg=name)


def test_wrong_settings_are_refused() -> None:
    with pytest.raises(Bio2VolError, match="expected 0 to 4"):
        adapt(small(), 5)
    with pytest.raises(Bio2VolError, match="offset of 0"):
        adapt(small(), 1, 0)
