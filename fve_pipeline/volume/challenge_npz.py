"""What is special about the challenge's npz files: pickled prompts to read, ``segs`` to write.

The prompts are a pickled dict, and a pickle can run code. So they are read on an explicit flag only, by an
unpickler that knows nothing but the shell of a numpy object array, whose parts are inert stand-ins here.
"""

from __future__ import annotations

import io
import pickle
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from fve_pipeline.errors import PredictionError, ReadError
from fve_pipeline.files.atomic import write_whole

__all__ = ["TextPrompts", "read_text_prompts", "write_segs"]

_MEMBER = "text_prompts.npy"
_MOST_BYTES = 1 << 20


@dataclass(frozen=True)
class TextPrompts:
    """The prompts of one validation file: ``sentences`` by class id, and whether labels are instances."""

    sentences: dict[int, str]
    instances: bool


def read_text_prompts(path: Path, *, allow_pickle: bool = False) -> TextPrompts | None:
    """Return the file's ``text_prompts``; None if it has none.

    Raises
    ------
    ReadError
        Without ``allow_pickle``; for a pickle that asks for anything but the object array of plain
        strings and numbers; for a dict of another form.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if _MEMBER not in archive.namelist():
                return None
            if not allow_pickle:
                msg = (
                    f"{path}: text_prompts is a pickled object, which is not read unless asked for; "
                    "allow it (--allow-pickle) if you trust where the file comes from, or give the prompts."
                )
                raise ReadError(msg)
            if (size := archive.getinfo(_MEMBER).file_size) > _MOST_BYTES:
                msg = f"{path}: text_prompts takes {size} bytes; expected under 1 MiB."
                raise ReadError(msg)
            content = io.BytesIO(archive.read(_MEMBER))
        npy.read_magic(content)
        _, _, dtype = npy.read_array_header_1_0(content)
        if not dtype.hasobject:
            msg = f"{path}: text_prompts is an array of {dtype}; expected a pickled dict."
            raise ReadError(msg)
        value = _Unpickler(content).load()
    except ReadError:
        raise
    except pickle.UnpicklingError as error:
        msg = f"{path}: text_prompts: {error}"
        raise ReadError(msg) from error
    # A damaged pickle raises nearly anything.
    except Exception as error:
        msg = f"{path}: cannot read text_prompts ({type(error).__name__}: {error}); expected a pickled dict."
        raise ReadError(msg) from error
    return _checked(path, value.content() if isinstance(value, _ArrayShell) else value)


def write_segs(path: Path, segs: NDArray[np.unsignedinteger]) -> None:
    """Write a label map (D, H, W) as the challenge wants it: npz, ``segs``, uint8; whole or not at all.

    Raises
    ------
    PredictionError
        For an id above 255, which uint8 would wrap into another class or into background.
    """
    highest = int(segs.max(initial=0))
    if highest > 255:
        msg = f"{path}: label id {highest} does not fit the challenge's uint8 segs (0 to 255); write NIfTI."
        raise PredictionError(msg)
    with write_whole(path) as file:
        np.savez_compressed(file, segs=segs.astype(np.uint8))


def _checked(path: Path, value: object) -> TextPrompts:
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        msg = f"{path}: text_prompts is {type(value).__name__}; expected a dict of sentences by class id."
        raise ReadError(msg)
    rest = dict(value)
    instances = rest.pop("instance_label", 0)
    bad = [
        key for key, text in rest.items() if not (key.isdecimal() and isinstance(text, str) and text.strip())
    ]
    if bad or instances not in (0, 1) or not rest:
        what = (
            f"entry {bad[0]!r}: {rest[bad[0]]!r}"
            if bad
            else f"instance_label {instances!r}, {len(rest)} classes"
        )
        msg = f'{path}: text_prompts has {what}; expected {{"1": "sentence", ..., "instance_label": 0 or 1}}.'
        raise ReadError(msg)
    return TextPrompts({int(key): rest[key] for key in sorted(rest, key=int)}, bool(instances))


class _ArrayShell:
    """Stands in for numpy.ndarray while unpickling; keeps the list of its elements."""

    def __init__(self, *_: object) -> None:
        self._state: Any = None

    def __setstate__(self, state: object) -> None:
        self._state = state

    def content(self) -> object:
        return self._state[-1][0]


class _DtypeShell(_ArrayShell):
    """Stands in for numpy.dtype, whose value is known: object."""


def _reconstruct(*_: object) -> _ArrayShell:
    return _ArrayShell()


_KNOWN: dict[tuple[str, str], object] = {
    ("numpy", "ndarray"): _ArrayShell,
    ("numpy", "dtype"): _DtypeShell,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _KNOWN:
            msg = f"the pickle asks for {module}.{name}, which prompts have no need of; not loaded."
            raise pickle.UnpicklingError(msg)
        return _KNOWN[module, name]
