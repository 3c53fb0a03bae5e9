"""Sentences that look as if they named a person or a day: to be looked at before they become data."""

from __future__ import annotations

import re

__all__ = ["personal"]

_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|sept|oct|nov|dec)[a-z]*"
_SIGNS = {
    "a date": re.compile(
        r"\b\d{1,4}[./-]\d{1,2}[./-]\d{2,4}\b"
        rf"|\b\d{{1,2}}(?:st|nd|rd|th)?\.? (?:of )?{_MONTH}\.?,? \d{{2,4}}\b"
        rf"|\b{_MONTH}\.? \d{{1,2}}(?:st|nd|rd|th)?,? \d{{4}}\b"
        rf"|\b{_MONTH} (?:19|20)\d\d\b",
        re.IGNORECASE,
    ),
    "a name": re.compile(
        r"\b(?:Dr|Prof|Mr|Mrs|Ms|Miss|Herr|Frau)\.? [A-Z]\w+|\b[Pp]atient(?:'s name)?:? (?:[A-Z][a-z]+,? ){1,2}[A-Z][a-z]+"
    ),
    "a number of a patient": re.compile(r"\b(?:MRN|ID|accession)\b[ :#]*\w*\d{4,}|\b\d{7,}\b", re.IGNORECASE),
    "an address": re.compile(r"\b[\w.+-]+@[\w-]+\.\w+\b|\+\d[\d ()/-]{7,}\d"),
}


def personal(text: str) -> list[str]:
    """Return what a sentence may tell of a person; nothing for most.

    >>> personal("Nodule of 6 mm in the left lower lobe, unchanged since 12.03.2021.")
    ['a date']
    """
    return [what for what, sign in _SIGNS.items() if sign.search(text)]
