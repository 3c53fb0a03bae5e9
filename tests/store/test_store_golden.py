"""Stores of every version of the format stay readable: small ones are kept here, made once.

``python tests/store/test_store_golden.py FOLDER`` made ``golden_v1``.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import store_maker as maker

from fve_pipeline.files.local import LocalFiles
from fve_pipeline.store.reader import open_store
from fve_pipeline.store.verify import verify

ROWS = maker.plan({"a": 3, "b": 2})
CONTENT_ID = "8c41b836daab25e1edd6c3d0b1896d8c71d1e7e2591c20986689ec729685df56"


GOLDEN = Path(__file__).with_name("golden_v1")


def mask_level(store: Path) -> int:
    """As the array's metadata say."""
    [sharding] = json.loads((store / "masks" / "zarr.json").read_text())["codecs"]
    level: int = sharding["configuration"]["codecs"][1]["configuration"]["level"]
    return level


# It was made by hand, with nulls where a build has none: shape and spacing of its cases.
@pytest.mark.skipif(
    int(pa.__version__.partition(".")[0]) < 26, reason="pyarrow reads null lists of fixed size from 26"
)
def test_version_1() -> None:
    store = open_store(GOLDEN)
    assert verify(store, deep=True) == []
    assert store.manifest.content_id == CONTENT_ID
    assert np.array_equal(store.read_images(0, 5), [maker.pixels(row, 16) for row in ROWS])
    assert np.array_equal(store.images[...], store.read_images(0, 5))
    assert np.array_equal(store.read_masks(0, 5), [maker.mask_of(row, 16, "uint8") for row in ROWS])
    assert store.index["case"].to_pylist() == ["made/a"] * 3 + ["made/b"] * 2
    assert mask_level(GOLDEN) == 1


def test_masks_of_two_encodings_in_one_store(tmp_path: Path) -> None:
    """Version 2 of the encoding compresses masks harder; what version 1 wrote stays as it is beside them."""
    place = tmp_path / "grown"
    shutil.copytree(GOLDEN, place)
    rows = maker.plan({"a": 3, "b": 2, "c": 6})
    maker.build(LocalFiles(place), rows, maker.settings(), open_store(place).manifest)
    store = open_store(place)
    assert mask_level(place) == 10
    assert verify(store, deep=True) == []
    assert np.array_equal(store.read_masks(0, 11), [maker.mask_of(row, 16, "uint8") for row in rows])
    assert np.array_equal(store.masks[...], store.read_masks(0, 11))


if __name__ == "__main__":
    maker.build(LocalFiles(Path(sys.argv[1])), ROWS, maker.settings())
