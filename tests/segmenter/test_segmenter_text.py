"""Tokens and text features."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from make_token_golden import sentences
from segmenter_cases import PROMPTS

from fve_pipeline.segmenter.config import preset
from fve_pipeline.segmenter.model import Segmenter
from fve_pipeline.segmenter.tokens import BEGIN, END, tokenize

KNOWN = {
    "esophagus in abdominal computed tomography": "957 38634 8018 530 39328 11639 775 999 22399",
    "liver": "12639",
    "stomach in abdominal magnetic resonance imaging": "14722 530 39328 13838 42310 14231",
    "T1-weighted MRI: 3.5mm tumor (left)": "339 272 268 43179 24773 281 274 269 276 2848 22616 263 1823 264",
}


@pytest.mark.parametrize("prompt", KNOWN)
def test_ids_are_clips(prompt: str) -> None:
    tokens = tokenize([prompt])
    assert tokens.ids[0].tolist() == [BEGIN, *map(int, KNOWN[prompt].split()), END]


@pytest.fixture(scope="module")
def reference() -> dict[str, list]:
    """What the reference tokenizer gave, by make_token_golden.py."""
    return json.loads(gzip.decompress(Path(__file__).with_name("token_golden.json.gz").read_bytes()))


def ids_of(text: str) -> list[int]:
    return tokenize([text]).ids[0].tolist()


def test_awkward_sentences_are_the_references(reference: dict[str, list]) -> None:
    """Decomposed accents, BOM, CJK, curly quotes, HTML entities, ligatures, mis-decoded bytes."""
    assert len(reference["awkward"]) > 300
    assert [[text, ids_of(text)] for text, _ in reference["awkward"]] == reference["awkward"]


def test_the_challenges_sentences_are_the_references(reference: dict[str, list], shared_data: Path) -> None:
    texts = sentences(shared_data / "challenge" / "CVPR25_TextSegFMData_with_class.json")
    assert len(texts) == 2905  # of 3,186, without those that come twice
    assert [ids_of(text) for text in texts] == reference["challenge"]


def test_golden_ids_and_lengths(arrays: dict[str, np.ndarray]) -> None:
    tokens = tokenize(PROMPTS, length=77)
    np.testing.assert_array_equal(tokens.ids, arrays["token_ids"])
    np.testing.assert_array_equal(tokens.lengths, arrays["attention_mask"].sum(1))


def test_a_long_prompt_is_cut_and_still_ends() -> None:
    tokens = tokenize(["liver " * 100, ""])
    assert tokens.ids.shape == (2, 77)
    assert tokens.ids[0, -1] == END
    assert tokens.lengths.tolist() == [77, 2]
    assert tokens.ids[1, 1:].unique().tolist() == [END]


def test_white_space_and_case_do_not_matter() -> None:
    assert torch.equal(tokenize(["  Left\tKIDNEY \n"]).ids, tokenize(["left kidney"]).ids)


def test_padding_to_the_context_length_changes_nothing() -> None:
    model = Segmenter(preset("tiny")).eval()
    with torch.no_grad():
        short, full = (model.encode_text(tokenize(PROMPTS, length=n)) for n in (None, 77))
    torch.testing.assert_close(full.tokens[:, : short.tokens.shape[1]], short.tokens)
    torch.testing.assert_close(full.sentence, short.sentence)
    assert not full.tokens[:, short.tokens.shape[1] :].any()


@pytest.mark.parametrize("padding", ["reference", "masked"])
def test_only_masked_padding_makes_prompts_independent(
    padding: str, tiny_random: Callable[..., Segmenter]
) -> None:
    model = tiny_random(boltzmann=False, text_padding=padding)
    image = torch.randint(0, 256, (1, 3, 64, 64), generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        alone = model(image, model.tokenize(["liver"])).masks[:, 0]
        beside = model(image, model.tokenize(["liver", PROMPTS[0]])).masks[:, 0]
    same = torch.allclose(alone, beside, atol=1e-4)
    assert same == (padding == "masked")


def test_reference_padding_counts_an_images_own_prompts_only(tiny_random: Callable[..., Segmenter]) -> None:
    # Which images share a batch must not matter, so the longest prompt is taken image by image.
    model = tiny_random(boltzmann=False)
    image = torch.randint(0, 256, (1, 3, 64, 64), generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        alone = model(image, model.tokenize(["liver", "spleen"])).masks[0]
        batch = model(
            image.repeat(2, 1, 1, 1), model.tokenize(["liver", "spleen", "liver", PROMPTS[0]])
        ).masks
    torch.testing.assert_close(batch[0], alone, atol=1e-4, rtol=0)
    assert not torch.allclose(batch[1, 0], alone[0], atol=1e-4)


@pytest.mark.parametrize("seed", range(3))
def test_words_stay_apart_where_a_fresh_model_is_pulled_one_way(seed: int) -> None:
    """As the first steps pull it: from too small a start all words are one vector after five steps, for good."""
    model = Segmenter(preset("small"), seed)
    tokens = model.tokenize([f"{organ} in abdominal CT" for organ in ("liver", "spleen", "aorta")])
    way = torch.randn(model.config.dim, generator=torch.Generator().manual_seed(seed))
    optimiser = torch.optim.AdamW(model.sem_seg_head.predictor.language_encoder.parameters(), lr=1e-3)
    for _ in range(5):
        (-model.encode_text(tokens).tokens[:, 1] @ way).mean().backward()
        optimiser.step()
        optimiser.zero_grad()
    organs = model.encode_text(tokens).tokens[:, 1].detach()
    alike = torch.nn.functional.cosine_similarity(organs[:, None], organs[None], dim=-1)
    assert alike[~torch.eye(3, dtype=torch.bool)].max() < 0.9
