"""Stores of every version of the format stay readable: small ones are kept here, made once.

``python tests/store/test_store_golden.py FOLDER`` made ``golden_v1``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import store_maker as maker

from fve_pipeline.store.files import LocalFiles
from fve_pipeline.store.reader import open_store
from fve_pipeline.store.verify import verify

ROWS = maker.plan({"a": 3, "b": 2})
CONTENT_ID = "8c41b836daab25e1edd6c3d0b1896d8c71d1e7e2591c20986689ec729685df56"


def test_version_1() -> None:
    store = open_store(Path(__file__).with_name("golden_v1"))
    assert verify(store, deep=True) == []
    assert store.manifest.content_id == CONTENT_ID
    assert np.array_equal(store.read_images(0, 5), [maker.pixels(row, 16) for row in ROWS])
    assert np.array_equal(store.images[...], store.read_images(0, 5))
    assert np.array_equal(store.read_masks(0, 5), [maker.mask_of(row, 16, "uint8") for row in ROWS])
    assert store.index["case"].to_pylist() == ["made/a"] * 3 + ["made/b"] * 2


if __name__ == "__main__":
    maker.build(LocalFiles(Path(sys.argv[1])), ROWS, maker.settings())
