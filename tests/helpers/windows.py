"""``python windows.py STORE FOLDER``: reads as on a system that has only what Windows has of what our code imports.

Blocked for our packages alone: what others import is theirs to have released for Windows.
"""

from __future__ import annotations

import builtins
import mmap
import os
import sys
from pathlib import Path
from typing import Any

OURS = ("fve_pipeline", "fve_kernels", "fve_catalogs")
NOT_THERE = ("fcntl", "resource", "termios", "pwd", "grp")

importing = builtins.__import__


def without(name: str, globals: Any = None, *rest: Any, **options: Any) -> Any:
    if name in NOT_THERE and (globals or {}).get("__name__", "").split(".")[0] in OURS:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    return importing(name, globals, *rest, **options)


def read(store: Path, folder: Path) -> None:
    import numpy as np
    import torch

    from fve_pipeline.cli.main import app
    from fve_pipeline.loading import SliceDataset
    from fve_pipeline.segmenter.checkpoint import save_weights
    from fve_pipeline.segmenter.config import preset
    from fve_pipeline.segmenter.model import Segmenter
    from fve_pipeline.store.reader import open_store
    from fve_pipeline.store.verify import verify

    torch.set_num_threads(1)
    opened = open_store(store)
    assert verify(opened, deep=True) == []
    assert SliceDataset(opened, split=("made",))[0]["image"].shape[0] == 3
    save_weights(
        folder / "model.pt",
        Segmenter(preset("small"), seed=1),
        {"order": 1, "boundary": "repeat", "resize": "opencv", "size": 64},
    )
    np.savez_compressed(
        folder / "case.npz",
        imgs=np.arange(3 * 20 * 24, dtype=np.uint8).reshape(3, 20, 24),
        spacing=np.ones(3),
    )
    asked = [
        "--modality",
        "CT",
        "--window",
        "soft_tissue",
        "--prompts",
        "liver in abdominal CT",
        "--device",
        "cpu",
    ]
    files = ["--weights", str(folder / "model.pt"), "--out", str(folder / "out")]
    app(["predict", str(folder / "case.npz"), *asked, *files])


if __name__ == "__main__":
    builtins.__import__ = without
    for module, name in ((os, "pread"), (os, "fork"), (mmap, "PROT_READ")):
        delattr(module, name)
    read(Path(sys.argv[1]), Path(sys.argv[2]))
