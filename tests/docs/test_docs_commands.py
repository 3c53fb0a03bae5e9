"""What the tutorials, how-tos and explanations show is run here, block by block, in a folder of its own."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pages
import pytest
from typer.testing import CliRunner

from fve_pipeline.build import build_store, mask_dtype
from fve_pipeline.catalog import load_catalog
from fve_pipeline.cli.main import app
from fve_pipeline.cohort import make_cohort
from fve_pipeline.demo import DEMO_CATALOGS
from fve_pipeline.execution import Executor
from fve_pipeline.presets import PRESETS
from fve_pipeline.progress import Silent
from fve_pipeline.sources import Dataset
from fve_pipeline.store.schema import StoreSettings

# Pages with builds, training or the whole demo take longer than half a minute together.
FAST = {"views", "splits", "two-maps", "differences", "challenge", "s3", "look"}
DEMO_ITSELF = "first-store"


@pytest.fixture(scope="session")
def small_demo(tmp_path_factory: pytest.TempPathFactory, executor: Executor[object]) -> Path:
    """A folder with ``demo/cohort`` and ``demo/slices.zarr``, as `fve demo` leaves them but smaller."""
    root = tmp_path_factory.mktemp("docs")
    make_cohort(root / "demo" / "cohort", size=96)
    datasets = [Dataset(load_catalog(name), root / "demo" / "cohort") for name in DEMO_CATALOGS]
    settings = StoreSettings.model_validate(
        {
            "preset": "paper",
            **PRESETS["paper"],
            "size": 64,
            "training_views": True,
            "mask_dtype": mask_dtype(datasets),
            "shard_samples": 256,
            "val_fraction": 0.25,
        }
    )
    build_store(
        datasets, str(root / "demo/slices.zarr"), root / "demo/slices.work", settings, executor, Silent()
    )
    return root


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
