"""docs/catalogs.md says what is so."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from fve_pipeline.catalog import shipped_catalogs
from fve_pipeline.catalog.layout import Frames, Layout, SplitRule
from fve_pipeline.catalog.load import parse_catalog
from fve_pipeline.catalog.schema import Catalog, ClassSpec, RenditionSpec

DOCS = Path(__file__).resolve().parents[2] / "docs" / "catalogs.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOCS.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_the_worked_example_is_a_catalog() -> None:
    catalog = parse_catalog(blocks("toml")[0], "docs")

    assert catalog.name == "kidneys"
    assert catalog.classes[3].ids == (1, 2, 3)


def test_split_and_frames_examples_are_valid() -> None:
    text = next(block for block in blocks("toml") if "meta.csv" in block)
    for part in re.split(r"\n(?=\[split\])", text):
        SplitRule.model_validate(tomllib.loads(part)["split"])
    [frames] = [tomllib.loads(block)["frames"] for block in blocks("toml") if "[frames]" in block]
    Frames.model_validate(frames)


def test_every_key_is_explained() -> None:
    text = DOCS.read_text(encoding="utf-8")

    for model in (Catalog, ClassSpec, Layout, RenditionSpec, SplitRule, Frames):
        for key in model.model_fields:
            assert f"`{key}`" in text or f"[{key}]" in text or f"\n{key} = " in text, (model.__name__, key)


def test_every_shipped_catalog_is_listed() -> None:
    text = DOCS.read_text(encoding="utf-8")

    assert [
        name for name in shipped_catalogs() if f"`{name}`" not in text and not name.startswith("msd_task")
    ] == []
