"""Labels of a store as DICOM SEG and RTSTRUCT: what was read comes back, on the series it was drawn on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
import tiny
from command import run
from rtstruct_maker import write_rtstruct
from volume_make import ramp, write_series

from fve_pipeline.build.cases import Dataset
from fve_pipeline.catalog.load import parse_catalog
from fve_pipeline.runtime.executor import Executor
from fve_pipeline.volume import read_image, read_labels
from fve_pipeline.volume.label_file import LabelFile
from fve_pipeline.volume.structures import Structure

SHAPE = (6, 32, 32)
CATALOG = """\
name = "mine"
modality = "CT"
licence = "mine"
citation = "mine"
window = "soft_tissue"
classes = [
    { id = 3, name = "left lung", structures = ["Lung_L"] },
    { id = 5, name = "lung tumor", structures = ["GTV-1"] },
    { id = 9, name = "both", ids = [3, 5] },
]
[layout]
images = "{case}/ct/"
labels = "{case}/rs.dcm"
case = "{case}"
"""


def block(low: float, high: float, slices: range) -> list[np.ndarray]:
    corners = np.array([[low, low], [low, high], [high, high], [high, low]])
    return [
        np.stack([-20 + 0.5 * corners[:, 1], -30 + 0.5 * corners[:, 0], np.full(4, 2.5 * z)], axis=1)
        for z in slices
    ]


@pytest.fixture
def built(tmp_path: Path, executor: Executor) -> Path:
    """Two cases as DICOM, one of which changes after the build; a tumour within a lung."""
    for number, case in enumerate(("a", "b")):
        write_series(
            tmp_path / "data" / case / "ct", ramp(SHAPE) % 300 + 900, spacing=(0.5, 0.5), uid=f"1.2.{number}",
            StudyInstanceUID="1.2.5", FrameOfReferenceUID="1.2.3",
        )  # fmt: skip
        drawn = {"Lung_L": block(3.5, 25.5, range(1, 6)), "GTV-1": block(8.5, 14.5, range(2, 4))}
        write_rtstruct(tmp_path / "data" / case / "rs.dcm", drawn, series=f"1.2.{number}")
    datasets = [Dataset(parse_catalog(CATALOG, "mine.toml"), tmp_path / "data")]
    summary = tiny.build(datasets, tmp_path / "s.zarr", executor, work=tmp_path / "work")
    assert summary.failures == ()
    changed = tmp_path / "data" / "b" / "ct" / "s003.dcm"
    data = pydicom.dcmread(changed)
    data.PixelData = bytes(len(data.PixelData))
    data.save_as(changed)
    return tmp_path


@pytest.mark.parametrize("form", ["seg", "rtstruct"])
def test_labels_come_back_on_their_series(
    form: str, built: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("highdicom" if form == "seg" else "contourpy")
    command = ("export", built / "s.zarr", "--to", form, "--out")
    assert run(monkeypatch, *command, built / "no") == 2  # where are the series?
    assert run(monkeypatch, *command, built / "out", "--root", built / "data") == 0
    said = "".join(capsys.readouterr().err.split())
    assert "b/ct:isnotwhatthestorewasbuiltfrom" in said
    assert "carrytheirpatients'identity" in said
    [written] = (built / "out").rglob("*.dcm")
    assert written == built / "out" / "mine" / f"a.{form}.dcm"
    wanted = (Structure(3, ("left lung",)), Structure(5, ("lung tumor",)))
    image = read_image(built / "data" / "a" / "ct")
    files = [LabelFile(written.name, structures=wanted)]
    labels = read_labels(files, written.parent, image, overlaps=True)
    source = (Structure(3, ("Lung_L",)), Structure(5, ("GTV-1",)))
    drawn = read_labels([LabelFile("a/rs.dcm", structures=source)], built / "data", image, overlaps=True)
    for number in (3, 5):
        assert drawn.where(number).any()
        np.testing.assert_array_equal(labels.where(number), drawn.where(number))
    data = pydicom.dcmread(written)
    assert (data.PatientID, data.StudyInstanceUID) == ("SECRET-4711", "1.2.5")
    assert b"MANUAL" in written.read_bytes()
