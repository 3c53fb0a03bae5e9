"""Shared fixtures."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real files beside the checkout; tests that want them skip without them."""
    path = SHARED / "data"
    if not path.is_dir():
        pytest.skip("the real data files (../shared/data) are not beside this checkout")
    return path


@pytest.fixture(scope="session")
def golden() -> Path:
    """Numbers that the reference implementation gave; tests that want them skip without them."""
    path = SHARED / "golden"
    if not path.is_dir():
        pytest.skip("the golden numbers (../shared/golden) are not beside this checkout")
    return path
