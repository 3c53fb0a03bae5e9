"""The code in docs/loading.md runs, on a made store."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

DOCS = Path(__file__).resolve().parents[2] / "docs" / "loading.md"
BLOCKS = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_each_example_runs(number: int, stores: dict[str, Path]) -> None:
    code = BLOCKS[number].replace('"slices.zarr"', repr(str(stores["encoded"])))
    names: dict[str, object] = {}
    exec(code.replace('"lazy.zarr"', repr(str(stores["slices"]))), names)
    if "batch" in names:
        assert isinstance(names["batch"].images, torch.Tensor)  # type: ignore[attr-defined]
    if "again" in names:
        samples = next(iter(names["again"])).samples  # type: ignore[call-overload]
        assert len(samples) == 4
