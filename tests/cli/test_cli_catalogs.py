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
    assert [(one["kind"], one["case"]) for one in said["problems"]] == [
        ("missing labels", "b"),
        ("cannot be read", "a"),
    ]


def test_drafts_are_written_once(tmp_path: Path) -> None:
    folder = tmp_path / "Dataset001_X"
    for path in ("imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz"):
        (folder / path).parent.mkdir(parents=True)
        (folder / path).touch()
    about = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "liver": 1}, "file_ending": ".nii.gz"}
    (folder / "dataset.json").write_text(json.dumps(about))
    out = tmp_path / "x.toml"

    first = RUN.invoke(app, ["catalogs", "from-nnunet", str(folder), "--out", str(out)])
    again = RUN.invoke(app, ["catalogs", "from-nnunet", str(folder), "--out", str(out)])
    forced = RUN.invoke(app, ["catalogs", "from-nnunet", str(folder), "--out", str(out), "--force"])

    assert first.exit_code == forced.exit_code == 0
    assert "1 classes. Read it, then:" in first.stdout
    assert "exists already" in str(again.exception)
    shown = RUN.invoke(app, ["catalogs", "show", str(out), "--json"])
    assert json.loads(shown.stdout)["classes"][0]["name"] == "liver"
