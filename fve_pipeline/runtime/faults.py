"""What is the machine's fault, and not that of the data it was given."""

from __future__ import annotations

import errno

__all__ = ["is_environment_fault"]

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
}


def is_environment_fault(error: BaseException) -> bool:
    """True when an error is the machine's fault (disk, memory, network, credentials) and not a case's."""
    if isinstance(error, MemoryError | ConnectionError | TimeoutError):
        return True
    return isinstance(error, OSError) and error.errno in _ENVIRONMENT_ERRNOS
