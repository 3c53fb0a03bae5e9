"""How long tests take: recorded in tests/durations.json by ``make durations``, used to begin with the longest files."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import pytest

__all__ = ["FILE", "LONGEST", "Recorder", "longest_file_first", "recorded"]

FILE = Path(__file__).parents[1] / "durations.json"
LONGEST = 10.0  # seconds that a test may take outside of ``slow``
_SHORTEST = 0.5  # what takes less is not worth a line


def recorded() -> dict[str, float]:
    """Return seconds of each test that takes over half a second, its module's set-up included."""
    found: dict[str, float] = json.loads(FILE.read_text())
    return found


def longest_file_first(items: list[pytest.Item]) -> list[pytest.Item]:
    """Return the tests file by file, the longest file first: processes that take whole files end together."""
    total: defaultdict[str, float] = defaultdict(float)
    for name, seconds in recorded().items():
        total[name.partition("::")[0]] += seconds
    files = sorted({item.nodeid.partition("::")[0] for item in items}, key=lambda name: (-total[name], name))
    place = {name: number for number, name in enumerate(files)}
    return sorted(items, key=lambda item: place[item.nodeid.partition("::")[0]])


class Recorder:
    """A plugin of the process that collects reports: names tests over ten seconds, and writes the file when asked."""

    def __init__(self, write: bool) -> None:
        self._write = write
        self._taken: defaultdict[str, float] = defaultdict(float)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if "slow" not in report.keywords:
            self._taken[report.nodeid] += report.duration

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for name, seconds in sorted(self._taken.items(), key=lambda pair: -pair[1]):
            if seconds > LONGEST:
                terminalreporter.write_line(f"{seconds:.1f} s: {name}: mend it, or mark it slow")
        if self._write:
            lines = {name: round(s, 1) for name, s in sorted(self._taken.items()) if s >= _SHORTEST}
            FILE.write_text(json.dumps(lines, indent=0) + "\n")
