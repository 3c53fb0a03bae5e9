"""The tiny model against the numbers that the public reference gave."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from segmenter_cases import PROMPTS, pack

from fve_pipeline.segmenter.boltzmann import boltzmann_probability, open_tokens
from fve_pipeline.segmenter.config import preset
from fve_pipeline.segmenter.decoder import BoltzmannDecoder
from fve_pipeline.segmenter.model import Prediction, Segmenter

MASK, EXIST = 1e-3, 1e-4
"""Absolute tolerances: batching slices by 3 or 4 moved the reference itself by 1.1e-5."""


@pytest.mark.parametrize("name", ["tiny", "full"])
def test_state_dict_has_exactly_the_reference_keys_and_shapes(golden: Path, name: str) -> None:
    content = json.loads((golden / f"state_dict_{name}.json").read_text())
    expected = content["state_dict"] if name == "full" else content
    with torch.device("meta"):
        model = Segmenter(preset(name), seed=None)
    assert {k: list(v.shape) for k, v in model.state_dict().items()} == expected
    if name == "full":
        assert sum(p.numel() for p in model.parameters()) == content["total_parameters"] == 371_798_778
        parts = content["parameters_by_part"]
        assert sum(p.numel() for p in model.backbone.parameters()) == parts["backbone"]


def _close(actual: torch.Tensor, expected: np.ndarray, atol: float) -> None:
    np.testing.assert_allclose(actual.detach().numpy(), expected, rtol=0, atol=atol)


def _volume(model: Segmenter, packed: torch.Tensor, prompts: list[str]) -> Prediction:
    with torch.no_grad():
        return model(packed, model.encode_text(model.tokenize(prompts)).shared_by(len(packed)))


def test_attention_fully_open(
    tiny: Callable[..., Segmenter], packed: torch.Tensor, arrays: dict[str, np.ndarray]
) -> None:
    got = _volume(tiny(boltzmann=False), packed, PROMPTS)
    _close(got.masks.transpose(0, 1), arrays["A_pred_gmasks"], MASK)
    _close(got.edges.transpose(0, 1), arrays["A_edge_masks"], MASK)
    _close(got.existence.T, arrays["A_object_existence"], EXIST)


def test_a_prompt_alone_differs_by_the_padding_of_its_neighbour(
    tiny: Callable[..., Segmenter], packed: torch.Tensor, arrays: dict[str, np.ndarray]
) -> None:
    alone = _volume(tiny(boltzmann=False), packed, PROMPTS[1:])
    _close(alone.masks.transpose(0, 1), arrays["A_pred_gmasks_prompt1_alone"], MASK)
    _close(alone.existence.T, arrays["A_object_existence_prompt1_alone"], EXIST)

    masked = tiny(boltzmann=False, text_padding="masked")
    beside = _volume(masked, packed, PROMPTS)
    _close(beside.masks[:, 1:].transpose(0, 1), arrays["A_pred_gmasks_prompt1_alone"], MASK)
    _close(beside.existence[:, 1:].T, arrays["A_object_existence_prompt1_alone"], EXIST)


def test_every_query_and_its_caption(
    tiny: Callable[..., Segmenter], packed: torch.Tensor, arrays: dict[str, np.ndarray]
) -> None:
    model = tiny(boltzmann=False)
    with torch.no_grad():
        decoded = model.decode(packed, model.encode_text(model.tokenize(PROMPTS)).shared_by(4))
        captions = decoded.queries[0] @ model.sem_seg_head.predictor.class_embed
    _close(decoded.masks[0], arrays["A_all_query_masks_s0"], MASK)
    _close(captions, arrays["A_pred_captions_s0"], MASK)


@pytest.mark.parametrize("sample", ["s1p0", "s2p0", "s3p0", "s3p1"])
def test_thresholded_attention_on_single_slices(
    tiny: Callable[..., Segmenter], rule: ModuleType, arrays: dict[str, np.ndarray], sample: str
) -> None:
    # The other four have a score so near the threshold that rounding may flip it.
    assert float(arrays[f"B_{sample}_min_margin"]) > 1e-4
    z, p = int(sample[1]), int(sample[3])
    got = _volume(tiny(boltzmann=False, mask_threshold=0.5), pack(rule.volume()[0][z : z + 1]), [PROMPTS[p]])
    _close(got.masks, arrays[f"B_{sample}_pred_gmasks"], MASK)
    _close(got.edges, arrays[f"B_{sample}_edge_masks"], MASK)
    _close(got.existence, arrays[f"B_{sample}_object_existence"], EXIST)


class GoldenUniforms:
    """The golden draws, for one row."""

    def __init__(self, rule: ModuleType) -> None:
        self.rule = rule

    def drop_path(self, stream: int) -> torch.Tensor:
        raise AssertionError(stream)

    def sampling(self, draw: int, heads: int, queries: int, tokens: int) -> torch.Tensor:
        return torch.from_numpy(self.rule.boltzmann_uniform(draw, (1, 1, heads, queries, tokens)))


def test_boltzmann_sampling_with_the_golden_draws(
    tiny: Callable[..., Segmenter],
    rule: ModuleType,
    arrays: dict[str, np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, uniforms = tiny(), GoldenUniforms(rule)
    opened, scores = [], []
    looks = BoltzmannDecoder._looks

    def drawn(found: torch.Tensor) -> float:
        """Share opened by sampling: without the queries that were opened wholly for having nothing open."""
        return float((found & ~found.all(-1, keepdim=True)).float().mean())

    def recorded(*args: Any) -> torch.Tensor:
        found = looks(*args)
        opened.append(drawn(found))
        content, level = args[1], args[2]
        decoder = model.sem_seg_head.predictor
        with torch.no_grad():
            scores.append((decoder.mask_embed(decoder.decoder_norm(content)) @ level.mask_features).sigmoid())
        return found

    monkeypatch.setattr(BoltzmannDecoder, "_looks", recorded)
    with torch.no_grad():
        text = model.encode_text(model.tokenize(PROMPTS[:1]))
        decoded = model.decode(pack(rule.volume()[0][:1]), text, uniforms)
        # The reference draws once more after its last layer, for a mask that nothing reads.
        last = torch.nn.functional.interpolate(decoded.masks[0], size=(4, 4), mode="bilinear").flatten(2)
        unused = open_tokens(last[None], 8, model.config, uniforms)
    got = model.summarise(decoded)
    _close(got.masks, arrays["C_pred_gmasks"], MASK)
    _close(got.edges, arrays["C_edge_masks"], MASK)
    _close(got.existence, arrays["C_object_existence"], EXIST)
    first = boltzmann_probability(scores[0], 1.0, model.config.mask_threshold)
    _close(first, arrays["C_head0_boltzmann_prob"], 1e-6)
    np.testing.assert_allclose([*opened, drawn(unused)], arrays["C_open_ratio"], atol=5e-5)


def test_text_features(tiny: Callable[..., Segmenter], arrays: dict[str, np.ndarray]) -> None:
    model = tiny()
    with torch.no_grad():
        text = model.encode_text(model.tokenize(PROMPTS))
    _close(text.sentence, arrays["class_emb"], 1e-4)
    _close(text.tokens.transpose(0, 1), arrays["grounding_tokens"], 1e-4)


def test_backbone_and_pixel_decoder(
    tiny: Callable[..., Segmenter],
    packed: torch.Tensor,
    arrays: dict[str, np.ndarray],
    stats: dict[str, Any],
) -> None:
    model = tiny()
    np.testing.assert_allclose(
        [model.pixel_mean[0, 0], model.pixel_std[0, 0]], arrays["norm_mean_std"][:, None, None]
    )
    np.testing.assert_array_equal(packed.double().sum((2, 3)), arrays["rgb_channel_slice_sums"])
    with torch.no_grad():
        features = model.backbone((packed.float() - model.pixel_mean) / model.pixel_std)
        decoder = model.sem_seg_head.pixel_decoder
        mask_features, levels = decoder(features)
        found = {f"backbone_res{i + 2}": feature for i, feature in enumerate(features)}
        found |= {f"pixdec_multi_scale_{i}": level for i, level in enumerate(levels)}
        found |= {
            "pixdec_mask_features": mask_features,
            "pixdec_transformer_features": decoder.attend(features[3]),
        }
    _close(found["backbone_res5"], arrays["backbone_res5"], 1e-4)
    _close(levels[0], arrays["pixdec_multi_scale_0"], 1e-4)
    _close(mask_features[0], arrays["pixdec_mask_features_s0"], 1e-4)
    for name, feature in found.items():
        if name.startswith("backbone"):
            _close(feature[1, :8].mean((1, 2)), arrays[f"{name}_s1_first8ch_mean"], 1e-5)
        expected = stats[name]
        assert list(feature.shape) == expected["shape"]
        got = (feature.mean(), feature.std(), feature.min(), feature.max(), feature.abs().sum())
        wanted = [expected[k] for k in ("mean", "std", "min", "max", "abs_sum")]
        np.testing.assert_allclose([float(x) for x in got], wanted, rtol=2e-4, atol=2e-5, err_msg=name)
