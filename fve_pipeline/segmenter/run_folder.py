"""Which file of a run's folder is its weights."""

from __future__ import annotations

from pathlib import Path

from fve_pipeline.errors import CheckpointError

__all__ = ["run_weights"]


def run_weights(run: Path) -> Path:
    """Return the best checkpoint of a run of ``fve train``, else its newest.

    Parameters
    ----------
    run
        The run's folder (``--out``), or the folder ``checkpoints`` in it.

    Raises
    ------
    CheckpointError
        If there is none.
    """
    for folder in (run / "checkpoints", run):
        if (best := folder / "best.pt").is_file():
            return best
        if steps := sorted(folder.glob("step-????????.pt")):
            return steps[-1]
    msg = (
        f"{run}: a folder without checkpoints; expected checkpoints/best.pt or checkpoints/step-NNNNNNNN.pt, as "
        "`fve train --out` writes them. Give a run's folder, or a weights file"
    )
    raise CheckpointError(msg)
