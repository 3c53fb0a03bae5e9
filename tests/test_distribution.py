"""What an index and an installer get: metadata, the wheel, and the sdist that builds the same wheel."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
from email import message_from_bytes
from pathlib import Path
from zipfile import ZipFile

import pytest

import fve_pipeline

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
# conda-forge's names, where they are not the index's.
CONDA = {"opencv-python-headless": "opencv", "isal": "python-isal"}


def run(*command: object, cwd: Path, **environment: str) -> str:
    """Run a command as a user's shell would, with nothing of this checkout on Python's path."""
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | environment
    done = subprocess.run([*map(str, command)], cwd=cwd, env=own, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_the_conda_recipe_asks_for_what_the_package_asks_for() -> None:
    recipe = (ROOT / "conda/meta.yaml").read_text()
    listed = re.findall(r"^    - (\S+) >=(\S+)$", recipe.partition("  run:")[2], flags=re.MULTILINE)
    wanted = [re.split(">=", text) for text in PROJECT["dependencies"]]
    assert [tuple(one) for one in listed if one[0] != "python"] == [
        (CONDA.get(name, name).lower(), version) for name, version in wanted
    ]


def test_the_pythons_that_are_claimed_are_those_that_are_tested() -> None:
    claimed = [text.rpartition(" ")[2] for text in PROJECT["classifiers"] if "Python :: 3." in text]
    assert str(claimed).replace("'", '"') in (ROOT / ".github/workflows/ci.yml").read_text()
    assert PROJECT["requires-python"] == f">={claimed[0]}"


def test_every_make_target_of_the_workflow_exists() -> None:
    text = (ROOT / ".github/workflows/ci.yml").read_text()
    [matrix] = re.findall(r"target: \[(.*)\]", text)
    wanted = {*re.findall(r"run: make ([a-z-]+)", text), *matrix.split(", ")}
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert wanted <= targets, wanted - targets


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    pytest.importorskip("hatchling")
    pytest.importorskip("hatch_fancy_pypi_readme")
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "-d", out, cwd=ROOT)
    [wheel], [sdist] = out.glob("*.whl"), out.glob("*.tar.gz")
    return {"wheel": wheel, "sdist": sdist}


def test_the_metadata(built: dict[str, Path]) -> None:
    with ZipFile(built["wheel"]) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = message_from_bytes(archive.read(name))
    assert metadata["Version"] == fve_pipeline.__version__
    assert len(metadata.get_all("Project-URL", [])) == 4
    source = PROJECT["urls"]["Source"]
    links = re.findall(r"\]\(([^)]+)\)", str(metadata.get_payload()))
    assert links
    for link in links:
        assert link.startswith(("https://", "#")), link
        if link.startswith(source):
            path = re.sub(r"^/(raw|blob|tree)/main/|#.*", "", link.removeprefix(source))
            assert (ROOT / path).exists(), link


@pytest.mark.slow
def test_the_sdist_builds_the_same_wheel_and_passes_its_own_tests(
    built: dict[str, Path], tmp_path: Path
) -> None:
    with tarfile.open(built["sdist"]) as archive:
        archive.extractall(tmp_path, filter="data")
    [source] = tmp_path.iterdir()
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path / "again", cwd=source)
    [again] = (tmp_path / "again").iterdir()
    assert again.name == built["wheel"].name
    with ZipFile(again) as one, ZipFile(built["wheel"]) as other:
        assert one.namelist() == other.namelist()
        assert all(one.read(name) == other.read(name) for name in one.namelist())
    # What reads files beside the packages; the whole suite is run from an sdist by hand before a release.
    own = [
        "tests/docs/test_docs_changes.py",
        "tests/docs/test_docs_architecture.py",
        "tests/test_distribution.py",
    ]
    own += [
        "tests/prediction/test_container.py::test_dockerfile_names_known_instructions_and_files_that_exist"
    ]
    run(sys.executable, "-m", "pytest", "-q", "-m", "not slow", *own, cwd=source)


@pytest.mark.slow
def test_the_demo_runs_from_the_wheel(built: dict[str, Path], tmp_path: Path) -> None:
    """In an environment that has the wheel, and this one's dependencies without this checkout."""
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "fresh", cwd=tmp_path)
    python = tmp_path / "fresh/bin/python"
    [site] = (tmp_path / "fresh/lib").glob("python*/site-packages")
    run(
        sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", built["wheel"], cwd=tmp_path
    )  # fmt: skip
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"])
    where = run(python, "-c", "import fve_pipeline, fve_kernels; print(fve_pipeline.__file__)", cwd=tmp_path)
    assert where.startswith(str(site))
    run(tmp_path / "fresh/bin/fve", "demo", "--out", "demo", cwd=tmp_path)
    assert (tmp_path / "demo/slices.zarr/manifest.json").is_file()
