"""Globs with named parts: ``imagesTr/{case}_0000.nii.gz``, ``{subject}/ct.nii.gz``, ``{case}/series/``."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

__all__ = ["Pattern", "parse_pattern"]

_TOKEN = re.compile(r"\{(?P<name>[a-z_]+)(?::(?P<kind>[^{}]+))?\}|(?P<star>\*+)")


@dataclass(frozen=True, slots=True)
class Pattern:
    """A parsed glob. ``parts`` are its names in order of first appearance.

    ``{name}`` is one or more characters of one path component, as few as fit; ``{name:d}`` digits only;
    ``{name:a|b}`` one of the texts given, which may name folders (``{set:Training/Labeled|Testing}``, as a
    component of its own). A name that comes twice must match the same text. ``*`` is any
    text within a component and ``**``, as a component, any folders. A slash at the end asks for a folder
    (a DICOM series). Components that begin with a part never match hidden files: archives made on a Mac
    hold a ``._name`` beside every file.
    """

    text: str
    parts: tuple[str, ...]
    folder: bool

    @property
    def kinds(self) -> dict[str, str]:
        """What each part is restricted to: ``d``, ``a|b``, or nothing."""
        kinds: dict[str, str] = {}
        for token in _TOKEN.finditer(self.text):
            if token["name"]:
                kinds[token["name"]] = kinds.get(token["name"]) or token["kind"] or ""
        return kinds

    @property
    def has_wildcard(self) -> bool:
        return "*" in self.text

    def format(self, values: Mapping[str, str]) -> str:
        """The path with ``values`` in place of the parts. The pattern must have no wildcard."""
        return _TOKEN.sub(lambda token: values[token["name"]], self.text).rstrip("/")

    def find(self, root: Path) -> Iterator[tuple[str, dict[str, str]]]:
        """Walk ``root`` and yield each match as (path relative to it, with forward slashes; parts)."""
        yield from _walk(str(root), "", _segments(self.text), {}, self.folder)

    def stuck_at(self, root: Path) -> tuple[str, str]:
        """For a pattern without matches: the deepest folder reached, and the component missing there."""
        segments = _segments(self.text)
        for count in range(len(segments), 0, -1):
            head = "/".join(segments[: count - 1])
            if not head:
                return "", segments[0]
            for path, _ in _walk(str(root), "", segments[: count - 1], {}, folder=True):
                return path, segments[count - 1]
        return "", segments[0]


@lru_cache(maxsize=512)
def parse_pattern(text: str) -> Pattern:
    """Parse a glob with named parts.

    Raises
    ------
    ValueError
        For an absolute path, ``..``, a brace left open, or a name that is not lower-case letters and ``_``.
    """
    if not text or text.startswith(("/", "~")) or ".." in text.split("/") or "\\" in text:
        msg = f"{text!r} must be a path relative to the dataset's root, with forward slashes and without '..'"
        raise ValueError(msg)
    rest = _TOKEN.sub("", text)
    if "{" in rest or "}" in rest:
        msg = (
            f"{text!r} has a brace that is no named part; write {{name}}, {{name:d}} (digits) or {{name:a|b}}"
        )
        raise ValueError(msg)
    *folders, last = _segments(text)
    if "/" in last or any("/" in segment and not _TOKEN.fullmatch(segment) for segment in folders):
        msg = f"{text!r}: a part whose texts have slashes must be a component of its own, and not the last"
        raise ValueError(msg)
    names = (token["name"] for token in _TOKEN.finditer(text) if token["name"])
    return Pattern(text, tuple(dict.fromkeys(names)), text.endswith("/"))


def _segments(text: str) -> list[str]:
    """The components of a path, cut at the slashes outside braces."""
    return re.split(r"/(?![^{}]*\})", text.rstrip("/"))


@lru_cache(maxsize=100_000)
def _segment_regex(segment: str) -> re.Pattern[str]:
    out, at = [], 0
    seen: set[str] = set()
    for token in _TOKEN.finditer(segment):
        out.append(re.escape(segment[at : token.start()]))
        at = token.end()
        name, kind = token["name"], token["kind"]
        if not name:
            out.append("[^/]*")
        elif name in seen:
            out.append(f"(?P={name})")
        else:
            seen.add(name)
            inner = (
                "[^/]+?"
                if kind is None
                else r"\d+"
                if kind == "d"
                else "|".join(map(re.escape, kind.split("|")))
            )
            out.append(f"(?P<{name}>{inner})")
    out.append(re.escape(segment[at:]))
    return re.compile("".join(out))


def _fill(segment: str, values: Mapping[str, str]) -> str:
    """Replace the parts that folders above have fixed already."""
    return _TOKEN.sub(
        lambda token: values[token["name"]] if token["name"] in values else token.group(), segment
    )


def _walk(
    root: str, at: str, segments: list[str], values: dict[str, str], folder: bool
) -> Iterator[tuple[str, dict[str, str]]]:
    segment, rest = _fill(segments[0], values), segments[1:]
    want_folder = folder or bool(rest)
    if segment == "**":
        if rest:
            yield from _walk(root, at, rest, values, folder)
        for name in _entries(f"{root}/{at}", folders=True):
            yield from _walk(root, _join(at, name), segments, values, folder)
    elif "/" in segment:
        yield from _walk_folders(root, at, segment, rest, values, folder)
    elif not _TOKEN.search(segment):
        path = _join(at, segment)
        if rest:
            yield from _walk(root, path, rest, values, folder)
        elif (os.path.isdir if want_folder else os.path.isfile)(f"{root}/{path}"):
            yield path, values
    else:
        regex = _segment_regex(segment)
        hidden = segment.startswith(".")
        for name in _entries(f"{root}/{at}", folders=want_folder):
            match = regex.fullmatch(name)
            if match is None or (name.startswith(".") and not hidden):
                continue
            found = {**values, **match.groupdict()}
            if rest:
                yield from _walk(root, _join(at, name), rest, found, folder)
            else:
                yield _join(at, name), found


def _walk_folders(
    root: str, at: str, segment: str, rest: list[str], values: dict[str, str], folder: bool
) -> Iterator[tuple[str, dict[str, str]]]:
    """A component whose alternatives name folders: each that exists is gone into."""
    token = _TOKEN.fullmatch(segment)
    assert token is not None  # parse_pattern has seen to it
    for choice in token["kind"].split("|"):
        path = _join(at, choice)
        if os.path.isdir(f"{root}/{path}"):
            yield from _walk(root, path, rest, {**values, token["name"]: choice}, folder)


def _entries(folder: str, *, folders: bool) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if _is_folder(entry) == folders)
    except (FileNotFoundError, NotADirectoryError):
        return []


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """A link that leads to itself is no folder: what wants to read it fails alone."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _join(at: str, name: str) -> str:
    return f"{at}/{name}" if at else name
