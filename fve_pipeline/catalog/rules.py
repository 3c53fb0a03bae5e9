"""Small checks that the catalog models share."""

from __future__ import annotations

__all__ = ["KeyedError", "checked_window"]


class KeyedError(ValueError):
    """A wrong value whose key is known: the loader turns the key into a line number."""

    def __init__(self, key: str | tuple[str | int, ...], message: str) -> None:
        super().__init__(message)
        self.key: tuple[str | int, ...] = (key,) if isinstance(key, str) else key


def checked_window(name: str | None) -> str | None:
    """Refuse a window that ``fve_pipeline.imaging.windows`` does not know."""
    if name is not None:
        from fve_pipeline.imaging.windows import parse_window

        parse_window(name)
    return name
