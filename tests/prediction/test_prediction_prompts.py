"""What to look for."""

from __future__ import annotations

import pytest

from fve_pipeline.catalog import load_catalog
from fve_pipeline.errors import PredictionError
from fve_pipeline.prediction.prompts import (
    mirrored,
    sentences_of,
    targets_from_catalog,
    targets_from_prompts,
    targets_from_sentences,
)


def test_ids_count_up_or_are_given() -> None:
    found = targets_from_prompts(["liver", "9=  spleen in CT ", "a = b"])
    assert [(t.class_id, t.prompt) for t in found] == [(1, "liver"), (9, "spleen in CT"), (3, "a = b")]
    assert [t.class_id for t in targets_from_sentences({10: "a", 2: "b"})] == [2, 10]


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        ([], "nothing to look for"),
        (["liver", "  "], "class 2 is empty"),
        (["3="], "class 3 is empty"),
        (["0=liver"], "class id 0"),
        (["70000=liver"], "70000"),
        (["2=liver", "spleen"], "given to 'liver' and to 'spleen'"),
    ],
)
def test_prompts_that_cannot_be_asked(prompts: list[str], message: str) -> None:
    with pytest.raises(PredictionError, match=message):
        targets_from_prompts(prompts)


def test_catalog_classes_by_name_or_prompt() -> None:
    catalog = load_catalog("demo_ct")
    every = targets_from_catalog(catalog)
    assert [t.class_id for t in every] == [spec.id for spec in catalog.classes if not spec.is_union]
    spec = catalog.classes[0]
    by_name, by_prompt = (
        targets_from_catalog(catalog, [text])[0] for text in (spec.name.upper(), spec.prompts[-1])
    )
    assert (by_name.class_id, by_name.prompt) == (spec.id, spec.prompts[0])
    assert (by_prompt.class_id, by_prompt.prompt) == (spec.id, spec.prompts[-1])
    with pytest.raises(PredictionError, match=f"no class '{spec.name}x'; it has .*{spec.name}"):
        targets_from_catalog(catalog, [f"{spec.name}x"])


def test_left_and_right_in_a_mirror() -> None:
    assert mirrored("Left kidney beside the right one, LEFT") == "Right kidney beside the left one, RIGHT"
    assert mirrored("bright lesion, leftover") == "bright lesion, leftover"
    assert mirrored(mirrored("left RIGHT Left")) == "left RIGHT Left"


def test_sep_separates_prompts_as_in_the_released_code() -> None:
    found = targets_from_prompts(["liver[SEP]spleen", "9=left kidney"])
    assert [(one.class_id, one.prompt) for one in found] == [(1, "liver"), (2, "spleen"), (9, "left kidney")]


def test_a_files_sentence_with_sep_stays_one_class() -> None:
    (found,) = targets_from_sentences({3: " liver [SEP]hepatic organ"})
    assert (found.class_id, sentences_of(found.prompt)) == (3, ["liver", "hepatic organ"])
    for text in ("liver[SEP]", "[SEP]", "a[SEP] [SEP]b"):
        with pytest.raises(PredictionError, match="of class 3 is empty"):
            targets_from_sentences({3: text})
