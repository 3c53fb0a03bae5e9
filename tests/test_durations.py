"""tests/durations.json is what it says: tests that exist, none over ten seconds, two processes done in four minutes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from durations import LONGEST, longest_file_first, recorded

ROOT = Path(__file__).resolve().parents[1]


def test_every_test_recorded_is_there() -> None:
    for name in recorded():
        file, *_, function = name.split("::")
        assert re.search(rf"def {re.escape(function.partition('[')[0])}\(", _source(file)), (
            f"{name} is gone: make durations"
        )


def _source(file: str) -> str:
    """Return a test file with the classes of helpers that it may subclass."""
    suites = (ROOT / "tests/helpers").glob("*conformance.py")
    path = ROOT / file
    assert path.is_file(), f"{file} is gone: make durations"
    return "\n".join(one.read_text() for one in (path, *suites))


def test_none_takes_over_ten_seconds() -> None:
    assert {name: seconds for name, seconds in recorded().items() if seconds > LONGEST} == {}


def test_the_suite_takes_two_processes_four_minutes_at_most() -> None:
    assert sum(recorded().values()) / 2 < 240


def test_the_longest_file_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    class Item:
        def __init__(self, nodeid: str) -> None:
            self.nodeid = nodeid

    names = ["a::one", "b::one", "c::one", "a::two", "b::two"]
    monkeypatch.setattr("durations.recorded", lambda: {"b::two": 3.0, "a::one": 1.0})
    assert [item.nodeid for item in longest_file_first([Item(name) for name in names])] == [  # type: ignore[misc]
        "b::one", "b::two", "a::one", "a::two", "c::one"
    ]  # fmt: skip
