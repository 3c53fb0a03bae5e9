"""fve demo: from nothing to a verified store in a minute."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Annotated

import typer

from fve_pipeline.cli.options import Json, Memory, Scheduler, Workers, memory_of
from fve_pipeline.cli.progress import console, errors
from fve_pipeline.cli.running import print_json, running, show_next

__all__ = ["demo"]


def demo(
    out: Annotated[Path, typer.Option(help="Folder to make the demo in.")] = Path("demo"),
    workers: Workers = None,
    memory: Memory = None,
    scheduler: Scheduler = None,
    as_json: Json = False,
) -> None:
    """Make a small cohort in real formats, build a store of it, verify it, and show it.

    NIfTI and DICOM CT in HU, MR as NRRD, a challenge-style npz and a microscopy instance volume, with known
    labels, all made here; then the same steps as for your own data.

    [bold]Examples[/bold]

      fve demo --out demo
    """
    from fve_pipeline.demo.run import run_demo
    from fve_pipeline.runtime.resources import Resources

    started = time.monotonic()
    with running(workers, memory_of(memory), scheduler, as_json) as (executor, bars):
        result = run_demo(out, Resources(executor, bars))
    problems = [dataclasses.asdict(finding) for finding in result.findings]
    if as_json:
        print_json(
            {
                "cohort": str(result.cohort),
                "store": str(result.store),
                "contact_sheet": str(result.sheet),
                "cases": result.summary.cases,
                "samples": result.summary.samples,
                "problems": problems,
                "failures": [failure.model_dump() for failure in result.summary.failures],
            }
        )
    else:
        for failure in result.summary.failures:
            errors.print(f"failed: {failure.case}: {failure.reason}", style="red", markup=False)
        for problem in problems:
            errors.print(f"{problem['file']}: {problem['problem']}", style="red", markup=False)
        _explain(out, result.summary.cases, result.summary.samples, time.monotonic() - started)
    raise typer.Exit(1 if problems or result.summary.failures else 0)


def _explain(out: Path, cases: int, samples: int, seconds: float) -> None:
    console.print(
        f"\n{cases} cases became {samples:,} encoded slices, verified, in {seconds:.0f} s.", highlight=False
    )
    store = f"{out}/slices.zarr"
    show_next(
        {
            "look at": f"{out}/contact_sheet.png",
            "inspect": f"fve info {store}",
            "check": f"fve verify {store} --deep --root {out}/cohort",
            "read": f"python -c \"import fve_pipeline; s = fve_pipeline.open_store('{store}'); "
            'print(s.images.shape, s.index.num_rows)"',
        }
    )
    console.print(
        "Next, your own data: fve catalogs list, then fve build CATALOG --root DIR --out slices.zarr\n",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )
