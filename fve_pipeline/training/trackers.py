"""Where a run's numbers and pictures go besides its own log: TensorBoard, MLflow, or what another package brings."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fve_pipeline.errors import TrainError

__all__ = ["GROUP", "Tracker", "open_trackers"]

#: The group of entry points in which another package names its trackers.
GROUP = "fve_pipeline.trackers"

Numbers = Iterable[tuple[str, float]]


class Tracker(Protocol):
    """Takes what a run tells. Made as ``factory(folder, settings, step)``, in the first process alone.

    ``folder`` is the run's own, ``settings`` its configuration as JSON holds it, ``step`` the one that it goes on from.
    """

    def numbers(self, values: Numbers, step: int) -> None:
        """Keep named numbers of a step, such as ``("train/loss", 0.2)``."""
        ...

    def image(self, name: str, picture: NDArray[np.uint8], step: int) -> None:
        """Keep a picture (H,W,3), RGB."""
        ...

    def close(self) -> None:
        """Write what is not written yet."""
        ...


class _TensorBoard:
    def __init__(self, folder: Path, settings: Mapping[str, Any], step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.board = SummaryWriter(str(folder / "tensorboard"), purge_step=step or None)
        if not step:
            self.board.add_text("settings", f"```\n{json.dumps(settings, indent=1)}\n```")

    def numbers(self, values: Numbers, step: int) -> None:
        for name, value in values:
            self.board.add_scalar(name, value, step)

    def image(self, name: str, picture: NDArray[np.uint8], step: int) -> None:
        self.board.add_image(name, picture, step, dataformats="HWC")

    def close(self) -> None:
        self.board.close()


class _MLflow:
    """What MLFLOW_TRACKING_URI names, else ``mlflow`` in the run's folder; a resumed run goes on in its own."""

    def __init__(self, folder: Path, settings: Mapping[str, Any], step: int) -> None:
        import os

        from mlflow.tracking import MlflowClient

        uri = os.environ.get("MLFLOW_TRACKING_URI")
        if not uri:
            uri = (folder / "mlflow").absolute().as_uri()
            # Later versions ask to be told that files are meant.
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        self.client = MlflowClient(uri)
        kept = folder / "mlflow-run"
        if step and kept.exists():
            self.run = kept.read_text()
            return
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "fve")
        found = self.client.get_experiment_by_name(name)
        experiment = found.experiment_id if found else self.client.create_experiment(name)
        self.run = self.client.create_run(experiment, tags={"mlflow.runName": folder.name}).info.run_id
        for key, value in _flat(settings):
            self.client.log_param(self.run, key, value)
        kept.write_text(self.run)

    def numbers(self, values: Numbers, step: int) -> None:
        for name, value in values:
            self.client.log_metric(self.run, name, value, step=step)

    def image(self, name: str, picture: NDArray[np.uint8], step: int) -> None:
        """Leave pictures where they lie in the run's folder: a file store would copy each."""

    def close(self) -> None:
        self.client.set_terminated(self.run)


def _flat(settings: Mapping[str, Any], before: str = "") -> Iterable[tuple[str, str]]:
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", str(value)[:500]


Factory = Callable[[Path, Mapping[str, Any], int], Tracker]
_OWN: dict[str, Factory] = {"tensorboard": _TensorBoard, "mlflow": _MLflow}


def open_trackers(
    names: Sequence[str], folder: Path, settings: Mapping[str, Any], step: int
) -> list[Tracker]:
    """Return the trackers of a run by name, opened.

    Raises
    ------
    TrainError
        For a name that neither we nor an entry point of the group :data:`GROUP` knows, or whose package is missing.
    """
    others = {found.name: found for found in entry_points(group=GROUP)}
    opened: list[Tracker] = []
    for name in names:
        if name not in _OWN and name not in others:
            known = ", ".join(sorted({*_OWN, *others}))
            msg = f"[run] trackers names {name!r}: unknown; known: {known}, and what entry points of {GROUP} bring"
            raise TrainError(msg)
        try:
            factory: Factory = _OWN[name] if name in _OWN else others[name].load()
            opened.append(factory(folder, settings, step))
        except ImportError as error:
            msg = f"[run] trackers names {name!r}, which needs {error.name}: not installed. Install it, or leave it out"
            raise TrainError(msg) from error
    return opened
