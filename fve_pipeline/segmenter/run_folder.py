"""Which file of a folder is its weights."""

from __future__ import annotations

from pathlib import Path

from fve_pipeline.errors import CheckpointError

__all__ = ["HUB_WEIGHTS", "run_weights"]

# What a model of a hub calls its weights.
HUB_WEIGHTS = "model.safetensors"


def run_weights(run: Path) -> Path:
    """Return the best checkpoint of a run of ``fve train``, else its newest; or the weights of a hub's folder.

    Parameters
    ----------
    run
        The run's folder (``--out``), or the folder ``checkpoints`` in it; or what ``fve weights export`` wrote.

    Raises
    ------
    CheckpointError
        If there is none.
    """
    for folder in (run / "checkpoints", run):
        if (best := folder / "best.pt").is_file():
            return best
        if (hub := folder / HUB_WEIGHTS).is_file():
            return hub
        if steps := sorted(folder.glob("step-????????.pt")):
            return steps[-1]
    msg = (
        f"{run}: a folder without checkpoints; expected checkpoints/best.pt or checkpoints/step-NNNNNNNN.pt, as "
        f"`fve train --out` writes them, or a hub's {HUB_WEIGHTS}. Give a run's folder, or a weights file"
    )
    raise CheckpointError(msg)
