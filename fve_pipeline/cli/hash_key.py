"""The way back from a store's hashed names, kept outside of it (``--hash-key``)."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from fve_pipeline.build.cases import Dataset

__all__ = ["write_hash_key"]


def write_hash_key(datasets: Sequence[Dataset], salt: str | None, path: Path, inside: Sequence[str]) -> None:
    """Write a CSV file with what each case is called in the store and what it is.

    Raises typer.BadParameter without a salt, and where the file would lie in one of the folders ``inside``, which
    are handed on with the store.
    """
    from fve_pipeline.build.cases import expand_datasets, hash_key
    from fve_pipeline.files.atomic import write_whole

    if salt is None:
        raise typer.BadParameter("it is the key of --hash-subjects: give that too", param_hint="--hash-key")
    if any(path.resolve().is_relative_to(Path(folder).resolve()) for folder in inside):
        msg = f"{path} lies in the store or its work folder, which shall not tell the names: put it elsewhere"
        raise typer.BadParameter(msg, param_hint="--hash-key")
    rows = hash_key(expand_datasets(datasets), salt)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    with write_whole(path) as file:
        file.write(text.getvalue().encode(errors="surrogateescape"))
