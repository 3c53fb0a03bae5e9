"""Losses and gradients: the golden numbers, and properties that hold for any logits."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from segmenter_cases import PROMPTS

from fve_pipeline.segmenter.losses import LossWeights, edge_target, segmentation_losses
from fve_pipeline.segmenter.model import Prediction, Segmenter


@pytest.fixture(scope="module")
def labels(rule: ModuleType) -> torch.Tensor:
    return torch.from_numpy(rule.targets())


def _predict(model: Segmenter, packed: torch.Tensor) -> Prediction:
    return model(packed, model.encode_text(model.tokenize(PROMPTS)).shared_by(4))


def test_losses_of_the_golden_batch(
    tiny: Callable[..., Segmenter], packed: torch.Tensor, labels: torch.Tensor, arrays: dict[str, np.ndarray]
) -> None:
    with torch.no_grad():
        losses = segmentation_losses(_predict(tiny(boltzmann=False).train(), packed), labels)
    expected = {
        "L_dice": losses.dice,
        "L_bce": losses.bce,
        "L_seg": losses.dice + losses.bce,
        "L_edge": losses.edge,
        "L_cls": losses.classification,
        "L_existence": losses.exists,
        "L_mask_target_sum": (labels > 0).sum((2, 3)),
        "L_edge_target_sum": edge_target(labels).sum((2, 3)),
    }
    for name, rows in expected.items():
        np.testing.assert_allclose(rows.flatten(), arrays[name], rtol=0, atol=2e-5, err_msg=name)
    assert float(losses.total.mean()) == pytest.approx(float(arrays["L_total"]), abs=1e-5)
    np.testing.assert_array_equal(edge_target(labels)[1, 1], arrays["L_edge_target_s1p1"] > 0)


def test_losses_of_given_logits(labels: torch.Tensor, arrays: dict[str, np.ndarray]) -> None:
    rng = np.random.default_rng(7)
    masks, edges, exists = (
        torch.from_numpy(rng.standard_normal(shape).astype(np.float32))
        for shape in ((8, 1, 32, 32), (8, 1, 32, 32), (8, 1))
    )
    losses = segmentation_losses(Prediction(2 * masks, 2 * edges, exists), labels.view(8, 1, 128, 128))
    assert float(losses.total.mean()) == pytest.approx(float(arrays["L2_total_rule_logits"]), abs=1e-5)


def _group(name: str) -> str:
    if name.startswith("backbone"):
        return "backbone"
    for part in ("pixel_decoder", "language_encoder"):
        if part in name:
            return part
    return "classifier" if ".classifier" in name else "decoder"


@pytest.mark.parametrize("kind", ["total", "cls_only", "seg_only"])
def test_gradient_norms(
    tiny: Callable[..., Segmenter], packed: torch.Tensor, labels: torch.Tensor, golden: Path, kind: str
) -> None:
    expected = json.loads((golden / "tiny_grads.json").read_text())
    model = tiny(boltzmann=False).train()
    losses = segmentation_losses(_predict(model, packed), labels)
    rows = {
        "total": losses.total,
        "cls_only": losses.classification,
        "seg_only": losses.exists * (losses.dice + losses.bce),
    }[kind]
    rows.mean().backward()

    groups: dict[str, list[float]] = {}
    for name, parameter in model.named_parameters():
        group = groups.setdefault(_group(name), [0.0, 0, 0])
        group[1] += 1
        if parameter.grad is None:
            group[2] += 1
        else:
            group[0] += float(parameter.grad.square().sum())
    wanted = expected["grad_norm_by_group(sumsq**.5, n_params, n_without_grad)"][kind]
    for name, (squares, count, without) in groups.items():
        assert [count, without] == wanted[name][1:], name
        assert squares**0.5 == pytest.approx(wanted[name][0], rel=1e-4), name
    if kind == "total":
        none = [name for name, p in model.named_parameters() if p.grad is None]
        assert none == expected["no_grad_params"]
        for name, norm in expected["grad_norm_per_parameter_total_loss"].items():
            gradient = model.get_parameter(name).grad
            assert gradient is not None
            assert float(gradient.norm()) == pytest.approx(norm, rel=2e-3, abs=1e-4), name


def test_without_the_cut_off_the_classification_loss_reaches_the_masks(
    tiny: Callable[..., Segmenter], packed: torch.Tensor, labels: torch.Tensor
) -> None:
    model = tiny(boltzmann=False, stop_gradient=False).train()
    segmentation_losses(_predict(model, packed), labels).classification.mean().backward()
    gradient = model.backbone.patch_embed.proj.weight.grad
    assert gradient is not None
    assert float(gradient.norm()) > 0


def test_the_classification_loss_leaves_no_gradient_outside_its_head(
    tiny_random: Callable[..., Segmenter],
) -> None:
    """Paper section 3.4, on random weights: with the cut-off no mask learns from it, without it masks do."""
    images = torch.randint(
        0, 256, (2, 3, 64, 64), generator=torch.Generator().manual_seed(3), dtype=torch.uint8
    )
    truth = torch.zeros(2, 2, 64, 64, dtype=torch.int64)
    truth[:, 0, 20:40, 10:30] = 1
    reached = {}
    for cut in (True, False):
        model = tiny_random(boltzmann=False, stop_gradient=cut).train()
        found = model(images, model.encode_text(model.tokenize(PROMPTS[:2])).shared_by(2))
        segmentation_losses(found, truth).classification.mean().backward()
        reached[cut] = {
            _group(name) for name, p in model.named_parameters() if p.grad is not None and bool(p.grad.any())
        }
    assert "classifier" in reached[True]
    assert not reached[True] & {"backbone", "pixel_decoder"}
    assert {"backbone", "pixel_decoder"} <= reached[False]


@given(
    hnp.arrays(np.int64, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 3)),
)
@settings(deadline=None, max_examples=60)
def test_edge_target_is_where_a_neighbourhood_holds_two_ids(labels: np.ndarray) -> None:
    expected = ndimage.maximum_filter(labels, 3, mode="nearest") > ndimage.minimum_filter(
        labels, 3, mode="nearest"
    )
    got = edge_target(torch.from_numpy(labels)[None, None])[0, 0]
    np.testing.assert_array_equal(got, expected)


@given(st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=20)
def test_losses_follow_their_formulas_row_by_row(seed: int) -> None:
    rng = np.random.default_rng(seed)
    masks, edges = rng.normal(size=(2, 2, 3, 16, 16))
    exists = rng.normal(size=(2, 3))
    labels = (rng.random((2, 3, 16, 16)) < rng.choice([0.0, 0.3], size=(2, 3, 1, 1))).astype(np.int64)
    weights = LossWeights(classification=0.7, edge=0.4, positive=2.0)
    prediction = Prediction(torch.from_numpy(masks), torch.from_numpy(edges), torch.from_numpy(exists))
    losses = segmentation_losses(prediction, torch.from_numpy(labels), weights)

    def parts(logits: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        score, axes = 1 / (1 + np.exp(-logits)), (2, 3)
        both, size = (score * target).sum(axes), (score**2).sum(axes) + target.sum(axes)
        bce = -(target * np.log(score) + (1 - target) * np.log(1 - score)).mean(axes)
        return 1 - (2 * both + 1e-5) / (size + 1e-5), bce

    dice, bce = parts(masks, labels)
    line = edge_target(torch.from_numpy(labels)).numpy()
    edge = sum(parts(edges, line))
    there, score = labels.any((2, 3)), 1 / (1 + np.exp(-exists))
    cls = -(2.0 * there * np.log(score) + (1 - there) * np.log(1 - score))
    np.testing.assert_allclose(losses.dice, dice, atol=1e-5)
    np.testing.assert_allclose(losses.bce, bce, atol=1e-5)
    np.testing.assert_allclose(losses.edge, edge, atol=1e-5)
    np.testing.assert_allclose(losses.total, 0.7 * cls + there * (dice + bce + 0.4 * edge), atol=1e-4)
