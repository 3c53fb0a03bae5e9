"""--hash-subjects: no name of a subject, in a folder, a file or a header, is in any byte that a build leaves."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pyarrow.parquet as pq
import pytest
import tiny
from typer.testing import CliRunner

from fve_pipeline.build.cases import Dataset
from fve_pipeline.build.prepare.veil import hidden_path, hidden_text
from fve_pipeline.catalog import load_catalog
from fve_pipeline.cli.main import app
from fve_pipeline.errors import BuildError
from fve_pipeline.runtime.executor import Executor
from fve_pipeline.store.reader import open_store
from fve_pipeline.store.verify import verify

CATALOG = (
    tiny.CATALOG.replace('"tiny"', '"named"')
    .replace("{case}_ct.nii.gz", "{subject}/{visit}_ct.nii.gz")
    .replace("{case}_seg.nii.gz", "{subject}/{visit}_seg.nii.gz")
)
NAMES = (b"Mustermann", b"mustermann", b"Okonkwo", b"okonkwo", b"visit7", b"pepper")


@pytest.fixture
def hospital(tmp_path: Path) -> Path:
    """Two patients by name; one label map on another grid, which is noted, and one image that is cut short."""
    root = tmp_path / "hospital"
    for seed, (who, visit) in enumerate([("Mustermann_Erika", "visit7"), ("Okonkwo", "okonkwo-2")]):
        (root / who).mkdir(parents=True)
        image, labels = tiny.volume(seed)
        for name, array in (("ct", image), ("seg", labels)):
            affine = np.diag([-1.0, -1.0, 2.0, 1.0])
            affine[:3, 3] += 0.3 * (name == "seg")
            nifti = nib.Nifti1Image(array.transpose(2, 1, 0), affine, dtype=array.dtype)
            nifti.header["descrip"] = b"Mustermann^Erika"
            nifti.to_filename(root / who / f"{visit}_{name}.nii.gz")
    image_file = root / "Okonkwo" / "broken_ct.nii.gz"
    image_file.write_bytes((root / "Okonkwo/okonkwo-2_ct.nii.gz").read_bytes()[:-40])
    (root / "Okonkwo/broken_seg.nii.gz").write_bytes((root / "Okonkwo/okonkwo-2_seg.nii.gz").read_bytes())
    (root / "named.toml").write_text(CATALOG)
    return root


def run(*words: object) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code in (0, 1), result.output
    return result.output


def plain_bytes(folder: Path) -> bytes:
    """All bytes of a folder, names included, and what its compressed tables hold."""
    parts = []
    for path in sorted(folder.rglob("*")):
        parts.append(str(path.relative_to(folder)).encode())
        if path.is_file():
            parts.append(path.read_bytes())
        if path.suffix == ".parquet":
            parts.append(str(pq.read_table(path).to_pylist()).encode())
    return b"\0".join(parts)


def test_no_name_is_in_any_byte_of_store_work_report_or_output(hospital: Path, tmp_path: Path) -> None:
    out, work, key = tmp_path / "slices.zarr", tmp_path / "work", tmp_path / "key.csv"
    said = run(
        "build", hospital / "named.toml", "--root", hospital, "--out", out, "--work", work, "--size", 32,
        "--hash-subjects", "pepper", "--hash-key", key, "--workers", 1, "--memory", "4GB", "--json",
    )  # fmt: skip
    said += run("report", out, "--out", tmp_path / "report.html")
    said += run("info", out) + run("coreset", out, "--cases", 1, "--out", tmp_path / "chosen.parquet")
    tables = open_store(out)
    left = b"\0".join([
        plain_bytes(out), plain_bytes(work), (tmp_path / "report.html").read_bytes(), said.encode(),
        str(pq.read_table(tmp_path / "chosen.parquet").to_pylist()).encode(),
        str([tables.index.to_pylist(), tables.cases.to_pylist(), tables.classes.to_pylist()]).encode(),
    ])  # fmt: skip

    assert not [name for name in NAMES if name in left]
    assert verify(open_store(out), deep=True) == []
    assert len(tables.cases) == 2
    notes = tables.cases.column("notes").to_pylist()
    assert "its grid lies" in str(notes)  # what is said of a case is kept
    (failure,) = json.loads(said[said.index("{\n") : said.index("\n}\n") + 2])["failures"]
    assert "truncated" in failure["reason"] or "damaged" in failure["reason"]
    rows = {row["case"]: row for row in csv.DictReader(key.read_text().splitlines())}
    assert rows[failure["case"]]["image"] == "Okonkwo/broken_ct.nii.gz"
    assert rows[tables.cases.column("case")[0].as_py()]["subject_name"] == "named/Mustermann_Erika"


def test_a_run_goes_on_and_an_append_matches_under_the_same_salt(
    hospital: Path, tmp_path: Path, executor: Executor
) -> None:
    out, work = tmp_path / "slices.zarr", tmp_path / "work"
    datasets = [Dataset(load_catalog(hospital / "named.toml"), hospital)]
    first = tiny.build(datasets, out, executor, work=work, settings=tiny.settings(), salt="pepper")
    again = tiny.build(datasets, out, executor, work=work, settings=tiny.settings(), salt="pepper")
    assert (first.new_cases, again.new_cases) == (2, 0)
    assert first.content_id == again.content_id
    with pytest.raises(BuildError, match="subject_salt"):
        tiny.build(datasets, out, executor, work=work, settings=tiny.settings(), salt="salt")


def test_a_selection_by_names_or_by_hashes_finds_its_cases(
    hospital: Path, tmp_path: Path, executor: Executor
) -> None:
    datasets = [Dataset(load_catalog(hospital / "named.toml"), hospital)]
    name = "named/Okonkwo_okonkwo-2"

    def build(out: str, chosen: str) -> str:
        summary = tiny.build(
            datasets,
            tmp_path / out,
            executor,
            settings=tiny.settings(),
            salt="pepper",
            only=frozenset({chosen}),
        )
        return summary.content_id

    one = build("a.zarr", name)
    (hashed,) = open_store(tmp_path / "a.zarr").cases.column("case").to_pylist()
    assert build("b.zarr", hashed) == one


def test_the_key_lies_outside_and_needs_the_salt(hospital: Path, tmp_path: Path) -> None:
    build = ["build", hospital / "named.toml", "--root", hospital, "--out", tmp_path / "s.zarr"]
    assert "give that too" in run_failing(*build, "--hash-key", tmp_path / "k.csv")
    inside = run_failing(*build, "--hash-subjects", "x", "--hash-key", tmp_path / "s.zarr" / "k.csv")
    assert "put it elsewhere" in inside
    assert not (tmp_path / "s.zarr").exists()


def run_failing(*words: object) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 2, result.output
    return " ".join(result.output.replace("│", " ").split())


def test_every_part_of_a_path_leaves_a_reason() -> None:
    said = "anna/scan_1.nii.gz: 12 of 40 bytes; see scan_1 of anna, not annabel"
    reason = hidden_text(said, ["anna/scan_1.nii.gz"], "s")
    assert "anna/" not in reason
    assert " anna," not in reason
    assert reason.startswith(f"{hidden_path('anna/scan_1.nii.gz', 's')}: 12 of 40 bytes")
    assert reason.endswith("not annabel")
