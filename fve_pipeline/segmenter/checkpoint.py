"""Reading and writing weights: the released file, safetensors, our own; nothing is passed over silently."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import ValidationError
from torch import Tensor

from fve_pipeline.errors import CheckpointError
from fve_pipeline.segmenter.config import PRESETS, SegmenterConfig
from fve_pipeline.segmenter.load_report import LoadReport
from fve_pipeline.segmenter.model import Segmenter
from fve_pipeline.segmenter.names import own_names
from fve_pipeline.segmenter.run_folder import run_weights
from fve_pipeline.segmenter.trained_on import TrainedOn

__all__ = [
    "RELEASED_SETTINGS",
    "Checkpoint",
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


@dataclass(frozen=True)
class Checkpoint:
    """A file's weights and what it says about them.

    ``settings`` are the data settings (order, boundary, resize, size) it was trained with, empty when the
    file does not say; ``config`` is None then, too. ``content`` is all that a file of our own says.
    """

    path: Path
    layout: Literal["released", "fve", "safetensors", "plain"]
    state: dict[str, Tensor]
    config: SegmenterConfig | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    dropped: tuple[str, ...] = ()
    content: dict[str, Any] = field(default_factory=dict)

    @property
    def trained_on(self) -> TrainedOn:
        """What it has learnt from; empty when the file does not say."""
        return TrainedOn.recorded(self.content)


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

    A folder is a run of ``fve train``, of which the best checkpoint is read, else the newest.
    Torch files are read with ``weights_only`` and mapped into memory, not copied.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, holds pickled code, or no tensors.
    """
    path = Path(path)
    if path.is_dir():
        path = run_weights(path)
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
        state, dropped = own_names(content["state_dict"], path)
        return _known(Checkpoint(path, "released", state, dropped=dropped))
    state, dropped = own_names(content, path)
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
    state, dropped = own_names(raw, path)
    if not meta:
        return _known(Checkpoint(path, "safetensors", state, dropped=dropped))
    config = _config(meta["config"], path)
    return Checkpoint(path, "safetensors", state, config, meta["settings"], dropped, meta)


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
    narrow = {v.dtype for v in found.state.values() if v.is_floating_point() and v.dtype.itemsize < 4}
    return LoadReport(
        found.path,
        found.layout,
        fits,
        missing,
        unexpected,
        tuple(reshaped),
        found.dropped,
        tuple(sorted(str(dtype).removeprefix("torch.") for dtype in narrow)),
    )


def load_checkpoint(
    model: Segmenter, source: Checkpoint | Path | str, *, allow_partial: bool = False
) -> LoadReport:
    """Copy a file's weights into ``model`` and say what fitted.

    Raises
    ------
    CheckpointError
        If names or shapes differ, unless ``allow_partial``; if nothing fits; or for weights that are integers,
        NaN or infinite. The model is unchanged then.
    """
    found = source if isinstance(source, Checkpoint) else read_checkpoint(source)
    report = compare(model, found)
    if not report.loaded or not (report.complete or allow_partial):
        msg = (
            f"{report}. The file is not of this model; choose the model's preset or configuration to match it"
        )
        raise CheckpointError(msg)
    _copy(model, {k: found.state[k] for k in report.loaded}, found.path)
    return report


def _copy(model: Segmenter, state: Mapping[str, Tensor], path: Path) -> None:
    for name, tensor in state.items():
        if not tensor.is_floating_point():
            found = f"{str(tensor.dtype).removeprefix('torch.')}, whose scale is not in the file"
        elif not bool(tensor.isfinite().all()):
            found = "values that are NaN or infinite"
        else:
            continue
        msg = (
            f"{path}: {name} holds {found}; expected finite floating-point weights. Give the file before that"
        )
        raise CheckpointError(msg)
    model.load_state_dict(dict(state), strict=False)


def load_backbone(model: Segmenter, path: Path | str) -> LoadReport:
    """Only the image backbone's weights, from a SEEM, BiomedParse or any file whose names hold ``backbone.``.

    Raises
    ------
    CheckpointError
        If a weight of the backbone is missing, has another shape, or holds integers, NaN or infinity.
    """
    found = read_checkpoint(path)
    prefix = "backbone."
    state = {
        k[k.index(prefix) :]: v for k, v in found.state.items() if k.startswith(prefix) or f".{prefix}" in k
    }
    whole = compare(model, Checkpoint(found.path, found.layout, state))
    missing = tuple(k for k in whole.missing if k.startswith(prefix))
    report = replace(whole, missing=missing)
    if report.missing or report.reshaped:
        msg = f"{report}. Expected a FocalNet backbone of this model's size: choose the preset to match"
        raise CheckpointError(msg)
    _copy(model, {k: state[k] for k in report.loaded}, found.path)
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


def save_weights(
    path: Path | str, model: Segmenter, settings: Mapping[str, Any], trained_on: TrainedOn | None = None
) -> None:
    """Weights with all that is known of them: safetensors by its suffix, else our torch layout."""
    path = Path(path)
    state = {k: v.detach().cpu().contiguous() for k, v in model.state_dict().items()}
    config = model.config.model_dump(mode="json")
    said = {
        "config": config,
        "settings": dict(settings),
        "trained_on": (trained_on or TrainedOn()).as_content(),
    }
    if path.suffix == ".safetensors":
        from safetensors.torch import save_file

        save_file(state, path, {"fve": json.dumps(said)})
    else:
        torch.save({"format": FORMAT, "version": VERSION, **said, "model": state}, path)
