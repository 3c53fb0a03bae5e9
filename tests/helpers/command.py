"""The command line in this process: fast, and its exit code as a shell would see it."""

from __future__ import annotations

import pytest

from fve_pipeline.cli import main as cli

__all__ = ["run"]


def run(monkeypatch: pytest.MonkeyPatch, *args: object) -> int:
    """Run ``fve`` with these arguments and return its exit code."""
    monkeypatch.setattr("sys.argv", ["fve", *map(str, args)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    return int(stopped.value.code or 0)
