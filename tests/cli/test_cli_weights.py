"""``fve weights``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fve_pipeline.cli.main import app

torch = pytest.importorskip("torch")


def test_it_says_where_the_released_file_is() -> None:
    result = CliRunner().invoke(app, ["weights"])
    assert result.exit_code == 0
    assert "biomedparse_v2.ckpt" in result.output
    assert "fve weights check" in result.output


def test_check_reads_a_file(tmp_path: Path) -> None:
    from fve_pipeline.segmenter.checkpoint import save_weights
    from fve_pipeline.segmenter.config import preset
    from fve_pipeline.segmenter.model import Segmenter

    file = tmp_path / "w.pt"
    save_weights(file, Segmenter(preset("small")), {"order": 2})
    good = CliRunner().invoke(app, ["weights", "check", str(file), "--json"])
    assert good.exit_code == 0
    report = json.loads(good.output)
    assert report["usable"]
    assert report["model"] == "small"
    assert report["settings"] == {"order": 2}

    bad = CliRunner().invoke(app, ["weights", "check", str(file), "--preset", "tiny"])
    assert bad.exit_code == 1
    assert "missing: " in bad.output
    assert "cannot be used" in bad.output


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["weights", "check", str(tmp_path / "no.ckpt")])
    assert result.exit_code != 0
    assert "no such file" in str(result.exception)
