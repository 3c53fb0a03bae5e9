"""What the tutorials, how-tos and explanations show is run here, block by block, in a folder of its own."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pages
import pytest
import tiny
from rtstruct_maker import write_rtstruct
from typer.testing import CliRunner
from volume_make import ramp, write_series

from fve_pipeline.build.cases import Dataset
from fve_pipeline.build.settings import settings_for
from fve_pipeline.catalog import load_catalog
from fve_pipeline.cli.main import app
from fve_pipeline.demo.cohort import make_cohort
from fve_pipeline.demo.run import DEMO_CATALOGS
from fve_pipeline.runtime.executor import Executor
from fve_pipeline.store.reader import open_store

# Pages with builds, training or the whole demo take longer than half a minute together.
FAST = {"views", "stored", "splits", "two-maps", "differences", "challenge", "look"}
DEMO_ITSELF = "first-store"


@pytest.fixture(scope="session")
def small_demo(tmp_path_factory: pytest.TempPathFactory, executor: Executor) -> Path:
    """A folder with ``demo/cohort`` and ``demo/slices.zarr``, as `fve demo` leaves them but smaller."""
    root = tmp_path_factory.mktemp("docs")
    make_cohort(root / "demo" / "cohort", size=96)
    datasets = [Dataset(load_catalog(name), root / "demo" / "cohort") for name in DEMO_CATALOGS]
    settings = settings_for(datasets, size=64, shard_samples=256, val_fraction=0.25)
    tiny.build(datasets, root / "demo/slices.zarr", executor, settings=settings)
    return root


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """``s3://bucket``, as this process and the workers it starts see it."""
    pytest.importorskip("moto.server", reason="the S3 endpoint of these tests is moto's")
    from s3_server import S3Server

    with S3Server() as server:
        for name, value in server.make_bucket("bucket").items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
        yield


def make_export(folder: Path) -> None:
    """Write ``pacs``, two patients' CT and RTSTRUCT as an archive exports them, and ``model.pt``, which was not trained."""
    for number, (study, called) in enumerate((("1001/20240311", "Heart"), ("1002/20240402", "COR"))):
        places = [(-20.0, -30.0, 2.5 * n) for n in range(4)]
        write_series(
            folder / "pacs" / study / "2", ramp((4, 40, 40)) % (300 + number) + 900, places, uid=f"1.2.{number}",
            StudyInstanceUID=f"1.3.{number}", FrameOfReferenceUID=f"1.4.{number}",
        )  # fmt: skip
        corners = np.array([(-15.0, -25.0), (-8.0, -25.0), (-8.0, -15.0), (-15.0, -15.0)])
        drawn = [np.column_stack([corners, np.full(4, z)]) for _, _, z in places]
        structures = {called: drawn, "Lung L": [points + np.array([8, 0, 0]) for points in drawn]}
        write_rtstruct(
            folder / "pacs" / study / "7" / "1.dcm", structures, series=f"1.2.{number}", frame=f"1.4.{number}"
        )
    from fve_pipeline.segmenter.checkpoint import save_weights
    from fve_pipeline.segmenter.config import preset
    from fve_pipeline.segmenter.model import Segmenter

    recorded = {"order": 1, "boundary": "repeat", "resize": "opencv", "size": 64}
    save_weights(folder / "model.pt", Segmenter(preset("small"), seed=1), recorded)


def _marked(page: Path) -> object:
    name = page.relative_to(pages.DOCS).with_suffix("").as_posix()
    return pytest.param(page, id=name, marks=() if page.stem in FAST else pytest.mark.slow)


@pytest.mark.parametrize("page", [_marked(page) for page in pages.RUN])
def test_page(
    page: Path, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = pages.blocks(page)
    if (
        any("demo/" in block.text for block in blocks if block.kind in ("sh", "python"))
        and page.stem != DEMO_ITSELF
    ):
        shutil.copytree(request.getfixturevalue("small_demo"), tmp_path, dirs_exist_ok=True)
    if page.stem == "pacs":
        make_export(tmp_path)
    if page.stem == "s3":
        request.getfixturevalue("bucket")
    monkeypatch.chdir(tmp_path)
    for block in blocks:
        if block.kind == "toml" and (name := re.match(r"# (\S+\.toml)\n", block.text)):
            Path(name[1]).write_text(block.text)
    scope: dict[str, object] = {"__name__": "__docs__"}
    for block in blocks:
        if block.kind == "sh":
            for words in pages.commands(block.text):
                result = CliRunner().invoke(app, words[1:], catch_exceptions=False, env={"COLUMNS": "200"})
                assert result.exit_code == 0, f"{' '.join(words)}\n{result.output}"
        elif block.kind == "python":
            exec(compile(block.text, str(page), "exec"), scope)


def test_every_sh_block_holds_commands_that_run() -> None:
    for page in pages.RUN:
        for block in pages.blocks(page):
            if block.kind == "sh":
                lines = [line for line in block.text.splitlines() if line.strip()]
                assert len(list(pages.commands(block.text))) == len(lines), f"{page}: {block.text}"


@pytest.mark.slow
def test_the_slurm_job_runs(small_demo: Path, tmp_path: Path) -> None:
    """The page's script as it stands, but for names and sizes; srun starts one worker, here."""
    [script] = [
        block.text for block in pages.blocks(pages.DOCS / "how-to" / "cluster.md") if "#SBATCH" in block.text
    ]
    for there, here in {
        "amos22_ct --root /shared/amos22 --out /shared/amos.zarr": "demo_npz --root cohort --out npz.zarr --size 32",
        "--memory 200GB": "--memory 2GB",
    }.items():
        assert there in script
        script = script.replace(there, here)
    shutil.copytree(small_demo / "demo" / "cohort", tmp_path / "cohort")
    programs = {"fve": "-m fve_pipeline", "dask": "-m dask", "python": ""}
    (tmp_path / "bin").mkdir()
    for name, arguments in programs.items():
        _program(tmp_path / "bin" / name, f'exec {sys.executable} {arguments} "$@"')
    _program(tmp_path / "bin" / "srun", 'exec "$@"')
    environment = os.environ | {
        "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(sys.path),
        "SLURM_JOB_ID": "17",
    }
    with subprocess.Popen(
        ["bash", "-e", "-c", script], cwd=tmp_path, env=environment, start_new_session=True
    ) as process:
        try:
            assert process.wait(300) == 0
        finally:  # what SLURM does at a job's end
            os.killpg(process.pid, signal.SIGKILL)
    assert open_store(tmp_path / "npz.zarr").manifest.n_cases == 4


def _program(path: Path, line: str) -> None:
    path.write_text(f"#!/bin/sh\n{line}\n")
    path.chmod(0o755)
