"""Loading weights in every layout, and saying what does not fit."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from fve_pipeline.errors import CheckpointError
from fve_pipeline.segmenter.checkpoint import (
    RELEASED_SETTINGS,
    load_backbone,
    load_checkpoint,
    open_segmenter,
    read_checkpoint,
    save_weights,
)
from fve_pipeline.segmenter.config import preset
from fve_pipeline.segmenter.inspect import inspect_weights
from fve_pipeline.segmenter.model import Segmenter
from fve_pipeline.segmenter.randomness import CounterRandomness

SETTINGS = {"order": 1, "boundary": "repeat", "resize": "opencv", "size": 64}
LOSS_KEYS = {
    "loss_function.loss_fn.dice_loss.class_weight": torch.ones(1),
    "loss_function.cls_loss_fn.pos_weight": torch.tensor(3.0),
}


def lightning(state: dict[str, Tensor], prefix_loss: bool = True) -> dict[str, object]:
    """The released file's layout around ``state``."""
    weights = OrderedDict((f"model.{k}", v) for k, v in state.items())
    weights.update({f"model.{k}" if prefix_loss else k: v for k, v in LOSS_KEYS.items()})
    return {"epoch": 9, "global_step": 100, "state_dict": weights, "lr_schedulers": [], "loops": {}}


def _write(path: Path, layout: str, model: Segmenter) -> Path:
    state = {k: v.clone() for k, v in model.state_dict().items()}
    file = path / ("w.safetensors" if "safetensors" in layout else "w.ckpt")
    if layout == "released":
        torch.save(lightning(state), file)
    elif layout == "released, loss keys bare":
        torch.save(lightning(state, prefix_loss=False), file)
    elif layout == "plain":
        torch.save(state, file)
    elif layout == "data parallel":
        torch.save({f"module.{k}": v for k, v in state.items()}, file)
    elif layout == "old torch":
        torch.save(state, file, _use_new_zipfile_serialization=False)
    elif layout == "foreign safetensors":
        save_file({f"model.{k}": v for k, v in state.items()}, file)
    else:
        save_weights(file, model, SETTINGS)
    return file


LAYOUTS = [
    "released",
    "released, loss keys bare",
    "plain",
    "data parallel",
    "old torch",
    "foreign safetensors",
]


@pytest.mark.parametrize("layout", [*LAYOUTS, "fve", "fve safetensors"])
def test_every_layout_loads_whole(tmp_path: Path, tiny_random: Callable[..., Segmenter], layout: str) -> None:
    source = tiny_random()
    file = _write(tmp_path, layout, source)
    target = Segmenter(source.config, seed=99)
    report = load_checkpoint(target, file)
    assert report.complete
    assert len(report.loaded) == len(source.state_dict())
    assert len(report.dropped) == (2 if layout.startswith("released") else 0)
    for name, tensor in source.state_dict().items():
        assert torch.equal(tensor, target.state_dict()[name]), name


@pytest.mark.parametrize("layout", ["fve", "fve safetensors"])
def test_our_files_say_what_they_are(
    tmp_path: Path, tiny_random: Callable[..., Segmenter], layout: str
) -> None:
    source = tiny_random(text_padding="masked")
    model, found = open_segmenter(_write(tmp_path, layout, source))
    assert model.config == source.config
    assert found.settings == SETTINGS
    assert not model.training


@pytest.mark.parametrize("first", ["module.", "model.", "_orig_mod."])
@pytest.mark.parametrize("second", ["module.", "model.", "_orig_mod."])
def test_prefixes_come_off_in_any_order(
    tmp_path: Path, tiny_random: Callable[..., Segmenter], first: str, second: str
) -> None:
    source = tiny_random()
    state = {f"{first}{second}{k}": v for k, v in source.state_dict().items()}
    torch.save({**state, **LOSS_KEYS}, tmp_path / "w.pt")
    assert read_checkpoint(tmp_path / "w.pt").state.keys() == source.state_dict().keys()


def test_the_text_encoders_earlier_names_load(tmp_path: Path, tiny_random: Callable[..., Segmenter]) -> None:
    source = tiny_random()
    state = {
        k.replace("language_encoder.encoder_transformer.", "language_encoder.lang_encoder.").replace(
            "language_encoder.", "lang_encoder."
        ): v
        for k, v in source.state_dict().items()
    }
    assert any("predictor.lang_encoder.lang_encoder." in name for name in state)
    torch.save(state, tmp_path / "w.pt")
    assert load_checkpoint(Segmenter(source.config, seed=99), tmp_path / "w.pt").complete
    torch.save({**state, **source.state_dict()}, tmp_path / "both.pt")
    with pytest.raises(CheckpointError, match="two spellings"):
        read_checkpoint(tmp_path / "both.pt")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_rounded_weights_load_and_are_said(
    tmp_path: Path, tiny_random: Callable[..., Segmenter], dtype: torch.dtype
) -> None:
    source = tiny_random()
    torch.save({k: v.to(dtype) for k, v in source.state_dict().items()}, tmp_path / "w.pt")
    target = Segmenter(source.config, seed=99)
    report = load_checkpoint(target, tmp_path / "w.pt")
    name = str(dtype).removeprefix("torch.")
    assert report.complete
    assert f"stored as {name}" in str(report)
    assert f"stored as {name}" in inspect_weights(tmp_path / "w.pt", "tiny").text()
    assert target.backbone.norm0.weight.dtype == torch.float32


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda w: w.to(torch.int8), "int8"),
        (lambda w: w.index_fill(0, torch.tensor([0]), float("nan")), "NaN"),
        (lambda w: w.index_fill(0, torch.tensor([0]), float("inf")), "infinite"),
    ],
    ids=["int8", "nan", "inf"],
)
def test_weights_that_are_no_numbers_are_refused(
    tmp_path: Path, tiny_random: Callable[..., Segmenter], change: Callable[[Tensor], Tensor], what: str
) -> None:
    source = tiny_random()
    state = dict(source.state_dict())
    state["backbone.norm1.weight"] = change(state["backbone.norm1.weight"])
    torch.save(state, tmp_path / "w.pt")
    target = Segmenter(source.config, seed=99)
    before = target.backbone.norm0.weight.clone()
    for load in (load_checkpoint, load_backbone):
        with pytest.raises(CheckpointError, match=f"w.pt: backbone.norm1.weight holds .*{what}"):
            load(target, tmp_path / "w.pt")
    assert torch.equal(target.backbone.norm0.weight, before)
    assert not inspect_weights(tmp_path / "w.pt", "tiny").usable


def test_a_runs_folder_is_its_best_checkpoint_else_its_newest(
    tmp_path: Path, tiny_random: Callable[..., Segmenter]
) -> None:
    folder = tmp_path / "run" / "checkpoints"
    folder.mkdir(parents=True)
    with pytest.raises(CheckpointError, match="a folder without checkpoints"):
        read_checkpoint(tmp_path / "run")
    for name in ("step-00000010.pt", "step-00000200.pt", "best.pt"):
        save_weights(folder / name, tiny_random(), SETTINGS)
        for where in (tmp_path / "run", folder):
            assert read_checkpoint(where).path == folder / name


def test_what_does_not_fit_is_named_and_nothing_is_loaded(
    tmp_path: Path, tiny_random: Callable[..., Segmenter]
) -> None:
    source = tiny_random()
    state = dict(source.state_dict())
    del state["backbone.norm0.weight"]
    state["backbone.extra"] = torch.zeros(2)
    state["sem_seg_head.predictor.classifier.bias"] = torch.zeros(3)
    file = tmp_path / "w.pt"
    torch.save(state, file)
    target = Segmenter(source.config, seed=99)
    before = target.backbone.norm1.weight.clone()
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(target, file)
    for word in (
        "w.pt",
        "missing: backbone.norm0.weight",
        "unexpected: backbone.extra",
        "classifier.bias [3]",
    ):
        assert word in str(caught.value)
    assert torch.equal(target.backbone.norm1.weight, before)
    with pytest.raises(CheckpointError, match="does not say which model"):
        open_segmenter(file)

    report = load_checkpoint(target, file, allow_partial=True)
    assert report.missing == ("backbone.norm0.weight",)
    assert torch.equal(target.backbone.patch_embed.proj.bias, source.backbone.patch_embed.proj.bias)


def test_nothing_in_common_is_an_error_even_when_partial(tmp_path: Path) -> None:
    file = tmp_path / "w.pt"
    torch.save({"other": torch.zeros(1)}, file)
    with pytest.raises(CheckpointError, match="0 tensors fit"):
        load_checkpoint(Segmenter(preset("tiny")), file, allow_partial=True)


def test_files_that_are_no_weights(tmp_path: Path) -> None:
    cases = {
        "code.pt": ({"state_dict": {"a": torch.zeros(1)}, "when": date(2024, 1, 1)}, "datetime.date"),
        "list.pt": ([torch.zeros(1)], "holds a list"),
        "empty.pt": ({"epoch": 3}, "holds no tensors by name"),
    }
    for name, (content, message) in cases.items():
        torch.save(content, tmp_path / name)
        with pytest.raises(CheckpointError, match=message):
            read_checkpoint(tmp_path / name)
    for name in ("cut.pt", "cut.safetensors"):
        (tmp_path / name).write_bytes(b"PK\x03\x04 not much")
        with pytest.raises(CheckpointError, match="damaged"):
            read_checkpoint(tmp_path / name)
    with pytest.raises(CheckpointError, match="no such file"):
        read_checkpoint(tmp_path / "gone.pt")


def test_a_newer_format_is_refused(tmp_path: Path, tiny_random: Callable[..., Segmenter]) -> None:
    file = tmp_path / "w.pt"
    save_weights(file, tiny_random(), SETTINGS)
    content = torch.load(file, weights_only=True)
    torch.save({**content, "version": 99}, file)
    with pytest.raises(CheckpointError, match="version 99"):
        read_checkpoint(file)


@pytest.mark.parametrize("prefix", ["", "model.", "model.sem."])
def test_the_backbone_alone(tmp_path: Path, tiny_random: Callable[..., Segmenter], prefix: str) -> None:
    source = tiny_random()
    state = {f"{prefix}backbone.{k}": v for k, v in source.backbone.state_dict().items()}
    file = tmp_path / "seem.pt"
    torch.save({**state, "lang_encoder.weight": torch.zeros(3)}, file)
    target = Segmenter(source.config, seed=99)
    head = target.sem_seg_head.pixel_decoder.input_proj.weight.clone()
    report = load_backbone(target, file)
    assert len(report.loaded) == len(source.backbone.state_dict())
    assert torch.equal(target.backbone.norm3.weight, source.backbone.norm3.weight)
    assert torch.equal(target.sem_seg_head.pixel_decoder.input_proj.weight, head)
    with pytest.raises(CheckpointError, match="FocalNet backbone of this model's size"):
        load_backbone(Segmenter(preset("small")), file)


def test_inspection_finds_values_that_are_not_finite(
    tmp_path: Path, tiny_random: Callable[..., Segmenter]
) -> None:
    model = tiny_random()
    file = tmp_path / "w.pt"
    save_weights(file, model, SETTINGS)
    report = inspect_weights(file)
    assert report.usable
    assert report.settings == SETTINGS
    with torch.no_grad():
        model.backbone.norm0.weight[3] = float("nan")
    save_weights(file, model, SETTINGS)
    assert inspect_weights(file).not_finite == ("backbone.norm0.weight",)
    assert not inspect_weights(file, "small").load.complete


@pytest.mark.slow
def test_a_full_size_file_of_the_released_layout_loads_and_runs(tmp_path: Path) -> None:
    file = tmp_path / "biomedparse_v2.ckpt"
    torch.save(lightning(Segmenter(preset("full"), seed=3).state_dict()), file)
    model, found = open_segmenter(file)
    assert (found.layout, found.config, found.settings) == ("released", preset("full"), RELEASED_SETTINGS)
    assert len(found.dropped) == 2
    image = torch.randint(0, 256, (1, 3, 256, 256), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        got = model(image, model.tokenize(["liver", "spleen"]), CounterRandomness.of(0, [0], [[0, 1]]))
    assert got.masks.shape == got.edges.shape == (1, 2, 64, 64)
    assert all(bool(x.isfinite().all()) for x in (got.masks, got.edges, got.existence))
