"""The plan is a function of facts and settings: rows, runs, shards and their hashes."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fve_pipeline.build.encode.plan import (
    PlanSettings,
    case_views,
    index_table,
    plan_hash,
    plan_runs,
    plan_shards,
)
from fve_pipeline.build.prepare.facts import CaseFacts, SourceStat
from fve_pipeline.build.splits import split_of

SETTINGS = PlanSettings("paper", True, 0, 0.2, 0.1, 10)
ISOTROPIC = (40, 44, 48)


def facts(name: str, shape: tuple[int, int, int], renditions: tuple[str, ...] = ("one",)) -> CaseFacts:
    return CaseFacts(
        case=f"made/{name}",
        dataset="made",
        subject=f"made/{name}",
        modality="CT",
        split=None,
        fingerprint="f",
        group=f"made/{name}",
        source=f"{name}.nii",
        source_sha256="s",
        source_bytes=1,
        labels=("l",),
        labels_sha256=("h",),
        stats=(SourceStat(path="p", size=1, mtime_ns=1),),
        shape=shape,
        spacing=(1.0, 1.0, 1.0),
        affine=((0, 0, 1, -5), (0, 2, 0, 7), (3, 0, 0, 100), (0, 0, 0, 1)),
        orientation="LPS",
        renditions=renditions,
        classes=(),
        pixels_sha256="x",
        quantiles=(),
        gradient_energy=0,
        resampled_labels=False,
        decision="",
        notes=(),
        recipe="{}",
    )


lengths = st.lists(st.integers(1, 40), min_size=1, max_size=12)


@given(lengths, st.integers(1, 17), st.integers(0, 60))
def test_shards_cover_every_row_once_and_in_order(depths: list[int], size: int, first_row: int) -> None:
    cases = [facts(str(i), (depth, 20, 20)) for i, depth in enumerate(depths)]
    runs = plan_runs(cases, dataclasses.replace(SETTINGS, views="axial"), first_row)
    shards = list(plan_shards(runs, size))
    row = first_row
    for shard in shards:
        assert shard.first_row == shard.shard * size
        assert shard.copied == max(0, first_row - shard.first_row)
        planned = sum(segment.stop - segment.start for segment in shard.segments)
        assert shard.copied + planned == shard.n_rows <= size
        row += planned
    assert row == first_row + sum(depths)
    assert all(shard.n_rows == size for shard in shards[:-1])
    slices = [(s.case, i) for shard in shards for s in shard.segments for i in range(s.start, s.stop)]
    assert slices == [(case.case, i) for case in cases for i in range(case.shape[0])]


def test_more_views_in_training_never_in_validation() -> None:
    assert case_views(ISOTROPIC, (1.0, 1.0, 1.0), "train", SETTINGS) == ("axial", "coronal", "sagittal")
    assert case_views(ISOTROPIC, (1.0, 1.0, 1.0), "val", SETTINGS) == ("axial",)
    assert case_views((60, 50, 100), (1.0, 1.0, 1.0), "val", SETTINGS) == ("sagittal",)
    released = dataclasses.replace(SETTINGS, views="released")
    assert case_views((60, 50, 100), (1.0, 1.0, 1.0), "val", released) == ("coronal",)
    named = dataclasses.replace(SETTINGS, views="axial,sagittal")
    assert case_views((60, 50, 100), (1.0, 1.0, 1.0), "val", named) == ("axial", "sagittal")


def test_index_rows_say_where_each_slice_lies() -> None:
    case = facts("a", (3, 4, 5), ("soft", "lung"))
    settings = dataclasses.replace(SETTINGS, views="axial,coronal,sagittal")
    runs = plan_runs([case], settings)
    table = index_table(runs, {case.case: case}, settings)
    assert table.num_rows == 2 * (3 + 4 + 5)
    first = table.slice(0, 12).to_pylist()
    assert [row["z_mm"] for row in first] == [100, 103, 106, 7, 9, 11, 13, -5, -4, -3, -2, -1]
    assert [row["shape"] for row in first[::3]] == [[4, 5], [3, 5], [3, 5], [3, 4]]
    assert table.column("rendition").to_pylist() == ["soft"] * 12 + ["lung"] * 12


def test_the_hash_names_inputs_settings_and_rows() -> None:
    case = facts("a", (12, 20, 20))
    first, second = plan_shards(plan_runs([case], SETTINGS), 10)
    inputs = {case.case: case.inputs}
    made = plan_hash(first, {"order": 1}, inputs)
    assert made == plan_hash(first, {"order": 1}, inputs)
    others = [
        plan_hash(second, {"order": 1}, inputs),
        plan_hash(first, {"order": 2}, inputs),
        plan_hash(first, {"order": 1}, {case.case: case.model_copy(update={"source_sha256": "t"}).inputs}),
    ]
    assert len({made, *others}) == 4


@given(st.text(min_size=1), st.integers(0, 5))
def test_a_subject_stays_where_it_is_as_fractions_grow(subject: str, seed: int) -> None:
    if split_of(subject, seed, 0.1, 0.0) == "val":
        assert split_of(subject, seed, 0.3, 0.2) == "val"
    assert split_of(subject, seed, 0.0, 0.0) == "train"
    assert split_of(subject, seed, 0.0, 1.0) == "test"


def test_fractions_are_kept_on_average() -> None:
    splits = [split_of(f"s{i}", 0, 0.2, 0.1) for i in range(4000)]
    shares = [np.mean([split == name for split in splits]) for name in ("train", "val", "test")]
    assert shares == pytest.approx([0.7, 0.2, 0.1], abs=0.03)
