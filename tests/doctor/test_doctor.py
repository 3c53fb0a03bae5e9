"""fve doctor: what it finds on a machine that works, and on one that doesn't."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from typer.testing import CliRunner

import fve_kernels
from fve_pipeline.cli.main import app
from fve_pipeline.doctor import package_checks, self_test
from fve_pipeline.runtime.extras import OPTIONAL

SECTIONS = ["versions", "optional", "machine", "kernels", "codecs"]


def test_what_is_looked_at() -> None:
    result = CliRunner().invoke(app, ["doctor", "--no-test", "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["problems"] == 0
    assert list(dict.fromkeys(check["section"] for check in found["checks"])) == SECTIONS
    assert {check["status"] for check in found["checks"]} <= {"ok", "note"}


def test_the_self_test_reads_encodes_writes_and_loads() -> None:
    found = list(self_test())
    assert [check.name for check in found] == ["make", "read", "encode", "write", "load"]
    assert [check.status for check in found] == ["ok"] * 5, found


def test_a_machine_without_a_cache_or_a_temporary_folder(tmp_path: Path) -> None:
    package, blocked = tmp_path / "fve_kernels", tmp_path / "blocked"
    shutil.copytree(Path(fve_kernels.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    for file in (blocked, package / "__pycache__"):  # a file where a folder would have to be
        file.touch()
    script = (
        f"import sys, tempfile; tempfile.tempdir = {str(blocked)!r}\n"
        "from fve_pipeline.cli.main import app; app(['doctor'])"
    )
    environment = {
        **{name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"},
        "HOME": str(blocked),
        "XDG_CACHE_HOME": str(blocked / "cache"),
        "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path]),
        "NUMBA_OPT": "0",  # compiled twice as fast, and run once
    }
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stderr
    assert "point NUMBA_CACHE_DIR at a folder that can be written" in done.stdout
    assert "point TMPDIR at a folder that can be written" in done.stdout
    assert "1 problem." in done.stdout
    assert "Traceback" not in done.stderr


def test_torch_is_imported_and_not_only_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.setitem(sys.modules, "torch", None)  # importing it fails, and its version is known still
    [check] = [check for check in package_checks() if check.name == "torch"]
    assert check.status == "problem"
    assert "ModuleNotFoundError" in check.value
    assert "--force-reinstall torch" in check.advice


def test_a_missing_optional_package_is_a_note() -> None:
    script = (
        "import sys, importlib.metadata as metadata\n"
        "found = metadata.version\n"
        "def version(name):\n"
        "    if name == 'torch': raise metadata.PackageNotFoundError(name)\n"
        "    return found(name)\n"
        "metadata.version = version\n"
        "from fve_pipeline.doctor import package_checks\n"
        "[check] = [check for check in package_checks() if check.name == 'torch']\n"
        "print(check.status, check.advice)"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("note for training, prediction")
    assert "pip install 'fve-pipeline[train]'" in done.stdout


@pytest.mark.parametrize("name", ["numpy", "matplotlib"])
def test_a_package_older_than_the_oldest_allowed_is_a_problem(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = metadata.version
    monkeypatch.setattr(metadata, "version", lambda asked: "1.0" if asked == name else found(asked))
    [check] = [check for check in package_checks() if check.name == name]
    assert check.status == "problem"
    assert check.value.startswith("1.0, expected >=")
    assert check.advice.startswith(f"pip install '{name}>=")


def test_all_that_the_package_needs_is_looked_at() -> None:
    needed = [text for text in metadata.requires("fve-pipeline") or () if "extra" not in text]
    looked_at = {check.name for check in package_checks() if check.section == "versions"}
    assert looked_at == {"fve_pipeline", "Python", *(re.split(r"[^\w-]", text)[0] for text in needed)}


def test_every_optional_package_is_one_of_an_extra() -> None:
    extras = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    for one in OPTIONAL:
        [line] = [line for line in extras.splitlines() if line.startswith(f"{one.extra} = ")]
        assert f'"{one.package}' in line
