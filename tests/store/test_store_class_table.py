"""One class table answers for everyone: which classes, which mask values, which renditions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fve_kernels.cpu_statistics import label_counts
from fve_pipeline.store.class_table import ClassEntry, ClassTable, MaskClasses
from fve_pipeline.store.tables import CLASSES_SCHEMA

LIVER = ClassEntry("ct", 1, "liver", (1,), side="", prompts=("liver in CT", "the liver"))
LUNG = ClassEntry("ct", 2, "left lung", (2,), side="left", renditions=("lung",))
BOTH = ClassEntry("ct", 9, "liver and lung", (1, 2))
CELLS = ClassEntry("cells", 1, "cell", (), instance=True)
TABLE = ClassTable((LIVER, LUNG, BOTH, CELLS))


def test_arrow_and_back() -> None:
    table = TABLE.to_arrow()
    assert table.schema == CLASSES_SCHEMA
    assert ClassTable.of(table) == TABLE


def test_classes_belong_to_their_dataset() -> None:
    assert TABLE.of_dataset("ct") == (LIVER, LUNG, BOTH)
    assert TABLE.of_dataset("unknown") == ()
    assert TABLE.find("cells", 1) == CELLS
    with pytest.raises(KeyError, match="cells has no class 9"):
        TABLE.find("cells", 9)


def test_a_rendition_shows_its_classes_and_keeps_their_ids() -> None:
    assert TABLE.shown("ct", "lung") == (LIVER, LUNG, BOTH)
    assert TABLE.of_masks("ct", "lung").kept is None  # every class is shown: nothing is masked out
    assert TABLE.shown("ct", "soft_tissue") == (LIVER, BOTH)
    assert TABLE.of_masks("ct", "soft_tissue").kept == (1, 2)  # 2 is a part of the union that is shown
    assert TABLE.of_masks("cells", "grey").kept is None
    assert TABLE.of_masks("unknown", "grey") == MaskClasses((), None)


def test_ids_of_hidden_classes_are_not_kept() -> None:
    table = ClassTable((LIVER, LUNG))
    assert table.of_masks("ct", "soft_tissue").kept == (1,)


def test_what_a_class_is_called() -> None:
    assert LIVER.words == ("liver in CT", "the liver")
    assert BOTH.words == ("liver and lung",)
    assert [entry.label for entry in TABLE] == [1, 2, None, 1]


@st.composite
def tables(draw: st.DrawFn) -> ClassTable:
    ids = st.lists(st.integers(0, 255), min_size=1, max_size=5, unique=True).map(tuple)
    shown = st.sampled_from([(), ("a",), ("b",), ("a", "b")])
    drawn = draw(st.lists(st.tuples(ids, shown), min_size=1, max_size=6))
    return ClassTable(
        tuple(ClassEntry("d", i, f"c{i}", own, renditions=names) for i, (own, names) in enumerate(drawn, 1))
    )


@given(tables(), st.sampled_from(["a", "b"]), st.integers(0, 1000))
def test_counts_are_those_of_the_places(table: ClassTable, rendition: str, seed: int) -> None:
    mask = np.random.default_rng(seed).integers(0, 256, (7, 9), dtype=np.uint8)
    present = table.of_masks("d", rendition).present(label_counts(mask))
    places = {e.class_id: int(e.values.where(mask).sum()) for e in table.shown("d", rendition)}
    assert present == {class_id: n for class_id, n in places.items() if n}


@given(tables(), st.sampled_from(["a", "b"]))
def test_what_is_kept_is_what_the_shown_classes_need(table: ClassTable, rendition: str) -> None:
    kept = table.of_masks("d", rendition).kept
    needed = {label for entry in table.shown("d", rendition) for label in entry.ids}
    if kept is None:
        assert table.shown("d", rendition) == table.entries
    else:
        assert list(kept) == sorted(needed)


def test_instances_are_everything_but_background() -> None:
    mask = np.array([[0, 1], [65535, 7]], np.uint16)
    values = CELLS.values
    assert values.where(mask).tolist() == [[False, True], [True, True]]
    assert values.pixels({0: 1, 1: 1, 7: 1, 65535: 1}) == 3
