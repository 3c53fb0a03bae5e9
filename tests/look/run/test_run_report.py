"""Runs at a glance: the picture in a run's folder, and the page of one or several."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import chromium
import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from fve_pipeline.cli.main import app
from fve_pipeline.errors import ReportError
from fve_pipeline.look.run.history import names_apart, read_history
from fve_pipeline.look.run.picture import ProgressPicture, draw_runs


def scored(dice: float | None) -> dict[str, Any]:
    return {"dice": dice, "dice_raw": 0.5, "precision": None, "recall": 0.25, "subjects": 2}


def make_run(folder: Path, loss: float = 2.0, **settings: Any) -> Path:
    """A run of eight steps and two validations, as its folder holds it."""
    (folder / "images").mkdir(parents=True)
    lines: list[dict[str, Any]] = []
    for step in range(1, 9):
        lines.append(
            {"what": "train", "step": step, "loss": loss / step, "samples_per_s": 4.0, "data_wait": 0.25}
        )
        if step % 4 == 0:
            classes = {"made/disc": scored(step / 10), "made/square": scored(None)}
            lines.append({"what": "validation", "step": step, "dice": step / 10, "classes": classes})
            picture = np.full((8, 8, 3), step, np.uint8)
            cv2.imwrite(str(folder / "images" / f"step-{step:08d}-case-0.png"), picture)
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"what": "tr')
    (folder / "settings.json").write_text(
        json.dumps({"run": {"seed": 0, **settings}, "data": {"prompts": 2}})
    )
    return folder


def test_a_history_is_the_whole_lines_of_a_log(tmp_path: Path) -> None:
    run = read_history(make_run(tmp_path / "a"))
    assert [line["step"] for line in run.steps] == list(range(1, 9))
    assert run.dice("made/disc") == [(4, 0.4), (8, 0.8)]
    assert run.dice("made/square") == []
    assert [path.name for path in run.pictures] == ["step-00000008-case-0.png"]
    with pytest.raises(ReportError, match=r"no run of fve train .* Did you mean .*/a\?"):
        read_history(tmp_path / "aa")


def test_the_picture_tells_each_class_and_the_time_lost(tmp_path: Path) -> None:
    figure = draw_runs([read_history(make_run(tmp_path / "a"))])
    loss, dice, speed, waiting = figure.axes
    assert loss.lines[1].get_ydata().tolist() == [2.0 / step for step in range(1, 9)]
    assert {line.get_label() for line in dice.lines} == {"made/disc 0.80", "mean of 1 0.80"}
    assert speed.lines[0].get_ydata()[-1] == pytest.approx(4.0)
    assert waiting.collections[0].get_paths()[0].vertices[:, 1].max() == pytest.approx(25.0)


def test_two_runs_lie_over_each_other(tmp_path: Path) -> None:
    runs = [read_history(make_run(tmp_path / name)) for name in ("a", "b")]
    assert names_apart(runs) == ["a", "b"]
    assert [line.get_label() for line in draw_runs(runs).axes[1].lines] == ["a", "b"]


def test_a_tracker_draws_at_a_validation_and_at_the_end(tmp_path: Path) -> None:
    run = make_run(tmp_path / "a")
    tracker, picture = ProgressPicture(run), run / "progress.png"
    tracker.numbers([("train/loss", 1.0)], 1)
    assert not picture.exists()
    tracker.numbers([("validation/dice", 0.5)], 4)
    assert cv2.imread(str(picture)).shape[1] > 1000
    picture.unlink()
    tracker.close()
    assert picture.exists()


def test_the_page_has_curves_scores_pictures_and_settings(tmp_path: Path) -> None:
    first, second = make_run(tmp_path / "a"), make_run(tmp_path / "b", seed=7)
    out = tmp_path / "runs.html"
    done = CliRunner().invoke(
        app, ["report", "--run", str(first), "--run", str(second), "--out", str(out), "--json"]
    )
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["bytes"] == out.stat().st_size
    text = out.read_text()
    assert text.count("data:image/png") == 3
    assert "://" not in re.sub(r"base64,[^\"]*", "", text)
    assert "Settings that differ" in text
    assert "0.800 at step 8" in text
    picture = re.search(r'base64,([^"]+)" alt|alt="step 8, case-0[^>]*base64,([^"]+)"', text)
    assert picture is not None
    pixels = cv2.imdecode(np.frombuffer(base64.b64decode(picture[2]), np.uint8), cv2.IMREAD_COLOR)
    assert (pixels == 8).all()


def test_a_store_or_runs(tmp_path: Path) -> None:
    for words in ([], ["a.zarr", "--run", str(tmp_path)]):
        done = CliRunner().invoke(app, ["report", *words], env={"COLUMNS": "200"})
        assert done.exit_code == 2
        assert "give a store, or --run" in done.output


def test_it_fits_a_phone_and_sorts_its_tables(tmp_path: Path) -> None:
    if chromium.CHROMIUM is None:
        pytest.skip("no chromium is installed")
    out = tmp_path / "run.html"
    CliRunner().invoke(app, ["report", "--run", str(make_run(tmp_path / "a")), "--out", str(out)])
    page = chromium.Page(tmp_path / "profile")
    try:
        page.resize(400)
        page.open(out)
        assert page.run("document.documentElement.scrollWidth") <= 400
        page.click("#scores th:nth-child(2) button")
        assert page.run("document.querySelector('#scores tbody td').textContent") == "made/square"
        assert page.errors == []
    finally:
        page.close()
