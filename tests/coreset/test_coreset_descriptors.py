from __future__ import annotations

import numpy as np
from made_cases import made_tables, uneven

from fve_pipeline.coreset.descriptors import describe, describe_by_class, standardise
from fve_pipeline.coreset.table import CaseTable


def _table(labels: dict[str, list[list[int]]]) -> CaseTable:
    tables = made_tables(labels)
    return CaseTable.of(tables.cases, tables.classes)


def test_numbers_of_one_case_by_hand() -> None:
    table = _table({"CT_a": [[2], [1, 2]]})
    case = table.facts.to_pylist()[1]
    blocks = {block.kind: block for block in describe_by_class(table)}
    np.testing.assert_allclose(blocks["geometry"].values[1, :3], np.log(case["shape"]))
    np.testing.assert_allclose(blocks["geometry"].values[1, 3:], np.log(case["spacing"]), rtol=1e-6)
    np.testing.assert_allclose(blocks["intensity"].values[1, :7], case["quantiles"], rtol=1e-6)
    labels = dict(zip(blocks["labels"].names, blocks["labels"].values[1], strict=True))
    volume = np.array(case["class_voxels"]) * np.prod(np.array(case["spacing"], np.float64))
    np.testing.assert_allclose(labels["CT_a/2 (class 2):log_volume_mm3"], np.log1p(volume[1]), rtol=1e-6)
    np.testing.assert_allclose(labels["CT_a/1 (class 1):share"], volume[0] / volume.sum(), rtol=1e-6)
    np.testing.assert_allclose(
        labels["CT_a/2 (class 2):centroid_y"], case["class_centroid"][1][1] - 0.5, rtol=1e-5
    )
    np.testing.assert_allclose(
        labels["CT_a/1 (class 1):log_extent_x_mm"], np.log1p(case["class_extent"][0][2]), rtol=1e-6
    )
    absent = dict(zip(blocks["labels"].names, blocks["labels"].values[0], strict=True))
    assert all(value == 0 for name, value in absent.items() if name.startswith("CT_a/1 "))


def test_describe_sums_over_classes() -> None:
    table = _table({"CT_a": [[2], [1, 2], []]})
    labels = next(block for block in describe(table) if block.kind == "labels")
    values = dict(zip(labels.names, labels.values.T, strict=True))
    np.testing.assert_array_equal(values["classes"], [1, 2, 0])
    assert values["log_volume_mm3"][2] == 0
    assert values["centroid_z"][2] == 0.5
    np.testing.assert_allclose(
        values["centroid_x"][0], table.facts.to_pylist()[0]["class_centroid"][0][2], rtol=1e-5
    )


def test_standardised_columns_are_finite_centred_and_blocks_weigh_the_same() -> None:
    table = _table(uneven())
    blocks = describe_by_class(table)
    blocks[0].values[3, 0] = np.nan
    matrix = standardise(blocks)
    assert matrix.dtype == np.float32
    assert np.isfinite(matrix).all()
    np.testing.assert_allclose(matrix.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose((matrix**2).sum(1).mean(), len(blocks), rtol=0.01)


def test_a_table_of_labels_alone_is_described_by_presence() -> None:
    tables = made_tables({"CT_a": [[1], [2], [1]]})
    bare = tables.cases.select(["case", "dataset", "subject", "modality", "class_ids"])
    matrix = standardise(describe_by_class(CaseTable.of(bare, tables.classes)))
    assert np.array_equal(matrix[0], matrix[2])
    assert not np.array_equal(matrix[0], matrix[1])
    assert standardise(describe(CaseTable.of(bare, tables.classes))).shape[0] == 3
