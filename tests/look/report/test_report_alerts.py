"""Things to look at are found where they were put, and nowhere else."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from made_cases import made_tables

from fve_pipeline.coreset.table import CaseTable
from fve_pipeline.demo.cohort.make import _abdomen
from fve_pipeline.imaging.intensity import LOST
from fve_pipeline.look.report.alerts import find_alerts
from fve_pipeline.look.report.mirrored import mirrored_cases


def _calm(cases: int = 20) -> dict[str, list[object]]:
    """Columns of a dataset in which nothing stands out: three classes, two of them off the middle."""
    rng = np.random.default_rng(0)
    centres = np.array([[0.5, 0.4, 0.25], [0.6, 0.5, 0.75], [0.5, 0.5, 0.5]])
    return {
        "class_ids": [[1, 2, 3]] * cases,
        "class_voxels": [rng.integers(90_000, 110_000, 3).tolist() for _ in range(cases)],
        "class_centroid": [(centres + rng.normal(0, 0.01, (3, 3))).tolist() for _ in range(cases)],
        "spacing": [[1.0, 1.0, 1.0]] * cases,
        "quantiles": [[0, 2, 20, 60 + int(rng.integers(3)), 120, 200, 250] for _ in range(cases)],
    }


def _table(columns: dict[str, list[object]], **strings: list[str]) -> CaseTable:
    tables = made_tables({"CT_a": [[1, 2, 3]] * len(columns["class_ids"])})
    cases = tables.cases
    for name, values in {**columns, **strings}.items():
        if name not in cases.column_names:
            cases = cases.append_column(name, pa.array(values))
            continue
        place = cases.column_names.index(name)
        cases = cases.set_column(place, name, pa.array(values, cases.schema.field(name).type))
    return CaseTable.of(cases, tables.classes)


def test_nothing_stands_out() -> None:
    assert find_alerts(_table(_calm())) == []


def test_mirrored_labels_are_named_with_their_axis() -> None:
    columns = _calm()
    centroid = np.array(columns["class_centroid"][7])
    centroid[:, 2] = 1 - centroid[:, 2]
    columns["class_centroid"][7] = centroid.tolist()
    assert mirrored_cases(_table(columns)) == [(7, "left and right: 2 of 2 classes")]


def test_a_place_that_varies_as_much_as_it_is_off_the_middle_tells_nothing() -> None:
    columns = _calm()
    rng = np.random.default_rng(1)
    for centres in columns["class_centroid"]:
        for centre in centres:
            centre[0] += float(
                rng.normal(0, 0.1)
            )  # a scan's length differs, and with it where organs lie along it
    assert mirrored_cases(_table(columns)) == []


@pytest.mark.slow
@pytest.mark.parametrize("cases", [4, 16])
def test_good_made_cases_are_not_called_mirrored(cases: int) -> None:
    named = 0
    for cohort in range(240 // cases):
        found = []
        for number in range(1, cases + 1):
            _, labels, _, _ = _abdomen(
                (number - 1) % 4 + 1, seed=cohort * 100 + number, kind=1, size=48, slices=48
            )
            found.append([(np.argwhere(labels == i).mean(0) + 0.5) / labels.shape for i in (1, 2, 3, 4, 5)])
        tables = made_tables({"CT_a": [[1, 2, 3, 4, 5]] * cases})
        column = pa.array([[list(map(float, c)) for c in case] for case in found])
        place = tables.cases.column_names.index("class_centroid")
        table = tables.cases.set_column(
            place, "class_centroid", column.cast(tables.cases.schema.field(place).type)
        )
        named += len({row for row, _ in mirrored_cases(CaseTable.of(table, tables.classes))})
    assert named <= (5 if cases == 4 else 0)


def test_outliers_of_volume_and_intensity() -> None:
    columns = _calm()
    columns["class_voxels"][3][1] = 50
    columns["quantiles"][4] = [0, 2, 20, 160, 220, 250, 255]
    columns["quantiles"][5] = [0, 0, 0, 0, 0, 1, 2]
    found = {alert.title: alert.items for alert in find_alerts(_table(columns))}
    (volume,) = found["Unusual volumes"]
    assert volume.startswith("CT_a/c3: CT_a/2 (class 2) has 0.05 mL")
    assert {item.split(":")[0] for item in found["Unusual intensities"]} == {"CT_a/c4", "CT_a/c5"}
    assert "CT_a/c5: nearly black" in found["Unusual intensities"]


def test_what_was_lost_below_zero_is_to_be_checked() -> None:
    notes: list[object] = [[] for _ in _calm()["class_ids"]]
    notes[2] = [f"image: 39% {LOST}", "no spacing in the file: 1 mm assumed"]
    found = {alert.title: alert for alert in find_alerts(_table({**_calm(), "notes": notes}))}
    assert found["Values below zero"].level == "check"
    assert found["Values below zero"].items == (f"CT_a/c2: image: 39% {LOST}",)
    assert found["Notes of the build"].items == ("CT_a/c2: no spacing in the file: 1 mm assumed",)


def test_leaks_duplicates_and_siblings() -> None:
    split = ["train"] * 19 + ["val"]
    pixels = [f"p{i}" for i in range(20)]
    pixels[19], pixels[6] = "p0", "p5"
    subjects = [f"s{i}" for i in range(20)]
    subjects[19] = "s2"
    found = find_alerts(_table(_calm(), split=split, pixels_sha256=pixels, subject=subjects))
    assert [alert.level for alert in found] == ["problem", "check", "note"]
    assert found[0].items == (
        "pixels: CT_a/c0 (train), CT_a/c19 (val)",
        "subject: CT_a/c2 (train), CT_a/c19 (val)",
    )
    assert len(found[1].items) == 2
    assert found[2].title == "Subjects with several cases"


def test_few_positives_and_empty_cases() -> None:
    columns = _calm()
    for row in range(17):
        for name in ("class_ids", "class_voxels", "class_centroid"):
            columns[name][row] = columns[name][row][:2]
    for name in ("class_ids", "class_voxels", "class_centroid"):
        columns[name][0] = []
    found = {alert.title: alert.items for alert in find_alerts(_table(columns))}
    assert found["Classes with few positives"] == ("CT_a/3 (class 3): 3 in training, 3 in all",)
    assert found["Cases without any label"] == ("CT_a/c0",)
