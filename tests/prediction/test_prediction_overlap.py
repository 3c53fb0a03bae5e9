"""Many volumes: reading and writing run beside the network, and parts of a list share a folder."""

from __future__ import annotations

import gc
import json
import threading
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from command import run

from fve_pipeline.errors import PredictionError
from fve_pipeline.prediction.loaded import usual_precision
from fve_pipeline.prediction.pictures import Intensity
from fve_pipeline.prediction.predictor import Opened, Predictor, Segmented
from fve_pipeline.prediction.prompts import Target
from fve_pipeline.prediction.request import Request, Shown
from fve_pipeline.prediction.run import predict_all
from fve_pipeline.prediction.sources import VolumeSource, find_sources
from fve_pipeline.runtime.progress import Silent

LIVER = Request((Target(1, "liver", "liver in abdominal CT"),), (Shown(Intensity()),))


def volumes(folder: Path, image: np.ndarray, count: int) -> list[VolumeSource]:
    folder.mkdir()
    for number in range(count):
        np.savez(folder / f"v{number}.npz", imgs=np.roll(image, number), spacing=np.ones(3))
    return find_sources([folder])


class Watched(Predictor):
    """A predictor whose steps wait for what must run beside them, and which counts the volumes in memory."""

    def __init__(self, weights: Path, names: list[str]) -> None:
        super().__init__(weights)
        self.names = names
        self.begun = {
            (step, name): threading.Event() for step in ("open", "segment", "write") for name in names
        }
        self.alive: list[weakref.ref[Opened]] = []
        self.most = 0

    def _beside(self, step: str, name: str, other: str, offset: int) -> None:
        """Fail unless ``other`` begins for the volume at ``offset`` while this step goes on."""
        self.begun[step, name].set()
        place = self.names.index(name) + offset
        if 0 <= place < len(self.names):
            assert self.begun[other, self.names[place]].wait(20), (
                f"{other} does not run beside {step} of {name}"
            )

    def open(self, source: VolumeSource, request: Request, out: Path) -> Opened | dict[str, Any]:
        self.begun["open", source.name].set()
        found = super().open(source, request, out)
        assert isinstance(found, Opened)
        self.alive.append(weakref.ref(found))
        gc.collect()
        self.most = max(self.most, sum(one() is not None for one in self.alive))
        return found

    def segment(self, opened: Opened, *args: Any) -> Segmented:
        self._beside("segment", opened.source.name, "open", 1)
        return super().segment(opened, *args)

    def write(self, done: Segmented, *args: Any) -> dict[str, Any]:
        self._beside("write", done.opened.source.name, "segment", 1)
        assert done.opened.picture.image.size == 0
        return super().write(done, *args)


def test_reading_and_writing_run_beside_the_network(tmp_path: Path, image: np.ndarray, weights: Path) -> None:
    sources = volumes(tmp_path / "in", image[:2], 5)
    predictor = Watched(weights, [one.name for one in sources])
    reports, failures = predict_all(predictor, sources, LIVER, tmp_path / "out", Silent())
    assert [report["case"] for report in reports] == predictor.names
    assert not failures
    # The one that the network works on, and the one being read.
    assert predictor.most == 2


class Told:
    """What a watcher is told."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, int, str]] = []
        self.notes: list[str] = []
        self.done = 0

    def stage(self, name: str, total: int, unit: str) -> None:
        self.stages.append((name, total, unit))

    def advance(self, count: int = 1) -> None:
        self.done += count

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.mark.parametrize("count", [3, 9])
def test_how_many_volumes_are_left_is_told(
    tmp_path: Path, image: np.ndarray, weights: Path, count: int
) -> None:
    told = Told()
    predict_all(Predictor(weights), volumes(tmp_path / "in", image[:2], count), LIVER, tmp_path / "out", told)
    assert [note.split(":")[0] for note in told.notes] == [f"v{i} ({i + 1} of {count})" for i in range(count)]
    if count == 9:  # one bar for all of them
        assert told.stages == [("predicting", 9, "volumes")]
        assert told.done == 9
    else:
        assert told.stages == [(f"v{i} ({i + 1} of 3)", 2, "slices") for i in range(3)]
        assert told.done == 6


def test_a_failure_in_each_step_is_that_volumes_own(tmp_path: Path, image: np.ndarray, weights: Path) -> None:
    class Failing(Predictor):
        def segment(self, opened: Opened, *args: Any) -> Segmented:
            if opened.source.name == "v1":
                raise PredictionError("v1: no")
            return super().segment(opened, *args)

        def write(self, done: Segmented, *args: Any) -> dict[str, Any]:
            if done.opened.source.name == "v3":
                raise PredictionError("v3: no")
            return super().write(done, *args)

    sources = volumes(tmp_path / "in", image[:2], 5)
    (tmp_path / "in" / "v0.npz").write_bytes(b"PK no archive")
    reports, failures = predict_all(Failing(weights), sources, LIVER, tmp_path / "out", Silent())
    assert [report["case"] for report in reports] == ["v2", "v4"]
    assert [failure.case for failure in failures] == ["v0", "v1", "v3"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "runtimes.csv", "v2.json", "v2.npz", "v4.json", "v4.npz"
    ]  # fmt: skip


def test_text_is_encoded_once_for_all_volumes_and_views(
    tmp_path: Path, image: np.ndarray, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predictor = Predictor(weights)
    encode, asked = predictor.loaded.model.encode_text, []
    monkeypatch.setattr(
        predictor.loaded.model, "encode_text", lambda tokens: asked.append(1) or encode(tokens)
    )
    request = Request(LIVER.targets, LIVER.shown, views=("axial", "coronal"))
    predict_all(predictor, volumes(tmp_path / "in", image[:2], 3), request, tmp_path / "out", Silent())
    assert len(asked) == 1


def test_parts_share_a_folder(
    tmp_path: Path, image: np.ndarray, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volumes(tmp_path / "in", image[:2], 5)
    command = ("predict", tmp_path / "in", "--weights", weights, "--prompts", "liver", "--out")
    assert run(monkeypatch, *command, tmp_path / "whole") == 0
    out = tmp_path / "out"
    out.mkdir()
    foreign, own = out / ".partial-0123456789abcdef-v1.npz", out / ".partial-0123456789abcdef-v0.npz"
    foreign.write_bytes(b"another part writes it")
    own.write_bytes(b"left by a kill")
    assert run(monkeypatch, *command, out, "--part", "1/2") == 0
    assert sorted(path.name for path in out.glob("v*.npz")) == ["v0.npz", "v2.npz", "v4.npz"]
    assert foreign.exists()
    assert not own.exists()
    assert run(monkeypatch, *command, out, "--part", "2/2") == 0
    for path in (tmp_path / "whole").glob("*.npz"):
        assert (out / path.name).read_bytes() == path.read_bytes()
    lines = (out / "runtimes.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["case", "v0", "v1", "v2", "v3", "v4"]
    assert run(monkeypatch, *command, out, "--part", "9/9") == 0  # more parts than volumes
    for wrong in ("0/2", "3/2", "2", "a/b"):
        assert run(monkeypatch, *command, out, "--part", wrong) == 2


def test_a_gpu_computes_in_bf16_unless_asked() -> None:
    found = [usual_precision(torch.device(name)) for name in ("cpu", "cuda", "cuda:1")]
    assert found == ["float32", "bf16", "bf16"]


def test_bf16_is_recorded_and_close(
    tmp_path: Path, image: np.ndarray, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    volumes(tmp_path / "in", image, 1)
    command = ("predict", tmp_path / "in", "--weights", weights, "--prompts", "liver", "--out")
    labels, presence, reports = {}, {}, {}
    for precision in ("float32", "bf16"):
        assert run(monkeypatch, *command, tmp_path / precision, "--precision", precision) == 0
        report = reports[precision] = json.loads((tmp_path / precision / "v0.json").read_text())
        presence[precision] = np.array(report["classes"][0]["views"]["axial"]["presence"])
        with np.load(tmp_path / precision / "v0.npz") as archive:
            labels[precision] = archive["segs"]
    assert reports["bf16"]["made_by"]["precision"] == "bf16"
    assert reports["bf16"]["fingerprint"] != reports["float32"]["fingerprint"]
    np.testing.assert_allclose(presence["bf16"], presence["float32"], atol=0.05)
    assert not np.array_equal(presence["bf16"], presence["float32"])
    assert (labels["bf16"] != labels["float32"]).mean() < 0.05
    # A folder that holds the one is not taken for the other.
    assert run(monkeypatch, *command, tmp_path / "bf16", "--precision", "float32") == 0
    assert (tmp_path / "bf16" / "v0.npz").read_bytes() == (tmp_path / "float32" / "v0.npz").read_bytes()
