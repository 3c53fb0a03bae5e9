"""The files that hold the voxels of an NRRD or MetaImage header, where the header has none itself."""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath

from fve_pipeline.volume.refusal import refusal

__all__ = ["data_files"]

_LONGEST = 1 << 20  # bytes of a header that are looked through


def data_files(path: Path, name: str) -> list[Path]:
    """Return the files beside an NRRD or MetaImage header that hold its voxels; none where it holds them itself.

    A header is a claim: raises ReadError where it names a file outside of its own folder, by ``..`` or an absolute
    path. Symbolic links inside the folder are followed, like any others under a dataset's root.
    """
    with path.open("rb") as file:
        head = file.read(_LONGEST)
    named = _nrrd(head) if head.startswith(b"NRRD") else _meta(head)
    for text in named:
        if ".." in PurePosixPath(text).parts or PurePosixPath(text).is_absolute() or _of_windows(text):
            raise refusal(
                name,
                f"its header names its voxels as {text!r}, outside of the header's folder",
                "a file beside the header",
                "Put both into one folder and name the data by its file name",
            )
    files = [path.parent / text for text in named]
    return [file for file in files if file.is_file()]


def _of_windows(text: str) -> bool:
    found = PureWindowsPath(text)
    return bool(found.drive or found.root or ".." in found.parts)


def _nrrd(head: bytes) -> list[str]:
    """Return the names after ``data file:``; those of a LIST stand on the lines that follow, to the end."""
    lines = head.partition(b"\n\n")[0].partition(b"\r\n\r\n")[0].decode("utf-8", "replace").splitlines()
    for at, line in enumerate(lines):
        key, colon, value = line.partition(":")
        if colon and key.strip().lower().replace(" ", "") == "datafile":
            return _names(value.strip(), lines[at + 1 :])
    return []


def _meta(head: bytes) -> list[str]:
    """Return the name after ``ElementDataFile``, which ends the header; those of a LIST follow."""
    lines = head.splitlines()
    for at, line in enumerate(lines):
        key, equals, value = line.partition(b"=")
        if equals and key.strip().lower() == b"elementdatafile":
            text = value.strip().decode("utf-8", "replace")
            if text.upper() == "LOCAL":
                return []
            return _names(text, [one.decode("utf-8", "replace") for one in lines[at + 1 :]])
    return []


def _names(value: str, after: list[str]) -> list[str]:
    if value.upper().split() and value.upper().split()[0] == "LIST":
        return [line.strip() for line in after if line.strip()]
    words = value.split()
    if "%" in value and len(words) > 3 and all(word.lstrip("-").isdigit() for word in words[1:4]):
        first, last, step = (int(word) for word in words[1:4])
        count = max(0, (last - first) // step + 1) if step else 0
        return (
            [words[0]] if count > 100_000 else [_numbered(words[0], first + step * n) for n in range(count)]
        )
    return [value]


def _numbered(pattern: str, number: int) -> str:
    try:
        return pattern % number
    except (TypeError, ValueError):
        return pattern
