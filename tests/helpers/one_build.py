"""Build a made cohort in this process, without Dask: ``python one_build.py ROOT OUT``, for tests that trace it."""

from __future__ import annotations

import sys
from pathlib import Path

import tiny
from inline import InlineExecutor

from fve_pipeline.errors import FveError

SETTINGS = tiny.settings(views_rule="axial", size=16, shard_samples=16)


def main(root: str, out: str) -> int:
    """0 when it is built, 2 with one line when it is refused; anything else ends in a traceback."""
    try:
        summary = tiny.build(tiny.datasets(Path(root)), Path(out), InlineExecutor(), settings=SETTINGS)
    except FveError as error:
        print(error, file=sys.stderr)
        return 2
    for failure in summary.failures:
        print(failure.reason, file=sys.stderr)
    return 1 if summary.failures else 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
