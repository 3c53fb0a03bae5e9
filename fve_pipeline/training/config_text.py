"""Every setting of a run as a TOML file to begin from: its default, its choices, and what the table is for."""

from __future__ import annotations

import inspect
import json
import textwrap
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel

from fve_pipeline.bio2vol.settings import Bio2VolSettings
from fve_pipeline.segmenter.config import PRESETS
from fve_pipeline.training.config import PROTOCOLS, TrainConfig

__all__ = ["config_text"]

_HEAD = """\
# Settings of `fve train`, each at its default. What is left out, or is a comment, keeps it; docs/training.md says more.

# finetune (batch 8, 10 epochs, clip 5) or paper (batch 320, 80 epochs, no clip): what [optimisation] leaves out.
protocol = "finetune"
"""
_EXAMPLES = {
    "init": '"weights/biomedparse_v2.ckpt"',
    "backbone": '"weights/seem.pt"',
    "order": "1",
    "stop_after": '"23h30m"',
    "stride": "3",
}


def config_text() -> str:
    """Return the file's text; loaded, it is the default configuration."""
    config = TrainConfig.of({})
    parts = [_HEAD]
    for name in TrainConfig.model_fields:
        section = getattr(config, name)
        if isinstance(section, BaseModel):
            parts.append(_table(name, section))
    adapted = _table("bio2vol", Bio2VolSettings()).splitlines()
    parts.append(
        "\n".join(line if line.startswith("#") or not line else f"# {line}" for line in adapted) + "\n"
    )
    return "\n".join(parts)


def _table(name: str, section: BaseModel) -> str:
    told = inspect.getdoc(type(section)) or ""
    lines = textwrap.wrap(" ".join(told.replace("``", "").split()), 116)
    out = [*(f"# {line}" for line in lines), f"[{name}]"]
    for key, described in type(section).model_fields.items():
        value = getattr(section, key)
        choices = list(PRESETS) if key == "preset" else _choices(described.annotation)
        told = f"  # {' | '.join(choices)}" if choices else ""
        if value is None:
            out.append(f"# {key} = {_EXAMPLES[key]}{told}")
        elif (
            name == "optimisation" and key in PROTOCOLS["finetune"]
        ):  # written, it would come over a protocol
            out.append(f"# {key} = {_toml(value)}")
        else:
            out.append(f"{key} = {_toml(value)}{told}")
    return "\n".join(out) + "\n"


def _choices(annotation: Any) -> list[str]:
    if get_origin(annotation) is Literal:
        return [str(one) for one in get_args(annotation)]
    return next((found for one in get_args(annotation) if (found := _choices(one))), [])


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return (
            "{ " + ", ".join(f"{key} = {_toml(one)}" for key, one in value.items()) + " }" if value else "{}"
        )
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)
