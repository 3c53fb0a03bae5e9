"""Reading and writing weights: the released file, safetensors, our own; nothing is passed over silently."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import ValidationError
from torch import Tensor

from fve_pipeline.errors import CheckpointError
from fve_pipeline.segmenter.config import PRESETS, SegmenterConfig
from fve_pipeline.segmenter.model import Segmenter

__all__ = [
    "RELEASED_SETTINGS",
    "Checkpoint",
    "LoadReport",
    "compare",
    "load_backbone",
    "load_checkpoint",
    "open_segmenter",
    "read_checkpoint",
    "save_weights",
]

FORMAT, VERSION = "fve-segmenter", 1

# What the released weights were trained on; a store to fine-tune or judge them must agree.
RELEASED_SETTINGS: dict[str, Any] = {"order": 1, "boundary": "mirror", "resize": "released", "size": 512}

# Weights of the loss function that the released file carries along.
_LOSS_KEYS = ("loss_function.loss_fn.dice_loss.class_weight", "loss_function.cls_loss_fn.pos_weight")


@dataclass(frozen=True)
class Checkpoint:
    """A file's weights and what it says about them.

    ``settings`` are the data settings (order, boundary, resize, size) it was trained with, empty when the
    file does not say; ``config`` is None then, too. ``content`` is the whole file of our own layout.
    """

    path: Path
    layout: Literal["released", "fve", "safetensors", "plain"]
    state: dict[str, Tensor]
    config: SegmenterConfig | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    content: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class LoadReport:
    """What a file gave a model: names that fit, that either lacks, or that have another shape."""

    path: Path
    layout: str
    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    reshaped: tuple[str, ...]
    dropped: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether file and model hold exactly the same names and shapes."""
        return not (self.missing or self.unexpected or self.reshaped)

    def __str__(self) -> str:
        parts = [f"{self.path}: {self.layout} layout, {len(self.loaded)} tensors fit"]
        for what in ("missing", "unexpected", "reshaped", "dropped"):
            names = getattr(self, what)
            if names:
                shown = ", ".join(names[:4]) + (", …" if len(names) > 4 else "")
                parts.append(f"{len(names)} {what}: {shown}")
        return "; ".join(parts)


def _read_torch(path: Path) -> Any:
    with path.open("rb") as file:
        start = file.read(2)
    if start != b"PK" and start[:1] != b"\x80":  # torch's zip layout, and its older one, a pickle
        msg = (
            f"{path}: no torch checkpoint (it begins with {start!r}); give one of `fve train`, or safetensors"
        )
        raise CheckpointError(msg)
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        lines = [line.strip() for line in str(error).splitlines() if "GLOBAL" in line]
        msg = (
            f"{path}: holds pickled objects beside its tensors, which could run code and are not loaded. If "
            "you trust it, load it with torch.load(path, weights_only=False) and save its state_dict alone "
            f"with torch.save. What was refused: {lines[0] if lines else error}"
        )
        raise CheckpointError(msg) from error
    except (RuntimeError, EOFError, KeyError) as error:
        what = str(error).splitlines()[0]
        msg = f"{path}: not a torch checkpoint, or damaged ({what}); download or copy it again"
        raise CheckpointError(msg) from error


def _strip(state: Mapping[str, Any], path: Path) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Tensors under their own names: wrappers' prefixes removed, the loss function's keys dropped."""
    tensors = {k: v for k, v in state.items() if isinstance(v, Tensor)}
    if not tensors:
        msg = f"{path}: holds no tensors by name (found: {', '.join(map(str, list(state)[:6])) or 'nothing'})"
        raise CheckpointError(msg)
    for prefix in ("module.", "model.", "_orig_mod."):
        kept = [k for k in tensors if not k.startswith("loss_function.")]
        if kept and all(k.startswith(prefix) for k in kept):
            tensors = {k.removeprefix(prefix): v for k, v in tensors.items()}
    dropped = tuple(k for k in tensors if k.endswith(_LOSS_KEYS))
    return {k: v for k, v in tensors.items() if k not in dropped}, dropped


def _config(raw: Any, path: Path) -> SegmenterConfig:
    try:
        return SegmenterConfig.model_validate(raw)
    except ValidationError as error:
        msg = f"{path}: its model configuration is not one that this version knows: {error}"
        raise CheckpointError(msg) from error


def _fits_full(state: Mapping[str, Tensor]) -> bool:
    with torch.device("meta"):
        expected = Segmenter(PRESETS["full"], seed=None).state_dict()
    return {k: v.shape for k, v in expected.items()} == {k: v.shape for k, v in state.items()}


def read_checkpoint(path: Path | str) -> Checkpoint:
    """The weights in ``path``: safetensors by its suffix, else a torch file, told apart by its content.

    Torch files are read with ``weights_only`` and mapped into memory, not copied.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, holds pickled code, or no tensors.
    """
    path = Path(path)
    if not path.is_file():
        msg = f"{path}: no such file; `fve weights` says how to get the released one"
        raise CheckpointError(msg)
    if path.suffix == ".safetensors":
        return _read_safetensors(path)
    content = _read_torch(path)
    if not isinstance(content, dict):
        msg = f"{path}: holds a {type(content).__name__}; expected a dictionary of tensors"
        raise CheckpointError(msg)
    if content.get("format") == FORMAT:
        if content["version"] > VERSION:
            msg = f"{path}: checkpoint version {content['version']}; this program reads up to {VERSION}"
            raise CheckpointError(msg)
        config = _config(content["config"], path)
        return Checkpoint(path, "fve", content["model"], config, dict(content["settings"]), content=content)
    if isinstance(content.get("state_dict"), dict):
        state, dropped = _strip(content["state_dict"], path)
        return _known(Checkpoint(path, "released", state, dropped=dropped))
    state, dropped = _strip(content, path)
    return _known(Checkpoint(path, "plain", state, dropped=dropped))


def _known(found: Checkpoint) -> Checkpoint:
    """With configuration and settings, if these are the released model's weights."""
    if not _fits_full(found.state):
        return found
    return Checkpoint(
        found.path, found.layout, found.state, PRESETS["full"], dict(RELEASED_SETTINGS), found.dropped
    )


def _read_safetensors(path: Path) -> Checkpoint:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            raw = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
            meta = json.loads((file.metadata() or {}).get("fve", "{}"))
    except (SafetensorError, ValueError) as error:
        msg = f"{path}: not a safetensors file, or damaged ({error}); download or copy it again"
        raise CheckpointError(msg) from error
    state, dropped = _strip(raw, path)
    if not meta:
        return _known(Checkpoint(path, "safetensors", state, dropped=dropped))
    return Checkpoint(path, "safetensors", state, _config(meta["config"], path), meta["settings"], dropped)


def compare(model: Segmenter, found: Checkpoint) -> LoadReport:
    """How ``found`` fits ``model``, by name and shape; works on the meta device."""
    own = {k: v.shape for k, v in model.state_dict().items()}
    shared = [k for k in own if k in found.state]
    fits = tuple(k for k in shared if own[k] == found.state[k].shape)
    reshaped = [
        f"{k} {list(found.state[k].shape)} (model: {list(own[k])})"
        for k in shared
        if own[k] != found.state[k].shape
    ]
    missing = tuple(k for k in own if k not in found.state)
    unexpected = tuple(k for k in found.state if k not in own)
    return LoadReport(found.path, found.layout, fits, missing, unexpected, tuple(reshaped), found.dropped)


def load_checkpoint(
    model: Segmenter, source: Checkpoint | Path | str, *, allow_partial: bool = False
) -> LoadReport:
    """Copy a file's weights into ``model`` and say what fitted.

    Raises
    ------
    CheckpointError
        If names or shapes differ, unless ``allow_partial``; or if nothing fits. The model is unchanged then.
    """
    found = source if isinstance(source, Checkpoint) else read_checkpoint(source)
    report = compare(model, found)
    if not report.loaded or not (report.complete or allow_partial):
        msg = (
            f"{report}. The file is not of this model; choose the model's preset or configuration to match it"
        )
        raise CheckpointError(msg)
    model.load_state_dict({k: found.state[k] for k in report.loaded}, strict=False)
    return report


def load_backbone(model: Segmenter, path: Path | str) -> LoadReport:
    """Only the image backbone's weights, from a SEEM, BiomedParse or any file whose names hold ``backbone.``.

    Raises
    ------
    CheckpointError
        If a weight of the backbone is missing or has another shape.
    """
    found = read_checkpoint(path)
    prefix = "backbone."
    state = {
        k[k.index(prefix) :]: v for k, v in found.state.items() if k.startswith(prefix) or f".{prefix}" in k
    }
    whole = compare(model, Checkpoint(found.path, found.layout, state))
    missing = tuple(k for k in whole.missing if k.startswith(prefix))
    report = LoadReport(found.path, found.layout, whole.loaded, missing, whole.unexpected, whole.reshaped, ())
    if report.missing or report.reshaped:
        msg = f"{report}. Expected a FocalNet backbone of this model's size: choose the preset to match"
        raise CheckpointError(msg)
    model.load_state_dict({k: state[k] for k in report.loaded}, strict=False)
    return report


def open_segmenter(path: Path | str) -> tuple[Segmenter, Checkpoint]:
    """The model that a file describes, with its weights, in evaluation mode.

    Raises
    ------
    CheckpointError
        If the file does not say its configuration and is not the released model.
    """
    found = read_checkpoint(path)
    if found.config is None:
        msg = f"{path}: does not say which model it is of; load it over a Segmenter with load_checkpoint"
        raise CheckpointError(msg)
    model = Segmenter(found.config, seed=None)
    load_checkpoint(model, found)
    return model.eval(), found


def save_weights(path: Path | str, model: Segmenter, settings: Mapping[str, Any]) -> None:
    """Weights with configuration and data settings: safetensors by its suffix, else our torch layout."""
    path = Path(path)
    state = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    config = model.config.model_dump(mode="json")
    if path.suffix == ".safetensors":
        from safetensors.torch import save_file

        save_file(state, path, {"fve": json.dumps({"config": config, "settings": dict(settings)})})
    else:
        content = {
            "format": FORMAT,
            "version": VERSION,
            "config": config,
            "settings": dict(settings),
            "model": state,
        }
        torch.save(content, path)
