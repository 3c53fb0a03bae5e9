"""What every place of files can do: every read and write of a store goes through here."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from fve_pipeline.files.mapped import KeptFile

if TYPE_CHECKING:
    from zarr.abc.store import Store as ZarrStore

__all__ = ["Buffer", "Files", "ReadableFiles"]

Buffer = bytes | bytearray | memoryview


class ReadableFiles(Protocol):
    """Reading files under one root. Keys are relative, with forward slashes.

    Implementations are picklable (they travel to workers) and hold no open handle. A key that does not exist
    raises FileNotFoundError.
    """

    @property
    def url(self) -> str:
        """Where the root is, for messages and for opening it again."""

    def read(self, key: str) -> bytes:
        """The whole file."""

    def read_range(self, key: str, start: int, length: int) -> bytes:
        """Return ``length`` bytes from ``start`` on, fewer where the file ends before."""

    def size(self, key: str) -> int:
        """Length of the file in bytes."""

    def mapped(self, key: str) -> KeptFile | None:
        """The file kept open for reading; None when it is empty, not on this machine, or too many are open."""


class Files(ReadableFiles, Protocol):
    """All file operations under one root."""

    def exists(self, key: str) -> bool:
        """Whether the file is there."""

    def stamp(self, key: str) -> str:
        """What is another one once the file has been replaced or written to."""

    def list_keys(self, prefix: str = "") -> list[str]:
        """All files below the folder ``prefix``, sorted; none when there is no such folder."""

    def write_atomic(self, key: str, pieces: Iterable[Buffer]) -> None:
        """Write the pieces as one file that appears whole or not at all, and stays after a power cut."""

    def copy(self, source: str, target: str) -> None:
        """Let a file have a second name, or copy it where that is not possible. It appears whole or not at all."""

    def move(self, source: str, target: str) -> None:
        """Rename a file, replacing what was there."""

    def delete(self, key: str) -> None:
        """Remove a file; nothing happens when there is none."""

    def delete_tree(self, prefix: str) -> None:
        """Remove everything below the folder ``prefix``, and the folder."""

    def local_path(self, key: str) -> Path | None:
        """A path on this machine, or None when the file cannot be had as one."""

    def zarr_store(self) -> ZarrStore:
        """The same root, read-only, for zarr-python."""
