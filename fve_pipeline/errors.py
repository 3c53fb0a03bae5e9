"""Errors that users see.

Every message names the file, what was found, what was expected, and what to do. Each class is also the
builtin that a caller would catch.
"""

from __future__ import annotations

__all__ = [
    "Bio2VolError",
    "BuildError",
    "CatalogError",
    "CheckpointError",
    "CoresetError",
    "EvaluationError",
    "ExportError",
    "FveError",
    "GeometryError",
    "IntensityError",
    "LoadingError",
    "MachineError",
    "PredictionError",
    "ReadError",
    "ReportError",
    "SettingsError",
    "StoreError",
    "StoreFormatError",
    "StoreLockedError",
    "TrainError",
]


class FveError(Exception):
    """Base of all errors that this package raises on purpose."""


class CatalogError(FveError, ValueError):
    """A catalog that cannot be used: a wrong key, an unknown window, a glob that matches nothing."""


class CoresetError(FveError, ValueError):
    """A selection that cannot be made, or that does not belong to the store it is used with."""


class CheckpointError(FveError, ValueError):
    """Weights that cannot be read, or that are of another model."""


class ReadError(FveError, ValueError):
    """A medical file that cannot be read right. Fails its own case, never the build."""


class GeometryError(ReadError):
    """Image and labels that do not lie in the same place in the body."""


class IntensityError(FveError, ValueError):
    """Voxels that no rule turns into 0..255: CT without a window, values outside what was declared."""


class ReportError(FveError, ImportError):
    """A picture that cannot be drawn, for want of the library that draws it."""


class StoreError(FveError, OSError):
    """A store that is missing, unfinished, or not what was asked for."""


class StoreFormatError(FveError, ValueError):
    """Bytes of a store that contradict its format or its checksums."""


class StoreLockedError(StoreError):
    """Another build is writing into this store."""


class BuildError(FveError, RuntimeError):
    """A build that cannot go on: changed settings, a changed source, no disk, no workers."""


class SettingsError(FveError, ValueError):
    """Settings of a store that do not exist or do not go together. ``setting`` names the one, "" for several."""

    def __init__(self, setting: str, problem: str) -> None:
        super().__init__(setting, problem)
        self.setting = setting
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.setting}: {self.problem}" if self.setting else self.problem


class MachineError(BuildError, OSError):
    """The machine is at fault and not the data: no disk, no memory, no right to write, too many open files."""


class EvaluationError(FveError, ValueError):
    """A prediction and a truth that cannot be compared, or nothing to compare."""


class PredictionError(FveError, ValueError):
    """A prompt or input that cannot be predicted from, or a label map that its format cannot hold."""


class TrainError(FveError, RuntimeError):
    """Training that cannot start or go on; the message says what to change."""


class LoadingError(FveError, ValueError):
    """Samples that cannot be drawn or read as asked: an unknown name, stores that do not mix, a refused option."""


class ExportError(FveError, ValueError):
    """Samples that another format cannot hold: too many instances for 8 bits, a folder that is not empty."""


class Bio2VolError(FveError, ValueError):
    """An adaptation to volumes that the model or the data do not allow."""
