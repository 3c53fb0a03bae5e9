"""The network on sub-volumes: what the paths predict, what is averaged, the losses."""

from __future__ import annotations

import math

import pytest
import torch
from bio2vol_cases import MadeSubVolumes
from torch.nn import functional as F

from fve_pipeline.bio2vol.alignment import alignment_loss
from fve_pipeline.bio2vol.network import PathLayout, Volumes
from fve_pipeline.bio2vol.objective import aligned
from fve_pipeline.bio2vol.sampling import SubVolume, paths, sub_volume
from fve_pipeline.bio2vol.settings import Bio2VolSettings
from fve_pipeline.bio2vol.sliding import slide
from fve_pipeline.segmenter.config import preset
from fve_pipeline.segmenter.losses import segmentation_losses
from fve_pipeline.segmenter.model import Prediction, Segmenter
from fve_pipeline.segmenter.randomness import CounterRandomness

ALONE = Bio2VolSettings(depth=5, sparse_rate=0, heads=0, alignment=0)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def small() -> Segmenter:
    change = {"embed_dim": 16, "dim": 32, "text_layers": 1, "queries": 6, "decoder_layers": 3}
    return Segmenter(preset("small").model_copy(update=change), seed=1).eval()


def test_layout_of_the_papers_paths() -> None:
    layout = PathLayout.of([range(7), (0, 0, 0, 0, 1, 2, 3)], Bio2VolSettings())
    assert layout.lengths == (7, 4, 7, 4)
    assert layout.image == (0, 1, 2, 3, 4, 5, 6, 0, 2, 4, 6, 7, 7, 7, 7, 8, 9, 10, 7, 7, 8, 10)
    assert layout.owner == (0,) * 7 + (1,) * 4
    assert layout.path == ((0,) * 7 + (1,) * 4) * 2
    weights = layout.averaging()
    assert weights.shape == (11, 22)
    torch.testing.assert_close(weights.sum(1), torch.ones(11))
    assert weights[0].nonzero()[:, 0].tolist() == [0, 7]  # dense and sparse
    assert weights[1].nonzero()[:, 0].tolist() == [1]  # dense alone
    assert weights[7].nonzero()[:, 0].tolist() == [11, 12, 13, 14, 18, 19]  # repeated before the first


def test_without_its_parts_it_is_the_segmenter_to_the_bit() -> None:
    batch = MadeSubVolumes(ALONE).read([3, 12])
    model = small()
    tokens = model.tokenize([p for prompts in batch.prompts for p in prompts])
    every = model.tokenize([batch.prompts[b][p] for b in batch.layout.owner for p in range(2)])
    with torch.no_grad():
        draws = CounterRandomness.of(0, batch.slices, [range(2)] * len(batch.slices))
        plain = model(batch.images, every, draws)
        found = Volumes(model, ALONE)(batch.images, batch.layout, tokens, batch.randomness(0, 0))
    for name in ("masks", "edges", "existence"):
        assert torch.equal(getattr(plain, name), getattr(found, name)), name


def test_logits_are_the_mean_of_both_paths() -> None:
    settings = Bio2VolSettings(depth=5, alignment=0)
    batch = MadeSubVolumes(settings).read([4])
    model = small()
    tokens = model.tokenize(batch.prompts[0])
    volumes = Volumes(model, settings)
    keys = batch.randomness(0, 0)
    with torch.no_grad():
        found = volumes(batch.images, batch.layout, tokens, keys)
        each, first = [], 0
        for path in paths(settings):  # each path by itself, its images in a row
            volumes.order.sequences((len(path),), torch.device("cpu"))
            rows = keys.rows[first : first + len(path)]
            own = CounterRandomness(keys.images[list(path)], rows)
            each.append(model(batch.images[list(path)], model.tokenize(batch.prompts[0] * len(path)), own))
            first += len(path)
    dense, sparse = each
    for name in ("masks", "edges", "existence"):
        expected = getattr(dense, name).clone()
        expected[::2] = (expected[::2] + getattr(sparse, name)) / 2
        torch.testing.assert_close(getattr(found, name), expected, atol=1e-4, rtol=1e-4)


def test_alignment_is_equation_six() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(2 * 5, 8, 3, 3, generator=generator)
    text = torch.randn(2 * 3, 8, generator=generator)
    found = alignment_loss(features, (3, 2), text)
    for b in range(2):
        own = features[5 * b : 5 * b + 5]
        for p in range(3):
            words = text[3 * b + p]
            expected = -sum(
                F.cosine_similarity(path.mean((0, 2, 3)), words, dim=0) for path in (own[:3], own[3:])
            )
            torch.testing.assert_close(found[b, p], expected)
    torch.testing.assert_close(
        alignment_loss(features.reshape(2 * 5, 8, 3, 3), (5,), text),
        -F.cosine_similarity(features.view(2, 5, 8, 9).mean((1, 3))[:, None], text.view(2, 3, 8), dim=-1),
    )


def test_the_total_is_the_segmenters_and_lambda_times_alignment_where_the_class_is() -> None:
    settings = Bio2VolSettings(depth=5, alignment=0.5)
    batch = MadeSubVolumes(settings).read([4, 0])
    batch.masks[:5, 1] = 0  # nothing of the second class in the first sub-volume
    model = small()
    tokens = model.tokenize([p for prompts in batch.prompts for p in prompts])
    prediction = Volumes(model, settings)(batch.images, batch.layout, tokens, batch.randomness(0, 0))
    plain = segmentation_losses(prediction, batch.masks)
    losses = aligned(plain, prediction, batch.layout, settings)
    assert prediction.alignment.shape == (2, 2)
    expected = prediction.alignment[list(batch.layout.owner)].clone()
    expected[:5, 1] = 0
    torch.testing.assert_close(losses.alignment, expected)
    torch.testing.assert_close(losses.total, plain.total + 0.5 * expected)
    (gradient,) = torch.autograd.grad(
        losses.alignment.sum(), model.sem_seg_head.pixel_decoder.mask_features.bias
    )
    assert gradient.abs().sum() > 0


@pytest.mark.parametrize("depth", [1, 3, 7, 16])
@pytest.mark.parametrize(
    "settings", [Bio2VolSettings(), Bio2VolSettings(depth=6, dense_rate=2, sparse_rate=3)]
)
def test_sliding_averages_over_all_sub_volumes_that_hold_a_slice(
    depth: int, settings: Bio2VolSettings
) -> None:
    asked: list[SubVolume] = []

    def predict(cut: SubVolume) -> Prediction:
        asked.append(cut)
        logits = torch.tensor([float(100 * row + len(asked)) for row in cut.rows])
        return Prediction(logits.view(-1, 1, 1, 1), -logits.view(-1, 1, 1, 1), 2 * logits[:, None])

    rows, masks = [], []
    for part, found in slide(predict, depth, settings):
        rows += list(part)
        masks += found.masks.flatten().tolist()
        torch.testing.assert_close(found.existence.flatten(), 2 * found.masks.flatten())
        torch.testing.assert_close(found.edges, -found.masks)
    assert rows == list(range(depth))
    for row, value in zip(rows, masks, strict=True):
        own = [100 * row + i for i, cut in enumerate(asked, 1) if row in cut.rows]
        assert math.isclose(value, sum(own) / len(own), rel_tol=1e-6)


def test_parameters_are_those_of_the_model() -> None:
    model = small()
    names = set(model.state_dict())
    volumes = Volumes(model, Bio2VolSettings())
    assert {name.removeprefix("model.") for name in volumes.state_dict()} == names
    assert set(model.state_dict()) == names
    assert sub_volume(0, range(3), Bio2VolSettings()).rows == (0, 1, 2)
