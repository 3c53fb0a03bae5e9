"""``python without.py EXTRAS FOLDER``: every command once, with what the extras bring not to be imported; prints JSON.

The commands run in this process, their tasks too. Of each, {"code", "told"}: its exit code, and all that it wrote.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import os
import sys
import traceback
from collections.abc import Iterable, Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import tiny
from inline import InlineExecutor
from rtstruct_maker import write_rtstruct

from fve_pipeline.runtime import executor as execution
from fve_pipeline.runtime.extras import OPTIONAL, Optional

# In the order in which each finds what it needs.
COMMANDS = {
    "doctor": "doctor",
    "catalogs list": "catalogs list",
    "catalogs show": "catalogs show cohort/tiny.toml",
    "catalogs check": "catalogs check cohort/tiny.toml --root cohort",
    "catalogs from-folder": "catalogs from-folder cohort --modality CT --out drafted.toml",
    "catalogs from-nnunet": "catalogs from-nnunet nnunet",
    "catalogs from-bids": "catalogs from-bids bids",
    "catalogs structures": "catalogs structures drawn.dcm",
    "scan": "scan cohort/tiny.toml --root cohort --out scanned",
    "build": "build cohort/tiny.toml --root cohort --out s.zarr --size 32",
    "prepare": "prepare cohort/tiny.toml --root cohort --work prepared",
    "encode": "encode --work prepared --out e.zarr --size 32",
    "info": "info s.zarr",
    "verify": "verify s.zarr --deep",
    "diff": "diff s.zarr e.zarr",
    "duplicates": "duplicates s.zarr",
    "export": "export s.zarr --to reference-png --out png",
    "prune": "prune s.zarr",
    "update": "update s.zarr cohort/tiny.toml --root cohort --dry-run",
    "withdraw": "withdraw e.zarr --case tiny/c00",
    "view": "view s.zarr --case tiny/none",
    "report": "report s.zarr --out page.html",
    "explain": "explain cohort/c00_ct.nii.gz --modality CT --window soft_tissue --out explained.png",
    "figure allocation": "figure allocation --orders 2 --out allocation.png",
    "figure encode": "figure encode s.zarr --order 1 --out encoded.png",
    "figure views": "figure views s.zarr --out views.png",
    "figure sheet": "figure sheet s.zarr --out sheet.png",
    "figure classes": "figure classes s.zarr --out classes.png",
    "coreset select": "coreset select s.zarr --cases 2 --out chosen.parquet",
    "coreset select by features": "coreset select s.zarr --cases 2 --method kcenter --features model.pt --out far.parquet",
    "coreset compare": "coreset compare s.zarr --cases 2",
    "evaluate": "evaluate labels labels --out scores.parquet",
    "evaluate again": "evaluate labels labels --out again.parquet",
    "compare": "compare scores.parquet again.parquet",
    "train": "train s.zarr --out run --dry-run",
    "predict": "predict cohort/c00_ct.nii.gz --weights model.pt --out maps"
    " --prompts liver --modality CT --window soft_tissue",
    "weights check": "weights check model.pt",
    "weights export": "weights export model.pt --out hub",
    "ablate": "ablate plan.toml --out runs --dry-run",
    "info of an object store": "info s3://bucket/s.zarr",
}


class Lacking:
    """A finder of modules that does not see some packages, as if they were not installed."""

    def __init__(self, finder: Any, lacking: list[Optional]) -> None:
        self.finder = finder
        self.modules, self.packages = {one.module for one in lacking}, {one.package for one in lacking}

    def find_spec(self, name: str, *rest: Any) -> ModuleSpec | None:
        if name.partition(".")[0] in self.modules:
            return None
        found: ModuleSpec | None = self.finder.find_spec(name, *rest)
        return found

    def find_distributions(self, context: Any) -> Iterable[Any]:
        if context.name in self.packages:
            return ()
        found: Iterable[Any] = getattr(self.finder, "find_distributions", lambda _: ())(context)
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self.finder, name)


class Here(InlineExecutor):
    workers, dashboard = 1, ""


@contextlib.contextmanager
def inline(*_: Any, **__: Any) -> Iterator[Here]:
    yield Here()


def made() -> None:
    """What the commands are given, in the working folder."""
    tiny.write_cohort(Path("cohort"), 4)
    write_rtstruct(Path("drawn.dcm"), {"heart": []})
    Path("labels").mkdir()
    for number in range(4):
        os.link(f"cohort/c{number:02d}_seg.nii.gz", f"labels/c{number:02d}.nii.gz")
    _, labels = tiny.volume(0)
    anatomy = "sub-1/anat/sub-1_T1w"
    for name in (
        "nnunet/imagesTr/c_0000",
        "nnunet/labelsTr/c",
        f"bids/{anatomy}",
        f"bids/derivatives/x/{anatomy}_dseg",
    ):
        tiny.write_nifti(Path(f"{name}.nii.gz"), labels)
    described = {
        "name": "n",
        "numTraining": 1,
        "file_ending": ".nii.gz",
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, "box": 1, "ball": 2},
    }
    Path("nnunet/dataset.json").write_text(json.dumps(described))
    Path("bids/dataset_description.json").write_text('{"Name": "b", "BIDSVersion": "1.8.0"}')
    Path("plan.toml").write_text('stores = ["s.zarr"]\nseeds = [0]\n[base]\n[[variants]]\nname = "a"\n')
    if importlib.util.find_spec("torch"):
        from fve_pipeline.segmenter.checkpoint import save_weights
        from fve_pipeline.segmenter.config import preset
        from fve_pipeline.segmenter.model import Segmenter

        settings = {"order": 1, "boundary": "repeat", "resize": "opencv", "size": 64}
        save_weights(Path("model.pt"), Segmenter(preset("small"), seed=1), settings)


def run(words: str) -> dict[str, Any]:
    """Run one command as a shell would."""
    from fve_pipeline.cli.main import main

    told, code = io.StringIO(), 0
    sys.argv = ["fve", *words.split()]
    with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
        try:
            main()
        except SystemExit as stopped:
            code = int(stopped.code or 0)
        except BaseException:
            traceback.print_exc()
            code = -1
    return {"code": code, "told": told.getvalue()}


if __name__ == "__main__":
    extras = sys.argv[1].split(",")
    lacking = [one for one in OPTIONAL if one.extra in extras]
    sys.meta_path[:] = [Lacking(finder, lacking) for finder in sys.meta_path]  # type: ignore[misc]
    os.chdir(sys.argv[2])
    execution.cluster = inline  # type: ignore[assignment]
    made()
    found = {}
    for name, words in COMMANDS.items():
        if name == "doctor" and len(extras) > 1:
            continue  # it starts a worker; run where one extra lacks
        if name == "info of an object store" and "s3" not in extras:
            continue  # nothing answers there
        found[name] = run(words)
    print(json.dumps(found))
