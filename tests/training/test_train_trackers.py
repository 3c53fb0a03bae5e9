"""Where a run's numbers go besides its own log."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from training_cases import MadeData, MadeValidation, config

from fve_pipeline.errors import TrainError
from fve_pipeline.training.log import RunLog
from fve_pipeline.training.trackers import GROUP, open_trackers
from fve_pipeline.training.trainer import train

PICTURE = np.zeros((4, 4, 3), np.uint8)


def _log(out: Path, step: int, *trackers: str) -> RunLog:
    return RunLog(out, 8, step, config({"trackers": list(trackers)}))


def test_another_packages_tracker_gets_all_that_a_run_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site"
    (package / "theirs-1.0.dist-info").mkdir(parents=True)
    (package / "theirs-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n"
    )
    (package / "theirs-1.0.dist-info" / "entry_points.txt").write_text(
        f"[{GROUP}]\ntheirs = theirs:Tracker\n"
    )
    (package / "theirs.py").write_text(
        "import json\n"
        "class Tracker:\n"
        "    def __init__(self, folder, settings, step):\n"
        "        self.file = open(folder / 'theirs.jsonl', 'a')\n"
        "        self.keep('begun', settings['optimisation']['batch'], step)\n"
        "    def keep(self, *what): self.file.write(json.dumps(what) + '\\n')\n"
        "    def numbers(self, values, step): self.keep('numbers', dict(values), step)\n"
        "    def image(self, name, picture, step): self.keep(name, picture.shape, step)\n"
        "    def close(self): self.file.close()\n"
    )
    monkeypatch.syspath_prepend(str(package))
    train(config({"trackers": ["theirs"]}, epochs=1), MadeData(), MadeValidation(), tmp_path / "run")
    told: list[Any] = [
        json.loads(line) for line in (tmp_path / "run" / "theirs.jsonl").read_text().splitlines()
    ]
    assert told[0] == ["begun", 4, 0]
    logged = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    ours = [line["loss"] for line in logged if line["what"] == "train"]
    assert [v["train/loss"] for what, v, _ in told[1:] if what == "numbers" and "train/loss" in v] == ours
    assert any("validation/dice" in values for what, values, _ in told if what == "numbers")
    assert any(what == "case-0" for what, *_ in told)
    assert not (tmp_path / "run" / "tensorboard").exists()


def test_what_is_not_known_or_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TrainError, match=r"'wandering': unknown; known: mlflow, tensorboard"):
        open_trackers(["wandering"], tmp_path, {}, 0)
    monkeypatch.setitem(sys.modules, "mlflow.tracking", None)
    with pytest.raises(TrainError, match=r"'mlflow', which needs mlflow.*: not installed"):
        open_trackers(["mlflow"], tmp_path, {}, 0)


@pytest.mark.filterwarnings("ignore")  # MLflow's own, of its dependencies
def test_mlflows_file_store_has_the_curve_and_a_resumed_run_goes_on_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracking = pytest.importorskip(
        "mlflow.tracking", reason="mlflow is not installed: it pins other versions than ours"
    )
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for first in (0, 2):
        with _log(tmp_path, first, "mlflow") as log:
            for step in (first + 1, first + 2):
                log.write("train", step, {"loss": 1 / step, "classes": {}})
            log.image("case-0", step, PICTURE)
    client = tracking.MlflowClient((tmp_path / "mlflow").as_uri())
    experiment = client.get_experiment_by_name("fve")
    (run,) = client.search_runs([experiment.experiment_id])
    assert [(one.step, one.value) for one in client.get_metric_history(run.info.run_id, "train/loss")] == [
        (step, 1 / step) for step in (1, 2, 3, 4)
    ]
    assert run.data.params["optimisation.batch"] == "4"
    assert run.info.status == "FINISHED"


def test_tensorboard_has_every_class(tmp_path: Path) -> None:
    event = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    classes = {"made/disc": {"dice": 0.5, "precision": None, "recall": 1.0, "subjects": 2}}
    with _log(tmp_path, 0, "tensorboard") as log:
        log.write("validation", 4, {"dice": 0.5, "classes": classes})
    found = event.EventAccumulator(str(tmp_path / "tensorboard"))
    found.Reload()
    assert set(found.Tags()["scalars"]) == {
        "validation/dice",
        *(f"validation/{score}/made/disc" for score in ("dice", "recall", "subjects")),
    }
    assert found.Scalars("validation/dice/made/disc")[0].value == pytest.approx(0.5)
