"""Text that files and folders bring along, made safe to show."""

from __future__ import annotations

import re

__all__ = ["printable"]

# C0 and C1 control characters, DEL, and what moves or reverses the text around it; a line's end is one of them.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    r"""Return the text with control characters and bytes that are no UTF-8 written out.

    A name with an ESC sequence or a line's end in it could otherwise write lines of its own into a terminal or a log.

    >>> printable("scan\x1b[2K\n1.nii")
    'scan\\x1b[2K\\x0a1.nii'
    >>> printable("caf\udce9.nii")
    'caf\\xe9.nii'
    """
    whole = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return _CONTROL.sub(_written_out, whole)


def _written_out(match: re.Match[str]) -> str:
    code = ord(match[0])
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
