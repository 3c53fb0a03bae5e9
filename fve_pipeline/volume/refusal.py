"""The one shape that this package's messages have: file: what was found; expected what. What to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

from fve_pipeline.errors import ReadError
from fve_pipeline.runtime.faults import is_environment_fault

__all__ = ["damage_named", "pick_channel", "refusal", "truncated"]

E = TypeVar("E", bound=ReadError)


def refusal(name: str, found: str, expected: str, advice: str, kind: type[E] = ReadError) -> E:  # type: ignore[assignment]
    """Return the error to raise."""
    return kind(f"{name}: {found}; expected {expected}. {advice}.")


@contextmanager
def damage_named(name: str, kind: str, expected: str, errors: tuple[type[Exception], ...]) -> Iterator[None]:
    """Raise ReadError in place of a library's ``errors``, unless the machine is at fault and not the file."""
    try:
        yield
    except errors as error:
        if is_environment_fault(error):
            raise
        found = f"truncated or damaged {kind} ({error})"
        raise refusal(name, found, expected, "Download it again") from error


def truncated(name: str, found: int, expected: int) -> ReadError:
    """Return the error for a file that ends early."""
    return refusal(name, f"truncated, {found} of {expected} bytes", "all of them", "Download it again")


def pick_channel(name: str, channels: int, channel: int | None, text: str, *, strict: bool) -> int:
    """Return the channel to read: the one named, or the only one. Headers (not ``strict``) need none named."""
    if channel is None:
        if channels > 1 and strict:
            found, expected = (
                f"{channels} volumes in one file ({text})",
                "one volume, or one of them to be named",
            )
            raise refusal(name, found, expected, f"Name a channel (0..{channels - 1})")
        return 0
    if not 0 <= channel < channels:
        expected = f"a channel of 0..{channels - 1}"
        raise refusal(name, f"no channel {channel} ({text})", expected, "Correct the catalog")
    return channel
