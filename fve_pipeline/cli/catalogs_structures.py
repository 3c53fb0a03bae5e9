"""``fve catalogs structures``: what RTSTRUCT and DICOM SEG files call what they hold, to write a catalog by."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["structures"]


def structures(
    paths: Annotated[
        list[Path], typer.Argument(help="RTSTRUCT or SEG files, or folders with some below them.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
) -> None:
    """List what structures are called, and in how many of the files.

    Names are shown as they stand in the files, and people write patients into them: this is for your terminal, and
    nowhere else are they shown.

    [bold]Examples[/bold]

      fve catalogs structures LUNG1-001/
      fve catalogs structures export/ --json
    """
    from rich.console import Console
    from rich.table import Table

    from fve_pipeline.errors import ReadError
    from fve_pipeline.volume.dicom_rtstruct import drawn_structures
    from fve_pipeline.volume.dicom_seg import segment_names
    from fve_pipeline.volume.references import objects_below

    files = [
        (kind, file) for path in paths for kind in ("RTSTRUCT", "SEG") for file in objects_below(path, kind)
    ]
    if not files:
        msg = f"{paths[0]}: no RTSTRUCT or SEG here; give the files, or a folder that holds some"
        raise ReadError(msg)
    found: dict[tuple[str, str], list[int]] = {}
    for kind, file in files:
        if kind == "RTSTRUCT":
            named = [(one.name, len(one.contours)) for one in drawn_structures(file, file.name)]
        else:
            named = [(" / ".join(names), 1) for names in segment_names(file, file.name)]
        for name, contours in named:
            counts = found.setdefault((kind, name), [0, 0])
            counts[0] += 1
            counts[1] += not contours
    rows = [
        {"kind": kind, "name": name, "files": files_of, "empty": empty}
        for (kind, name), (files_of, empty) in sorted(found.items())
    ]
    if as_json:
        typer.echo(json.dumps({"files": len(files), "structures": rows}, indent=1))
        return
    table = Table("name", "in", "files", "empty in", title=f"{len(files)} files", title_justify="left")
    for row in rows:
        table.add_row(str(row["name"]), str(row["kind"]), str(row["files"]), str(row["empty"] or ""))
    Console().print(table, markup=False)
