"""``fve evaluate --catalog``: scores that know their dataset, modality and the names of their classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import SimpleITK as sitk
from typer.testing import CliRunner

from fve_pipeline.cli.main import app


def test_a_catalog_names_what_files_do_not(tmp_path: Path) -> None:
    labels = np.zeros((4, 16, 16), np.uint8)
    labels[1:3, 4:9, 4:9] = 6
    for name in ("pred", "truth"):
        (tmp_path / name).mkdir()
        sitk.WriteImage(sitk.GetImageFromArray(labels), str(tmp_path / name / "ct.nii.gz"))
    out = tmp_path / "scores.parquet"
    words = ["evaluate", str(tmp_path / "pred"), str(tmp_path / "truth"), "--out", str(out), "--workers", "1"]
    done = CliRunner().invoke(app, [*words, "--catalog", "amos22_ct"], env={"COLUMNS": "200"})
    assert done.exit_code == 0, done.output
    assert "6 liver" in done.output
    row = pq.read_table(out).to_pylist()[0]
    assert (row["dataset"], row["modality"]) == ("amos22_ct", "CT")
