"""Drafts written as TOML."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fve_pipeline.catalog.draft import Draft, class_entry, slug, spoken

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)


@given(
    TEXT,
    st.lists(TEXT, max_size=8),
    st.dictionaries(TEXT, st.sampled_from(["train", "val"]), max_size=4),
    TEXT,
)
def test_any_text_comes_back(title: str, names: list[str], values: dict[str, str], note: str) -> None:
    data: dict[str, Any] = {
        "name": "x",
        "title": title,
        "scaled": True,
        "ignore": list(range(20)),
        "classes": [class_entry(at, name, [at, 99]) for at, name in enumerate(names)],
        "layout": {"images": title},
        "split": {"values": values, "val": names},
        "renditions": [{"name": "a", "channel": 0}],
    }

    assert tomllib.loads(Draft(data, (note,)).toml()) == data


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ("kidney_left", "left kidney"),
        ("Kidney_Right", "right Kidney"),
        ("left", "left"),
        ("whole tumor", "whole tumor"),
    ],
)
def test_labels_as_words(label: str, words: str) -> None:
    assert spoken(label) == words


def test_slugs() -> None:
    assert [slug(text) for text in ("Dataset 7: CT/MR", "T1w", "日本", "__")] == [
        "dataset_7_ct_mr",
        "t1w",
        "x",
        "x",
    ]
