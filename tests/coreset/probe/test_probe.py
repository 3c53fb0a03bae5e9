"""The segmentation probe and backbone features, over real small stores."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from typer.testing import CliRunner

pytest.importorskip("torch")

from fve_pipeline.cli.main import app
from fve_pipeline.coreset import Pool, load_selection, select
from fve_pipeline.coreset.open import open_tables
from fve_pipeline.coreset.probe.data import Targets, draw_rows, read_slices
from fve_pipeline.coreset.probe.features import backbone_features
from fve_pipeline.coreset.probe.probe import Probe, ProbeSettings
from fve_pipeline.errors import CoresetError
from fve_pipeline.runtime.executor import Executor
from fve_pipeline.segmenter.checkpoint import save_weights
from fve_pipeline.segmenter.config import PRESETS
from fve_pipeline.segmenter.model import Segmenter
from fve_pipeline.store.reader import Store, open_store

QUICK = ProbeSettings(steps=40, batch=8, size=32)


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory, executor: Executor) -> Callable[..., Store]:
    root = tiny.write_cohort(tmp_path_factory.mktemp("cohort"), 9)

    def make(**changes: Any) -> Store:
        out = tmp_path_factory.mktemp("built") / "s.zarr"
        tiny.build(tiny.datasets(root), out, executor, work=root / "work", settings=tiny.settings(**changes))
        return open_store(out)

    return make


@pytest.fixture(scope="module")
def store(build: Callable[..., Store]) -> Store:
    return build(val_fraction=0.4)


def _pool(store: Store) -> Pool:
    return Pool.of([open_tables(store.files.url)])


def test_the_probe_learns_and_repeats_itself(store: Store) -> None:
    pool = _pool(store)
    chosen = select(pool, fraction=1.0)
    score = Probe([store], pool.table.classes, QUICK)(chosen, 0)
    brief = ProbeSettings(steps=4, batch=8, size=32)
    untaught = Probe([store], pool.table.classes, brief)(chosen, 0)
    assert Probe([store], pool.table.classes, brief)(chosen, 0) == untaught
    assert score > untaught + 0.2


def test_without_held_out_cases_nothing_can_be_scored(build: Callable[..., Store]) -> None:
    whole = build(val_fraction=0.0)
    with pytest.raises(CoresetError, match="no labelled slice is in the split 'val'"):
        Probe([whole], _pool(whole).table.classes, QUICK)


def test_rows_are_labelled_and_spread_over_cases(store: Store) -> None:
    cases = store.cases.column("case").to_pylist()
    rows = [row for _, row in draw_rows([store], cases, limit=2 * len(cases), seed=1)]
    index = store.index.take(rows)
    assert all(index.column("class_ids").to_pylist())
    counts = {case: index.column("case").to_pylist().count(case) for case in cases}
    assert set(counts.values()) == {2}
    assert rows != [row for _, row in draw_rows([store], cases, limit=2 * len(cases), seed=2)]


def test_targets_follow_unions_and_renditions(store: Store) -> None:
    targets = Targets.of([store], _pool(store).table.classes)
    assert targets.shown("tiny", "soft_tissue") == [0, 1, 2]
    lung = targets.shown("tiny", "lung")
    assert [targets.classes[number].name for number in lung] == ["left ball"]
    rows = draw_rows([store], store.cases.column("case").to_pylist(), limit=30, seed=0)
    slices = read_slices([store], rows, tiny.SIZE, targets)
    for place, (_, row) in enumerate(rows):
        masks = targets.masks(slices.labels[place], slices.classes[place])
        counted = dict(
            zip(
                *(store.index.column(name)[row].as_py() for name in ("class_ids", "class_pixels")),
                strict=True,
            )
        )
        found = {
            targets.classes[n].class_id: int(m.sum())
            for n, m in zip(slices.classes[place], masks, strict=True)
        }
        assert {number: count for number, count in found.items() if count} == counted


def test_backbone_features_are_equal_from_both_storages(
    build: Callable[..., Store], store: Store, tmp_path: Path
) -> None:
    save_weights(tmp_path / "w.safetensors", Segmenter(PRESETS["small"], seed=0), {})
    cases = store.cases.column("case").to_pylist()
    eager = backbone_features([store], cases, tmp_path / "w.safetensors", slices=3)
    assert eager.shape == (len(cases), 8 * PRESETS["small"].embed_dim)
    assert len(np.unique(eager, axis=0)) == len(cases)
    lazy = backbone_features(
        [build(storage="slices", val_fraction=0.4)], cases, tmp_path / "w.safetensors", slices=3
    )
    np.testing.assert_array_equal(eager, lazy)


def test_command_line(store: Store, tmp_path: Path) -> None:
    save_weights(tmp_path / "w.safetensors", Segmenter(PRESETS["small"], seed=0), {})
    weights = ["--features", str(tmp_path / "w.safetensors")]
    out = tmp_path / "c.parquet"
    command = [
        "coreset",
        store.files.url,
        "--cases",
        "2",
        "--method",
        "kcenter",
        *weights,
        "--out",
        str(out),
        "--json",
    ]
    assert CliRunner().invoke(app, command, catch_exceptions=False).exit_code == 0
    assert load_selection(out).features.startswith("backbone of ")
    command = ["coreset", "compare", store.files.url, "--cases", "2", "--methods", "kcenter", *weights]
    result = CliRunner().invoke(
        app, [*command, "--proxy", "--proxy-steps", "1", "--json"], catch_exceptions=False
    )
    written = json.loads(result.stdout)
    assert len(written["methods"]["kcenter"]["proxy_dice"]["values"]) == 3
