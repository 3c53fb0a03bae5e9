"""The examples in docstrings give what they show."""

from __future__ import annotations

import doctest
import importlib

import pytest
from test_house import modules

WITH_EXAMPLES = [name for name, (path, _) in modules().items() if "\n    >>> " in path.read_text("utf-8")]


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples(name: str) -> None:
    found = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert found.attempted
    assert not found.failed
