"""Every command without what each extra brings: it does its work, or names the extra. Never a traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import without
from test_cli_wrong_paths import COMMANDS

from fve_pipeline.runtime.extras import OPTIONAL

EXTRAS = list(dict.fromkeys(one.extra for one in OPTIONAL))
# What cannot do without; all else does its work.
NEED = {
    "train": {"train", "predict", "weights check", "weights export", "coreset select by features"},
    "report": {"explain", "figure allocation", "figure encode", "figure views", "figure classes"},
    "s3": {"info of an object store"},
}
# `view` is asked for a case that is not there, or it would serve until it is stopped; `doctor` counts what lacks.
ENDS = {"view": {2}, "doctor": {0, 1}}


def told_by(extras: list[str], folder: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, without.__file__, ",".join(extras), str(folder)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_every_command_is_in_the_table() -> None:
    assert {*COMMANDS, "doctor", "catalogs list", "figure allocation"} <= set(without.COMMANDS)


@pytest.mark.parametrize(
    "extras",
    [EXTRAS, *(pytest.param([one], marks=pytest.mark.slow) for one in EXTRAS)],
    ids=lambda extras: "-".join(extras) if len(extras) == 1 else "the core alone",
)
def test_a_command_works_or_names_the_extra(extras: list[str], tmp_path: Path) -> None:
    found = told_by(extras, tmp_path)
    assert set(without.COMMANDS) - set(found) <= {"doctor", "info of an object store"}
    for command, (code, told) in ((name, one.values()) for name, one in found.items()):
        assert "Traceback" not in told, told
        naming = [one for one in extras if command in NEED.get(one, ())]
        if naming:
            assert code == 2, f"{command}: {told}"
            assert any(f"pip install 'fve-pipeline[{one}]'" in told for one in naming), f"{command}: {told}"
        else:
            assert code in ENDS.get(command, {0}), f"{command}: {told}"
