"""Questions about findings: their own masks, a share of them, and no negative that may be true."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

import reports as made

from fve_pipeline.loading import SliceDataset
from fve_pipeline.loading.findings import FindingMix, Sentences, contradicts, swapped
from fve_pipeline.store.reader import Store, open_store


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    root = tmp_path_factory.mktemp("findings")
    made.write_cohort(root / "data", range(6))
    return open_store(made.build(root / "data", root / "s.zarr"))


@pytest.fixture(scope="module")
def partial(tmp_path_factory: pytest.TempPathFactory) -> Store:
    root = tmp_path_factory.mktemp("partial")
    made.write_cohort(root / "data", range(3))
    return open_store(
        made.build(root / "data", root / "s.zarr", made.CATALOG.replace("complete = true\n", ""))
    )


def asked(store: Store, mix: FindingMix | None) -> list[tuple[str, str, str, bool]]:
    """(case, class, prompt, whether the mask is what the store says) of each question of an epoch."""
    dataset = SliceDataset(store, split=(), prompts=4, findings=mix)
    batch = dataset.read(range(len(dataset)))
    rows = store.index.select(["case"]).to_pylist()
    ids = {
        f"{row['case'].split('/')[1]} finding {row['finding'] + 1}": row["mask_ids"]
        for row in store.findings.to_pylist()
    }
    found = []
    for place, sample in enumerate(dataset.chosen.tolist()):
        mask = store.read_masks(sample, sample + 1)[0]
        for slot, (name, prompt) in enumerate(zip(batch.classes[place], batch.prompts[place], strict=True)):
            short = name.split("/", 1)[1]
            expected = (
                np.isin(mask, ids[short])
                if short in ids
                else np.zeros_like(mask)
                if short.startswith("absent")
                else np.isin(mask, {"lung": store.class_table.find("reports", 1).ids}.get(short, ()))
                if short == "lung"
                else np.isin(mask, store.class_table.find("reports", 2).ids)
            )
            same = np.array_equal(batch.masks[place, slot].numpy() != 0, expected != 0)
            found.append((rows[sample]["case"], short, prompt, same))
    return found


def test_a_share_of_the_questions_is_about_findings(store: Store) -> None:
    found = asked(store, FindingMix(ratio=0.5, negatives=0.5))
    assert all(same for *_, same in found)
    with_findings = set(store.findings["case"].to_pylist())
    of_those = [name for case, name, *_ in found if case in with_findings]
    share = sum("finding" in name for name in of_those) / len(of_those)
    assert 0.4 < share < 0.6
    absent = sum(name.startswith("absent") for name in of_those) / len(of_those)
    assert 0.15 < absent < 0.35
    assert all("finding" not in name for _, name, *_ in asked(store, None))
    assert asked(store, FindingMix()) == asked(store, FindingMix())


def test_no_negative_is_true_of_its_case(store: Store) -> None:
    own = {}
    for row in store.findings.to_pylist():
        own.setdefault(row["case"], []).extend(row["texts"])
    for case, name, prompt, _ in asked(store, FindingMix(ratio=1, negatives=1)):
        if name.startswith("absent"):
            assert contradicts(prompt, own.get(case, []))
            assert f"absent: {case.split('/')[1]} " not in name


def test_what_is_not_listed_is_no_negative_where_listing_is_partial(partial: Store) -> None:
    found = asked(partial, FindingMix(ratio=1, negatives=1))
    assert any("finding" in name for _, name, *_ in found)
    assert not any(name.startswith("absent") for _, name, *_ in found)


def test_hard_negatives_are_of_the_same_organ_and_side(store: Store) -> None:
    import pyarrow as pa

    from fve_pipeline.store.tables import FINDINGS_SCHEMA

    texts = {
        "a": "Nodule in the left lung",
        "b": "Mass in the left lung",
        "c": "Nodule in the right lung",
        "d": "Cyst of the kidney",
        "e": "6 mm nodule in the left lung, lower lobe",
    }
    rows = [
        {"case": f"reports/{case}", "dataset": "reports", "finding": 0, "texts": [text], "mask_ids": [7]}
        for case, text in texts.items()
    ]
    other = open_store(store.files.url)
    other.__dict__["findings"] = pa.Table.from_pylist(rows, schema=FINDINGS_SCHEMA)
    sentences = Sentences([other])
    picked = {sentences.absent(0, "reports", "reports/a", key) for key in range(20)}
    assert {entry.prompts for entry in picked if entry} == {("Mass in the left lung",)}
    assert {entry.side for entry in picked if entry} == {"left"}
    anything = {sentences.absent(0, "reports", "reports/zz", key) for key in range(20)}
    assert len(anything) == 5


@pytest.mark.parametrize(
    ("sentence", "own", "may"),
    [
        ("Nodule", ["nodule in the lung"], False),
        ("NODULE, in the lung.", ["Nodule in the lung"], False),
        ("Mass in the lung", ["Nodule in the lung"], True),
        ("anything", [], True),
    ],
)
def test_equal_and_contained_sentences_are_refused(sentence: str, own: list[str], may: bool) -> None:
    assert contradicts(sentence, own) is may


def test_negatives_of_many_findings_are_as_those_of_few(store: Store) -> None:
    """Some of many are tried: what is found is another case's, near where any is, and never true of the case."""
    import pyarrow as pa

    from fve_pipeline.store.tables import FINDINGS_SCHEMA

    rng = np.random.default_rng(0)
    places = ["left lung", "right lung", "liver", "left kidney", "spleen"]
    rows = [
        {
            "case": f"reports/{number // 3}",
            "dataset": "reports",
            "finding": number % 3,
            "texts": [
                f"{rng.choice(['cyst', 'mass', 'stone'])} {rng.integers(40)} in the {rng.choice(places)}"
            ],
            "mask_ids": [7],
        }
        for number in range(3000)
    ]
    other = open_store(store.files.url)
    other.__dict__["findings"] = pa.Table.from_pylist(rows, schema=FINDINGS_SCHEMA)
    sentences = Sentences([other])
    for case in range(0, 1000, 50):
        own = [row["texts"][0] for row in rows if row["case"] == f"reports/{case}"]
        picked = [sentences.absent(0, "reports", f"reports/{case}", key) for key in range(20)]
        assert len(set(picked)) > 10
        for entry in picked:
            assert entry is not None
            assert not entry.name.startswith(f"absent: {case} ")
            assert contradicts(entry.prompts[0], own)
            sides = {text.split(" in the ")[1] for text in own}
            shared = {text.split()[0] for text in own} | {side.split()[-1] for side in sides}
            assert shared & set(entry.prompts[0].split())


def test_a_swapped_sentence_is_another_ones() -> None:
    said = [("a nodule in the left lung",), ("nodule in the left lung", "x"), ("mass",), ("cyst",)]
    for seed in range(20):
        found = swapped(said, seed)
        assert all(text and contradicts(text, own) for text, own in zip(found, said, strict=True))
        assert found == swapped(said, seed)
    assert len({tuple(swapped(said, seed)) for seed in range(20)}) > 5
    assert swapped([("one",), ("one",)], 0) == [None, None]
