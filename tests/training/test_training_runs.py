"""Runs of the trainer: equal curves however they are carried out, and early stops that say why."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from float64 import in_float64
from training_cases import MadeData, MadeValidation, config

from fve_pipeline.errors import CheckpointError, TrainError
from fve_pipeline.loading.share import Batch, Share
from fve_pipeline.segmenter.checkpoint import open_segmenter
from fve_pipeline.training.schedule import learning_rate
from fve_pipeline.training.setup import check_data
from fve_pipeline.training.trainer import TrainResult, train

SCRIPT = Path(__file__).parents[1] / "helpers" / "training_cases.py"


def log_of(out: Path, what: str = "train") -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if line["what"] == what]


def losses_of(out: Path) -> list[float]:
    lines = log_of(out)
    assert [line["step"] for line in lines] == list(range(1, len(lines) + 1))
    return [line["loss"] for line in lines]


def script(out: Path, *options: str, **environment: str) -> subprocess.Popen[str]:
    paths = os.pathsep.join(p for p in sys.path if p)
    env = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", **environment}
    command = [sys.executable, str(SCRIPT), str(out), *options]
    return subprocess.Popen(command, env=env, text=True, stderr=subprocess.PIPE)


def finished(process: subprocess.Popen[str]) -> str:
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return errors


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainResult]:
    """Two epochs of four steps, in this process and without a stop."""
    out = tmp_path_factory.mktemp("whole")
    return out, train(config(), MadeData(), MadeValidation(), out)


def test_a_run_leaves_its_log_checkpoints_and_pictures(whole: tuple[Path, TrainResult]) -> None:
    out, result = whole
    assert result.steps == 8
    assert len(losses_of(out)) == 8
    first = log_of(out)[0]
    assert set(first) >= {"loss", "dice", "bce", "edge", "classification", "lr", "grad_norm", "samples_per_s"}
    assert sorted(p.name for p in (out / "checkpoints").iterdir()) == [
        "best.pt",
        "step-00000006.pt",
        "step-00000008.pt",
    ]
    assert len(log_of(out, "validation")) == 2
    assert set(result.scores) == {"made/disc", "made/square"}
    assert result.scores["made/disc"]["subjects"] == 2
    assert len(list((out / "images").iterdir())) == 4
    assert list((out / "tensorboard").glob("events*"))
    model, found = open_segmenter(out / "checkpoints" / "best.pt")
    assert found.settings["boundary"] == "repeat"
    assert model.config.embed_dim == 16
    assert result.checkpoint == out / "checkpoints" / "step-00000008.pt"


@pytest.fixture(scope="session")
def exact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same run in float64."""
    out = tmp_path_factory.mktemp("exact")
    with in_float64():
        train(config(), MadeData(), MadeValidation(), out)
    return out


def test_accumulation_gives_the_same_losses(exact: Path, tmp_path: Path) -> None:
    with in_float64():
        train(config({"accumulate": 4, "recompute": True}), MadeData(), None, tmp_path)
    np.testing.assert_allclose(losses_of(tmp_path), losses_of(exact), rtol=1e-6)


def test_two_processes_give_the_same_losses(exact: Path, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    ranks = [
        script(tmp_path, "--float64", "--accumulate", "2", RANK=str(r), LOCAL_RANK=str(r), **shared)
        for r in (0, 1)
    ]
    try:
        for process in ranks:
            assert "Grad strides" not in finished(process)
    finally:
        for process in ranks:
            process.kill()
            process.communicate()
    np.testing.assert_allclose(losses_of(tmp_path), losses_of(exact), rtol=1e-6)
    ours, theirs = (log_of(out, "validation")[-1]["classes"] for out in (tmp_path, exact))
    for name, values in theirs.items():
        assert ours[name]["subjects"] == values["subjects"]
        assert ours[name]["dice"] == pytest.approx(values["dice"], abs=1e-4)


def test_a_killed_run_goes_on_as_if_it_had_not_been(whole: tuple[Path, TrainResult], tmp_path: Path) -> None:
    process = script(tmp_path)
    checkpoint = tmp_path / "checkpoints" / "step-00000003.pt"
    limit = time.monotonic() + 120
    while not checkpoint.exists():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < limit
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    # What a kill in the middle of writing leaves behind.
    (tmp_path / "checkpoints" / ".partial-0123-step-00000009.pt").write_bytes(b"half")
    with (tmp_path / "log.jsonl").open("a") as log:
        log.write('{"what": "train", "st')

    train(config(), MadeData(), MadeValidation(), tmp_path, resume=True)
    assert losses_of(tmp_path) == losses_of(whole[0])
    assert not list((tmp_path / "checkpoints").glob(".*"))
    ours, theirs = (
        torch.load(out / "checkpoints" / "step-00000008.pt", weights_only=True)
        for out in (tmp_path, whole[0])
    )
    assert all(torch.equal(ours["model"][k], v) for k, v in theirs["model"].items())


def test_a_finished_run_is_not_overwritten_and_not_resumed_as_another(
    whole: tuple[Path, TrainResult],
) -> None:
    out, _ = whole
    with pytest.raises(TrainError, match="give --resume"):
        train(config(), MadeData(), None, out)
    with pytest.raises(TrainError, match=r"\[optimisation\] lr = 0.001, now 0.5"):
        train(config(lr=0.5), MadeData(), None, out, resume=True)
    with pytest.raises(TrainError, match=r"\[run\] seed = 0, now 4"):
        train(config({"seed": 4}), MadeData(), None, out, resume=True)
    with pytest.raises(TrainError, match="other data"):
        train(config(), MadeData([0, 3]), None, out, resume=True)
    encoded = MadeData()  # the same slices and so the same content id
    encoded.settings = {**encoded.settings, "order": 2}
    with pytest.raises(TrainError, match=r"slices made otherwise \(order 1 and 2"):
        train(config(), encoded, None, out, resume=True)
    finished = train(config({"accumulate": 2}), MadeData(), None, out, resume=True)
    assert (finished.steps, finished.loss, finished.scores) == (8, whole[1].loss, whole[1].scores)


def test_resuming_compares_what_the_preset_stood_for(whole: tuple[Path, TrainResult], tmp_path: Path) -> None:
    file = tmp_path / "checkpoints" / "step-00000008.pt"
    state = torch.load(whole[0] / "checkpoints" / file.name, weights_only=True)
    state["config"]["sample_ratio"] = 0.9  # as a version with another preset would have written it
    file.parent.mkdir()
    torch.save(state, file)
    with pytest.raises(TrainError, match=r"its model has sample_ratio = 0.9, \[model\] now gives"):
        train(config(), MadeData(), None, tmp_path, resume=True)


def test_frozen_parts_stay_and_the_others_move(tmp_path: Path) -> None:
    from fve_pipeline.training.setup import build_model, part_of

    settings = config(epochs=1)
    frozen = settings.model.model_copy(update={"frozen": ("backbone", "text")})
    settings = settings.model_copy(update={"model": frozen})
    start = {k: v.clone() for k, v in build_model(frozen, 0)[0].named_parameters()}
    train(settings, MadeData(), None, tmp_path)
    model, _ = open_segmenter(tmp_path / "checkpoints" / "step-00000004.pt")
    moved = {part_of(k) for k, v in model.named_parameters() if not torch.equal(v, start[k])}
    assert moved == {"pixel_decoder", "decoder", "classifier"}
    everything = ("backbone", "text", "pixel_decoder", "decoder", "classifier")
    with pytest.raises(TrainError, match="nothing is left to train"):
        build_model(frozen.model_copy(update={"frozen": everything}), 0)


def test_the_backbone_alone_can_be_given(tmp_path: Path) -> None:
    from fve_pipeline.segmenter.model import Segmenter
    from fve_pipeline.training.setup import build_model

    other = Segmenter(config().model.config(), seed=5)
    file = tmp_path / "seem.pt"
    torch.save({f"model.backbone.{k}": v for k, v in other.backbone.state_dict().items()}, file)
    model, expected, _ = build_model(config().model.model_copy(update={"backbone": str(file)}), 0)
    fresh, *_ = build_model(config().model, 0)
    assert expected == {}
    assert torch.equal(model.backbone.norm2.weight, other.backbone.norm2.weight)
    assert torch.equal(model.backbone.patch_embed.proj.weight, other.backbone.patch_embed.proj.weight)
    head = "sem_seg_head.pixel_decoder.input_proj.weight"
    assert torch.equal(model.get_parameter(head), fresh.get_parameter(head))


@pytest.mark.slow
@pytest.mark.timeout(1800)
# torch's compiler uses deprecated parts of torch, and looks at .grad of features between the two parts.
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:The .grad attribute:UserWarning")
def test_compiled_parts_give_the_same_losses(
    whole: tuple[Path, TrainResult], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In the compiler's own folder a library may lie that an interrupted run left half-written.
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "compiled"))
    train(config({"compile": True}), MadeData(), None, tmp_path)
    np.testing.assert_allclose(losses_of(tmp_path), losses_of(whole[0]), rtol=1e-3)
    assert open_segmenter(tmp_path / "checkpoints" / "step-00000008.pt")


def test_bfloat16_trains(tmp_path: Path) -> None:
    settings = config({"precision": "bf16"}, epochs=1)
    result = train(settings, MadeData(), None, tmp_path)
    assert np.isfinite(result.loss)


class Spoilt(MadeData):
    """Data whose second batch brings a number that ruins the loss."""

    def batches(self, epoch: int, share: Share, start: int) -> Iterator[Batch]:
        for i, batch in enumerate(super().batches(epoch, share, start)):
            images = batch.images.float()
            if i == 1:
                images[0, 0, 0, 0] = float("inf")
            yield Batch(images, batch.masks, batch.prompts, batch.samples)


def _settings(**change: Any) -> Mapping[str, Any]:
    return {"order": 1, "boundary": "mirror", "resize": "released", "size": 512, **change}


def test_early_stops_say_what_to_change(tmp_path: Path, whole: tuple[Path, TrainResult]) -> None:
    with pytest.raises(TrainError, match=r"not finite at step 2 .* Lower \[optimisation\] lr"):
        train(config(), Spoilt(), None, tmp_path / "nan")
    with pytest.raises(TrainError, match="validation set is empty"):
        train(config(), MadeData(), MadeValidation(()), tmp_path / "empty")
    with pytest.raises(TrainError, match="multiple of 3"):
        train(config({"accumulate": 3}), MadeData(), None, tmp_path / "batch")
    with pytest.raises(TrainError, match="16 training samples, fewer than one batch of 64"):
        train(config(batch=64), MadeData(), None, tmp_path / "few")
    lost = config().model_copy(update={"model": config().model.model_copy(update={"init": "gone.pt"})})
    with pytest.raises(CheckpointError, match="no such file"):
        train(lost, MadeData(), None, tmp_path / "gone")

    lacking = MadeData()
    lacking.positives["made/square"] = 0
    with pytest.raises(TrainError, match="1 classes have no training sample that holds them: made/square"):
        train(config(), lacking, MadeValidation(), tmp_path / "lacking")

    started = config().model.model_copy(update={"init": str(whole[0] / "checkpoints" / "best.pt")})
    other = MadeData()
    other.settings = _settings()
    settings = config(epochs=1).model_copy(update={"model": started})
    with pytest.raises(TrainError, match="boundary: store mirror, weights repeat"):
        train(settings, other, MadeValidation(), tmp_path / "preset")
    with pytest.raises(TrainError, match="boundary: store mirror, weights repeat"):
        train(settings, other, None, tmp_path / "preset")
    elsewhere = MadeValidation(settings=_settings(order=2, boundary="repeat", resize="opencv", size=64))
    with pytest.raises(TrainError, match=r"validate on are made otherwise .*order 1 and 2"):
        train(settings, MadeData(), elsewhere, tmp_path / "preset")
    allowed = settings.model_copy(update={"model": started.model_copy(update={"any_store": True})})
    assert train(allowed, other, MadeValidation(), tmp_path / "preset").steps == 4


@pytest.mark.parametrize("order", [1, 2])
def test_downsampling_is_compared_with_the_weights_where_slices_are_halved(order: int) -> None:
    data = MadeData()
    data.settings = {**_settings(order=order), "downsample": "mean"}
    weights = {**_settings(order=order), "downsample": "stride"}
    if order == 1:
        check_data(config(), data, None, weights)
        return
    with pytest.raises(TrainError, match="downsample: store mean, weights stride"):
        check_data(config(), data, None, weights)


@pytest.mark.parametrize(
    ("device", "message"), [("tpu9", "expected auto, cpu or cuda"), ("cuda", "no GPU here")]
)
def test_a_device_that_is_not_there(tmp_path: Path, device: str, message: str) -> None:
    if device == "cuda" and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(TrainError, match=message):
        train(config({"device": device}), MadeData(), None, tmp_path)


def test_out_of_memory_names_the_ways_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("fve_pipeline.training.trainer.segmentation_losses", refuse)
    with pytest.raises(TrainError, match=r"out of memory at step 1 with 4 images at once.*accumulate"):
        train(config(), MadeData(), None, tmp_path)


def test_learning_rate_warms_up_and_falls_as_half_a_cosine() -> None:
    settings = config(lr=2.0, warmup_steps=4)
    rates = [learning_rate(settings, step, 24) for step in range(24)]
    assert rates[:4] == [0.5, 1.0, 1.5, 2.0]
    assert rates[4] == 2.0
    assert rates[14] == pytest.approx(1.0)
    assert sorted(rates[4:], reverse=True) == rates[4:]
    assert learning_rate(config(lr=2.0, schedule="constant"), 20, 24) == 2.0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_run_that_is_asked_to_stop_ends_its_step_and_goes_on(
    whole: tuple[Path, TrainResult], tmp_path: Path, number: signal.Signals
) -> None:
    process = script(tmp_path)
    limit = time.monotonic() + 120
    while not (tmp_path / "log.jsonl").exists() or not log_of(tmp_path):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < limit
        time.sleep(0.005)
    process.send_signal(number)
    _, said = process.communicate(timeout=120)
    asked_by_queue = number != signal.SIGINT
    assert process.returncode == (75 if asked_by_queue else 130), said
    assert (tmp_path / "requeue").exists() == asked_by_queue
    done = len(log_of(tmp_path))
    assert (tmp_path / "checkpoints" / f"step-{done:08d}.pt").exists()
    assert "preset small from random weights, 8 steps" in said
    result = train(config(), MadeData(), MadeValidation(), tmp_path, resume=True)
    assert not result.stopped
    assert not (tmp_path / "requeue").exists()
    assert losses_of(tmp_path) == losses_of(whole[0])


def test_a_limit_ends_every_step_and_each_validation_is_made_once(
    whole: tuple[Path, TrainResult], tmp_path: Path
) -> None:
    result, starts = None, 0
    while result is None or result.stopped:
        result = train(config({"stop_after": "0.001s"}), MadeData(), MadeValidation(), tmp_path, resume=True)
        starts += 1
        assert result.steps == min(starts, 8)
        assert result.stopped == ("requeue" if starts <= 8 else "")
    assert losses_of(tmp_path) == losses_of(whole[0])
    ours, theirs = (log_of(out, "validation") for out in (tmp_path, whole[0]))
    assert [one["classes"] for one in ours] == [one["classes"] for one in theirs]
    assert result.scores == whole[1].scores


def four_ranks(out: Path, *options: str) -> list[subprocess.Popen[str]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"WORLD_SIZE": "4", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return [
        script(out, "--epochs", "30", "--float64", *options, RANK=str(r), LOCAL_RANK=str(r), **shared)
        for r in range(4)
    ]


def ended(ranks: list[subprocess.Popen[str]]) -> list[int]:
    """Exit codes; once one has failed the others get as long as a launcher would give them."""
    limit = time.monotonic() + 600
    while any(one.poll() is None for one in ranks) and time.monotonic() < limit:
        if any(one.returncode for one in ranks):
            limit = min(limit, time.monotonic() + 10)
        time.sleep(0.02)
    for one in ranks:
        one.kill()
        one.communicate()
    return [one.returncode for one in ranks]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_four_processes_disturbed_twenty_times(tmp_path: Path) -> None:
    """Kills and terminations of one of four gloo processes at random, and the losses of a run left alone.

    In float64: a process group that starts anew cuts gradients into other pieces, which rounds float32 otherwise.
    """
    calm, out = tmp_path / "calm", tmp_path / "disturbed"
    assert ended(four_ranks(calm)) == [0] * 4
    rng, codes = np.random.default_rng(0), list[list[int]]()
    for turn in range(20):
        ranks = four_ranks(out, "--resume")
        log, number = out / "log.jsonl", (signal.SIGKILL, signal.SIGTERM)[turn % 2]
        begun = time.time()
        wanted = int(rng.integers(1, 6))
        while all(one.poll() is None for one in ranks):
            if log.exists() and log.stat().st_mtime > begun and log.read_text().count("\n") % 6 == wanted:
                break
            time.sleep(0.005)
        ranks[int(rng.integers(4))].send_signal(number)
        codes.append(ended(ranks))
    assert all(any(one) for one in codes)  # none of them came after the end
    assert sum(set(one) == {75} for one in codes) >= 5
    assert ended(four_ranks(out, "--resume")) == [0] * 4
    np.testing.assert_allclose(losses_of(out), losses_of(calm), rtol=1e-6)
