"""What ``--quick`` leaves out: a test is skipped at the moment it reaches for Dask, torch or another process."""

from __future__ import annotations

import platform
import subprocess
import sys
from importlib.machinery import ModuleSpec
from multiprocessing.process import BaseProcess
from typing import Any, NoReturn

import pytest

__all__ = ["leave_out_what_is_slow_to_start"]

# moto is the S3 server, which is as slow to start as a process.
SLOW_PACKAGES = ("distributed", "lightning", "monai", "moto", "torch")


class _Refused:
    """A finder that comes before all others and finds none of the packages that are slow to import."""

    def find_spec(self, name: str, *_: Any) -> ModuleSpec | None:
        if name in SLOW_PACKAGES:
            _skip(f"imports {name}")
        return None


def leave_out_what_is_slow_to_start() -> None:
    """Skip from now on, for the whole process, each test that imports such a package or starts a process."""
    platform.processor()  # asks the program uname, once a process; libraries ask it too
    sys.meta_path.insert(0, _Refused())

    def refuse(*_: Any, **__: Any) -> NoReturn:
        _skip("starts a process")

    subprocess.Popen.__init__ = refuse  # type: ignore[method-assign]
    BaseProcess.start = refuse  # type: ignore[method-assign]


def _skip(what: str) -> NoReturn:
    pytest.skip(f"--quick: it {what}", allow_module_level=True)
