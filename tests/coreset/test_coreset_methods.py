"""What every method promises, and what each promises by itself."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_cases import made_pool, made_tables, uneven

from fve_pipeline.coreset import Pool, SelectionSettings, method_names, register, select
from fve_pipeline.coreset.method import _METHODS, Choice, SelectionProblem, get_method
from fve_pipeline.coreset.strata import allocate
from fve_pipeline.errors import CoresetError

METHODS = ["random", "stratified", "multicover", "facility", "kcenter", "herding"]


def test_all_methods_are_registered() -> None:
    assert set(method_names()) == set(METHODS)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("cases", [1, 17, 100, 269])
def test_exactly_the_asked_number_of_different_cases_with_reasons(method: str, cases: int) -> None:
    pool = made_pool(uneven())
    chosen = select(pool, method=method, cases=cases, seed=3)
    assert len(set(chosen.case_ids)) == len(chosen.case_ids) == cases
    assert set(chosen.case_ids) <= set(pool.table.ids)
    assert all(chosen.table.column("reason").to_pylist())


@pytest.mark.parametrize("method", METHODS)
def test_same_seed_same_choice_whatever_the_order_of_the_table(method: str) -> None:
    tables = made_tables(uneven())
    first = select(Pool.of([tables]), method=method, cases=40, seed=5)
    assert select(Pool.of([tables]), method=method, cases=40, seed=5).case_ids == first.case_ids
    if method in ("facility", "kcenter", "herding"):
        return  # these sum floats in table order
    shuffled = tables.cases.take(np.random.default_rng(0).permutation(tables.cases.num_rows))
    again = select(Pool.of([type(tables)(shuffled, tables.classes, "")]), method=method, cases=40, seed=5)
    if method == "random":
        assert again.case_ids == first.case_ids


@pytest.mark.parametrize("method", ["random", "stratified", "multicover", "kcenter"])
def test_another_seed_another_choice(method: str) -> None:
    pool = made_pool(uneven())
    assert len({select(pool, method=method, cases=40, seed=seed).case_ids for seed in range(3)}) == 3


def test_a_new_dataset_does_not_reshuffle_the_others() -> None:
    """The random order within a dataset is the cases' own: those taken from it are a prefix of it."""
    before = made_pool(uneven())
    after = made_pool({"PET_new": [[1]] * 30, **uneven()})
    a = [c for c in select(before, method="random", cases=60).case_ids if c.startswith("CT_large")]
    b = [c for c in select(after, method="random", cases=60).case_ids if c.startswith("CT_large")]
    shared = min(len(a), len(b))
    assert a[:shared] == b[:shared]


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["CT_a", "CT_b", "MR_c", "US_d"]),
        st.lists(st.lists(st.integers(1, 7), unique=True, max_size=4), min_size=1, max_size=25),
        min_size=1,
    ),
    st.sampled_from(["stratified", "multicover"]),
    st.integers(0, 4),
    st.integers(0, 3),
)
def test_every_class_gets_its_floor_or_the_shortfall_is_noted(
    labels: dict[str, list[list[int]]], method: str, floor: int, seed: int
) -> None:
    pool = made_pool(labels)
    budget = max(1, len(pool.table) * 2 // 3)
    rules = SelectionSettings(class_floor=floor, dataset_floor=1, modality_floor=1)
    chosen = select(pool, method=method, cases=budget, seed=seed, settings=rules)
    row_of = {case: row for row, case in enumerate(pool.table.ids)}
    have = pool.table.take([row_of[case] for case in chosen.case_ids]).positives()
    short = int((have < np.minimum(pool.table.positives(), floor)).sum())
    noted = [note for note in chosen.notes if "fewer positive cases than their floor" in note]
    assert len(noted) == bool(short)
    if short:
        assert noted[0].startswith(f"{short} of {len(have)} classes")


def test_stratified_meets_floors_of_datasets_and_modalities() -> None:
    pool = made_pool(uneven())
    chosen = select(
        pool, method="stratified", cases=60, settings=SelectionSettings(dataset_floor=4, modality_floor=6)
    )
    counts = dict.fromkeys(pool.table.dataset.names, 0)
    for case in chosen.case_ids:
        counts[case.split("/")[0]] += 1
    assert counts["US_tiny"] == 3  # all there are
    assert counts["CT_small"] >= 4
    assert counts["MR_middle"] >= 6


def test_tempering_moves_shares_from_large_datasets_to_small_ones() -> None:
    pool = made_pool({"CT_large": [[1]] * 900, "CT_small": [[1]] * 100})
    share = {}
    for temper in (1.0, 0.5, 0.0):
        rules = SelectionSettings(class_floor=0, dataset_floor=0, modality_floor=0, temper=temper)
        chosen = select(pool, cases=100, settings=rules)
        share[temper] = sum(case.startswith("CT_small") for case in chosen.case_ids)
    assert share == {1.0: 10, 0.5: 25, 0.0: 50}


def test_a_small_budget_is_spread_over_everything_first() -> None:
    pool = made_pool({f"CT_{i}": [[1]] * 10 for i in range(8)})
    chosen = select(pool, cases=8)
    assert {case.split("/")[0] for case in chosen.case_ids} == {f"CT_{i}" for i in range(8)}
    assert "8 of 8 classes get fewer positive cases than their floor (5," in chosen.notes[0]
    assert "the floors alone take 40 cases, the budget is 8" in chosen.notes[0]


def test_floors_are_filled_by_kind_and_the_smallest_group_first() -> None:
    """Modalities, then datasets, then classes; within a kind rising by size, at every level."""
    pool = made_pool({"CT_big": [[1]] * 30, "CT_small": [[2]] * 8, "MR_mid": [[3]] * 15})
    settings = SelectionSettings(modality_floor=2, dataset_floor=2, class_floor=3)
    chosen = select(pool, method="stratified", cases=20, seed=0, settings=settings)
    floors = [one for one in chosen.table.column("reason").to_pylist() if one.startswith("floor of ")]
    groups = [one.removeprefix("floor of ").partition(":")[0] for one in floors]
    first = [
        one for one, said in zip(groups, floors, strict=True) if said.endswith(("1 of 1", "1 of 2", "1 of 3"))
    ]
    size = {
        "modality MR": 15,
        "modality CT": 38,
        "dataset CT_small": 8,
        "dataset MR_mid": 15,
        "dataset CT_big": 30,
    }
    kinds = [one.split()[0] for one in first]
    assert kinds == sorted(kinds, key=["modality", "dataset", "class"].index)
    for kind in ("modality", "dataset"):
        sizes = [size[one] for one in first if one.startswith(kind)]
        assert sizes == sorted(sizes)
    assert first[0] == "modality MR"


def test_multicover_needs_no_more_cases_than_stratified_for_the_same_floor() -> None:
    pool = made_pool(uneven())
    rules = SelectionSettings(class_floor=5, dataset_floor=0, modality_floor=0)
    enough = {}
    for method in ("stratified", "multicover"):
        for cases in range(5, 120):
            notes = select(pool, method=method, cases=cases, settings=rules).notes
            if not any("positive cases than their floor" in note for note in notes):
                enough[method] = cases
                break
    assert enough["multicover"] < enough["stratified"]


def test_multicover_takes_the_case_that_helps_most_first() -> None:
    pool = made_pool({"CT_a": [[1], [2], [1, 2, 3], [3]]})
    assert select(pool, method="multicover", cases=1).case_ids == ("CT_a/c2",)


@given(
    st.lists(st.integers(0, 50), min_size=1, max_size=12),
    st.integers(0, 400),
    st.floats(0, 1),
    st.integers(0, 5),
)
def test_allocation_is_within_bounds_and_spends_the_budget(
    sizes: list[int], budget: int, temper: float, floor: int
) -> None:
    whole = np.array(sizes)
    least = np.minimum(whole, floor)
    if least.sum() > budget:
        least = np.zeros_like(whole)
    given_out = allocate(whole, budget, temper=temper, least=least)
    assert given_out.sum() == min(budget, whole.sum())
    assert (given_out <= whole).all()
    assert (given_out >= least).all()


def test_a_method_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    class First:
        name = "first"
        summary = "the first cases"

        def choose(self, problem: SelectionProblem) -> Choice:
            return Choice(list(range(problem.budget)), ["first"] * problem.budget)

    monkeypatch.setattr("fve_pipeline.coreset.method._METHODS", dict(_METHODS))
    register(First())
    chosen = select(made_pool(uneven()), method="first", cases=2)
    assert chosen.case_ids == ("CT_small/c0", "CT_small/c1")


def test_a_method_that_returns_too_few_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Lazy:
        name = "lazy"
        summary = "one case, whatever was asked for"

        def choose(self, _: SelectionProblem) -> Choice:
            return Choice([0], ["enough"])

    monkeypatch.setattr("fve_pipeline.coreset.method._METHODS", dict(_METHODS))
    register(Lazy())
    with pytest.raises(CoresetError, match="'lazy' returned 1 cases, 1 of them different; 2 different"):
        select(made_pool(uneven()), method="lazy", cases=2)


def test_a_method_from_an_installed_package(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "plugin-1.dist-info"  # type: ignore[operator]
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[fve_pipeline.coreset]\nother = fve_pipeline.coreset.uniform:Random\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    assert "other" in method_names()
    assert get_method("other").summary == "uniform at random"


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        ({}, "--fraction 0.1 or --cases N, one of the two"),
        ({"cases": 3, "fraction": 0.5}, "one of the two"),
        ({"fraction": 0.001}, "0.001 of 269 cases is less than one; ask for 0.0037 or more"),
        ({"fraction": 1.5}, "fraction 1.5 is not between 0 and 1"),
        ({"cases": 270}, "270 cases were asked for, there are 269 to choose from"),
        ({"cases": 3, "method": "magic"}, "no coreset method 'magic'; there are facility"),
    ],
)
def test_what_cannot_be_is_refused_with_numbers(ask: dict[str, object], message: str) -> None:
    with pytest.raises(CoresetError, match=message):
        select(made_pool(uneven()), **ask)  # type: ignore[arg-type]


def test_no_case_in_the_split() -> None:
    with pytest.raises(CoresetError, match=r"none of 269 cases is in the splits val \(269 in 'train'\)"):
        Pool.of([made_tables(uneven())], splits=("val",))


def test_a_declared_class_without_a_case_is_noted() -> None:
    chosen = select(made_pool({"CT_a": [[1, 3]] * 4}), cases=2)
    assert "1 of 3 declared classes have no case to choose from: CT_a/2 (class 2)" in chosen.notes
