"""Where kernels run: ``cpu``, ``cuda``, or whichever there is."""

from __future__ import annotations

from fve_pipeline.errors import BuildError

__all__ = ["DEVICES", "choose_device", "gpu_count"]

DEVICES = ("cpu", "cuda", "auto")


def choose_device(name: str) -> str:
    """``cpu`` or ``cuda``; ``auto`` takes a GPU where this process sees one that numba can use.

    Raises BuildError for another name, or for ``cuda`` without a usable GPU.
    """
    if name not in DEVICES:
        msg = f"device is {name!r}; expected one of {', '.join(DEVICES)}"
        raise BuildError(msg)
    missing = None if name == "cpu" else _why_none()
    if name == "cpu" or (name == "auto" and missing is not None):
        return "cpu"
    if missing is not None:
        msg = f"no GPU can be used: {missing}; install fve-pipeline[cuda] where there is one, or use --device cpu"
        raise BuildError(msg)
    return "cuda"


def gpu_count() -> int:
    """How many GPUs this process sees."""
    from fve_kernels.cuda_arrays import device_count

    return device_count()


def _why_none() -> str | None:
    """Why there is no usable GPU, or None where there is one."""
    try:
        from fve_kernels.cuda_arrays import is_available
    except ImportError as error:
        return str(error)
    return None if is_available() else "numba finds no CUDA device or driver"
