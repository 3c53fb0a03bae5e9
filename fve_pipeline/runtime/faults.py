"""What is the machine's fault, and not that of the data it was given."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator

from fve_pipeline.errors import FveError, MachineError

__all__ = ["describe_fault", "is_environment_fault", "machine_faults", "naming"]

_ENVIRONMENT_ERRNOS = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.ENOMEM,
    errno.EMFILE,
    errno.ENFILE,
    errno.EIO,
    errno.EROFS,
    errno.EACCES,
    errno.EPERM,
    errno.ESTALE,
    errno.ENOLCK,
}


def is_environment_fault(error: BaseException) -> bool:
    """Return True when an error is the machine's fault (disk, memory, network, credentials) and not a case's."""
    if isinstance(error, MemoryError | ConnectionError | TimeoutError | MachineError):
        return True
    return isinstance(error, OSError) and error.errno in _ENVIRONMENT_ERRNOS


def describe_fault(error: BaseException) -> str:
    """Return one line on a fault of the machine: the file, the errno's name, and what to do."""
    if isinstance(error, OSError) and error.errno is not None:
        name = errno.errorcode.get(error.errno, str(error.errno))
        place = f"{os.fspath(error.filename)}: " if error.filename is not None else ""
        found = f"{place}{error.strerror or os.strerror(error.errno)} ({name})"
    else:
        found = f"{type(error).__name__}: {error}".rstrip(": ")
    return (
        f"{found}. This is the machine's fault and not the data's, so the work stops here. Mend it and run the same "
        "command again: what is finished is kept."
    )


@contextlib.contextmanager
def machine_faults() -> Iterator[None]:
    """Raise what is the machine's fault as a MachineError, one line that names file and errno."""
    try:
        yield
    except FveError:
        raise
    except (OSError, MemoryError) as error:
        if not is_environment_fault(error):
            raise
        raise MachineError(describe_fault(error)) from error


@contextlib.contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Put the path into an OSError that has none: those of an open file do not say whose they are."""
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = os.fspath(path)
        raise
