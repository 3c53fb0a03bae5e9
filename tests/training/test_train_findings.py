"""Training on truths that overlap, and on sentences beside classes."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import reports

from fve_pipeline.catalog.lexicon import is_held_out, wordings
from fve_pipeline.loading.prompts import PromptTable
from fve_pipeline.loading.share import Share
from fve_pipeline.store.class_table import ClassEntry, ClassTable
from fve_pipeline.store.reader import Store, open_store
from fve_pipeline.training.config import DataSettings, TrainConfig
from fve_pipeline.training.store import StoreTraining, StoreValidation
from fve_pipeline.training.trainer import train

WHOLE = Share(batch=4, rank=0, world=1, accumulate=1)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    root = tmp_path_factory.mktemp("findings")
    reports.write_cohort(root / "data", range(6))
    out = reports.build(root / "data", root / "s.zarr", val_fraction=0.4, size=32)
    return open_store(out)


def asked(store: Store, **settings: object) -> list[tuple[str, str]]:
    """(class, prompt) of each question of an epoch."""
    words = wordings if settings.get("wordings") == "lexicon" else None
    data = StoreTraining([store], DataSettings.model_validate({"augment": "none"} | settings), wordings=words)
    return [
        pair
        for batch in data.batches(0, WHOLE, 0)
        for row in zip(batch.classes, batch.prompts, strict=True)
        for pair in zip(*row, strict=True)
    ]


def test_a_run_on_overlapping_truths_and_sentences(store: Store, tmp_path: Path) -> None:
    config = TrainConfig.of(
        {
            "model": {"preset": "tiny"},
            "optimisation": {"batch": 8, "epochs": 1, "lr": 1e-4},
            "data": {"augment": "none", "findings": 0.5, "prompts": 4},
            "run": {"precision": "float32", "device": "cpu", "trackers": []},
        }
    )
    data, held = StoreTraining([store], config.data), StoreValidation([store])
    [first, *_] = data.batches(0, WHOLE, 0)
    assert max(int((masks != 0).sum(0).max()) for masks in first.masks) > 1
    result = train(config, data, held, tmp_path / "run")
    assert math.isfinite(result.loss)
    assert result.steps == len(data) // 8
    # Findings of a case are scored together, beside its classes.
    assert set(result.scores) == {"reports/lung", "reports/heart", "reports/findings"}
    assert result.scores["reports/findings"]["dice"] is not None


def test_a_case_is_validated_by_its_own_sentences(store: Store) -> None:
    said = {row["case"]: [] for row in store.findings.to_pylist()}
    for row in store.findings.to_pylist():
        said[row["case"]].append(row)
    cases = StoreValidation([store]).found
    assert any(case.name in said for case in cases)
    for case in cases:
        own = said.get(case.name, [])
        places = [i for i, name in enumerate(case.classes) if name == "reports/findings"]
        assert [case.prompts[i] for i in places] in ([], [row["texts"][0] for row in own])
        [part] = case.slices(len(case.rows))
        labels = store.read_masks(case.rows.start, case.rows.stop)
        for place, row in zip(places, own, strict=False):
            assert np.array_equal(part.masks[:, place].numpy() != 0, np.isin(labels, row["mask_ids"]))


def test_the_share_of_questions_about_findings_is_a_setting(store: Store) -> None:
    assert not any("finding" in name for name, _ in asked(store, findings=0))
    some = [name for name, _ in asked(store, findings=0.5) if "finding" in name]
    more = [name for name, _ in asked(store, findings=1, negatives=0) if "finding" in name]
    assert 0 < len(some) < len(more)
    assert not any("absent" in name for name in more)


def test_classes_are_asked_for_in_the_lexicons_words_but_for_those_held_out(store: Store) -> None:
    def of(name: str, **settings: object) -> set[str]:
        return {prompt for found, prompt in asked(store, **settings) if found == f"reports/{name}"}

    plain = set(store.class_table.find("reports", 2).words)
    assert of("heart", prompts=8) <= plain
    found = of("heart", wordings="lexicon", findings=0, prompts=8)
    assert any("cardiac silhouette" in prompt for prompt in found)
    assert all("cardiac silhouette" in prompt or prompt in plain for prompt in found)

    def words(held_out: bool) -> tuple[str, ...]:
        aorta = ClassEntry("made", 1, "aorta", (1,), prompts=("Aorta in CT", "the aortas"))
        table = PromptTable((ClassTable((aorta,)),)).worded(lambda name: wordings(name, held_out=held_out))
        return table.feasible(0, "made", "any")[0].prompts

    assert is_held_out("aortic trunk")
    assert words(held_out=True) == ("Aorta in CT", "the aortas", "aortic trunk in CT")
    assert words(held_out=False) == ("Aorta in CT", "the aortas")
