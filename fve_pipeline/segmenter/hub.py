"""A model as a folder in the layout of model hubs: ``model.safetensors``, ``config.json``, and a model card."""

from __future__ import annotations

import json
from pathlib import Path

from fve_pipeline.errors import CheckpointError
from fve_pipeline.segmenter.checkpoint import open_segmenter, save_weights
from fve_pipeline.segmenter.run_folder import HUB_WEIGHTS
from fve_pipeline.segmenter.trained_on import TrainedOn

__all__ = ["save_pretrained"]

_MODEL_TYPE = "biomedparse-v"


def save_pretrained(weights: Path | str, folder: Path | str) -> Path:
    """Write the model in ``weights`` into a new ``folder`` as hubs lay models out, and return the folder.

    ``model.safetensors`` holds float32 weights and, in its metadata, all that :func:`open_segmenter` needs; ``config.json``
    says the same for people and hubs; ``README.md`` is the model card, with the licences of the data sets that it was
    trained on. Of its training cases only the hashes of their images go along. Whatever takes weights takes the folder.

    Raises
    ------
    CheckpointError
        If ``weights`` cannot be read or do not say which model they are of, or ``folder`` is there and not empty.
    """
    folder = Path(folder)
    if folder.exists() and any(folder.iterdir()):
        msg = f"{folder}: is there and not empty; give a new folder"
        raise CheckpointError(msg)
    model, found = open_segmenter(weights)
    config = model.config.model_dump(mode="json")
    folder.mkdir(parents=True, exist_ok=True)
    about = {
        "model_type": _MODEL_TYPE,
        "library_name": "fve_pipeline",
        "segmenter": config,
        "data": found.settings,
    }
    (folder / "config.json").write_text(json.dumps(about, indent=2) + "\n")
    (folder / "README.md").write_text(
        _card(found.settings, found.trained_on, sum(p.numel() for p in model.parameters()))
    )
    # Last: a folder without it is no model.
    save_weights(folder / HUB_WEIGHTS, model, found.settings, found.trained_on.nameless())
    return folder


def _card(settings: dict[str, object], trained_on: TrainedOn, parameters: int) -> str:
    """The model card: its front matter in YAML (of which JSON strings are a part), then what it is in words."""
    names = list(dict.fromkeys(one.dataset for one in trained_on.datasets))
    cases = {name: sum(one.case.startswith(f"{name}/") for one in trained_on.cases) for name in names}
    lines = ["---", "library_name: fve_pipeline", "pipeline_tag: image-segmentation", "license: other"]
    lines += ["tags:", "- medical", "- segmentation", f"- {_MODEL_TYPE}"]
    lines += ["datasets:", *(f"- {json.dumps(name)}" for name in names)] if names else []
    lines += ["---", "", "# A text-prompted segmenter of medical volumes", ""]
    lines += [
        f"BiomedParse-V with {parameters:,} parameters. It segments FVE-encoded slices as they are made with",
        "",
    ]
    lines += [f"- {key}: {value}" for key, value in settings.items()]
    lines += [
        "",
        "```",
        "fve predict case.nii.gz --prompts liver --weights THIS_FOLDER --out predictions",
        "```",
        "",
    ]
    lines += ["## Training data and their licences", ""]
    if names:
        lines += ["| data set | cases | licence | source |", "|---|---|---|---|"]
        lines += [
            f"| {d.dataset} | {cases[d.dataset]:,} | {d.licence} | {d.url} |" for d in trained_on.datasets
        ]
        lines += ["", "What may be done with the weights depends on these licences. Please cite:", ""]
        lines += [f"- {one.citation}" for one in trained_on.datasets if one.citation]
    else:
        lines.append("The checkpoint does not say what it was trained on.")
    return "\n".join(lines) + "\n"
