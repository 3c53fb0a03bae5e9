"""Sizes as people write them."""

from __future__ import annotations

import re

__all__ = ["format_bytes", "parse_bytes", "parse_duration"]

_UNITS = {
    "": 1,
    "k": 10**3,
    "m": 10**6,
    "g": 10**9,
    "t": 10**12,
    "ki": 2**10,
    "mi": 2**20,
    "gi": 2**30,
    "ti": 2**40,
}


def parse_bytes(text: str) -> int:
    """``"64MB"`` → 64,000,000; ``"6GiB"`` → 6 · 2³⁰; a bare number is bytes. Raises ValueError.

    >>> parse_bytes("64MB"), parse_bytes("1.5 GiB")
    (64000000, 1610612736)
    """
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([kmgt]?i?)b?\s*", text.lower())
    if match is None or match[2] not in _UNITS:
        msg = f"{text!r} is not a size: write a number with B, kB, MB, GB, KiB, MiB or GiB, such as 64MB"
        raise ValueError(msg)
    return int(float(match[1]) * _UNITS[match[2]])


def format_bytes(count: float) -> str:
    """1234567 → ``"1.2 MB"``.

    >>> format_bytes(1234567)
    '1.2 MB'
    """
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if abs(count) < 1000 or unit == "TB":
            break
        count /= 1000
    return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"


def parse_duration(text: str) -> float:
    """``"7h30m"`` → 27,000 seconds. Raises ValueError for anything but numbers of d, h, m, s, in that order.

    >>> parse_duration("1d2h"), parse_duration("90m"), parse_duration("0.5s")
    (93600.0, 5400.0, 0.5)
    """
    number = r"(?:(\d+(?:\.\d+)?)"
    match = re.fullmatch(rf"{number}d)?{number}h)?{number}m)?{number}s)?", text.replace(" ", ""))
    if match is None or not any(match.groups()):
        msg = f"{text!r} is not a duration: write days, hours, minutes, seconds, such as 23h30m or 90m"
        raise ValueError(msg)
    return sum(
        float(part or 0) * unit for part, unit in zip(match.groups(), (86400, 3600, 60, 1), strict=True)
    )
