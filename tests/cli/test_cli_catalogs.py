"""``fve catalogs``."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from fve_pipeline.cli.main import app

RUN = CliRunner()


def test_list() -> None:
    result = RUN.invoke(app, ["catalogs", "list"])

    assert result.exit_code == 0
    assert "totalsegmentator_ct" in result.stdout

    listed = json.loads(RUN.invoke(app, ["catalogs", "list", "--json"]).stdout)
    assert {one["name"]: one["classes"] for one in listed}["totalsegmentator_ct"] == 117


def test_show() -> None:
    result = RUN.invoke(app, ["catalogs", "show", "demo_ct"])

    assert result.exit_code == 0
    assert "kidneys" in result.stdout
    assert "ct/{case}/image.nii.gz" in result.stdout

    shown = json.loads(RUN.invoke(app, ["catalogs", "show", "amos22_ct", "--json"]).stdout)
    assert shown["classes"][5]["name"] == "liver"


def test_check(tmp_path: Path) -> None:
    for path in ("mr/a.nrrd", "mr/a_seg.nrrd", "mr/b.nrrd"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).touch()

    result = RUN.invoke(app, ["catalogs", "check", "demo_mr", "--root", str(tmp_path), "--json"])

    assert result.exit_code == 1
    said = json.loads(result.stdout)
    assert said["cases"] == {"demo_mr": 2}
    assert [(one["kind"], one["case"]) for one in said["problems"]] == [("missing labels", "b")]
