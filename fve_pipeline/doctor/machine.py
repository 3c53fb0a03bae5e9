"""Cores, memory, disk, files: what a build has to live on."""

from __future__ import annotations

import platform
import shutil
from pathlib import Path

from fve_pipeline.doctor.check import Check
from fve_pipeline.runtime.executor import memory_budget
from fve_pipeline.runtime.limits import open_file_limit
from fve_pipeline.runtime.units import format_bytes

__all__ = ["machine_checks"]

# A worker reads a volume, its labels and their working copies: 2 GiB hold a CT of 512×512×500.
_LITTLE_MEMORY = 2 << 30
_LITTLE_DISK = 5_000_000_000
# A reader keeps up to 128 shards of each of two arrays open.
_FEW_FILES = 512


def machine_checks(folder: Path) -> list[Check]:
    """Operating system, cores, memory, free disk of ``folder``, and how many files may be open."""
    from dask.system import CPU_COUNT

    found = [
        Check("machine", "system", f"{platform.system()} {platform.release()} {platform.machine()}"),
        Check("machine", "cores", f"{CPU_COUNT}, so many workers by default"),
        _memory(CPU_COUNT),
    ]
    free = shutil.disk_usage(folder).free
    found.append(
        Check(
            "machine",
            "disk here",
            f"{format_bytes(free)} free",
            "note" if free < _LITTLE_DISK else "ok",
            "fve build --dry-run says what a store will take" if free < _LITTLE_DISK else "",
        )
    )
    files = open_file_limit()
    few = files < _FEW_FILES
    found.append(
        Check(
            "machine",
            "open files",
            "unlimited" if files >= 1 << 62 else f"{files:,}",
            "note" if few else "ok",
            f"raise it: ulimit -n {4 * _FEW_FILES}" if few else "",
        )
    )
    return found


def _memory(cores: int) -> Check:
    budget = memory_budget()
    value = f"{format_bytes(budget / 0.8)}, of which a build takes {format_bytes(budget)}"
    if budget >= cores * _LITTLE_MEMORY:
        return Check("machine", "memory", value)
    advice = f"large volumes run one at a time; fewer workers waste less: --workers {max(1, budget // _LITTLE_MEMORY)}"
    return Check("machine", "memory", value, "note", advice)
