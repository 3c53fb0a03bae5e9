"""What the system lets a process have."""

from __future__ import annotations

__all__ = ["open_file_limit"]

# Windows has no such limit to ask for; its C library opens 512 files and its own calls many more.
_WINDOWS = 512


def open_file_limit() -> int:
    """Return how many files this process may hold open at once; a very large number where there is no limit."""
    try:
        import resource
    except ImportError:
        return _WINDOWS
    found, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 1 << 62 if found == resource.RLIM_INFINITY else found
