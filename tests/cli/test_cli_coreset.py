"""The command line, over tables on disk."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from made_cases import made_tables, uneven
from typer.testing import CliRunner

from fve_pipeline.cli.main import app
from fve_pipeline.coreset import load_selection
from fve_pipeline.errors import CoresetError, StoreError

RUNNER = CliRunner()


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    tables = made_tables(uneven())
    folder = tmp_path / "scan"
    folder.mkdir()
    pq.write_table(tables.cases, folder / "cases.parquet")
    pq.write_table(tables.classes, folder / "classes.parquet")
    (folder / "scan.json").write_text(json.dumps({"content_id": tables.content_id}))
    return folder


def run(*arguments: object) -> str:
    result = RUNNER.invoke(app, ["coreset", *map(str, arguments)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def test_choose_with_select_left_out(scan: Path, tmp_path: Path) -> None:
    out, listed = tmp_path / "c.parquet", tmp_path / "cases.txt"
    text = run(scan, "--fraction", 0.2, "--seed", 3, "--out", out, "--list", listed)
    assert "53 of 269 cases by stratified, seed 3" in text
    chosen = load_selection(out)
    assert len(chosen) == 53
    assert listed.read_text().splitlines() == chosen.table.column("source").to_pylist()
    again = tmp_path / "d.parquet"
    run("--fraction", 0.2, "--seed", 3, "--out", again, scan)
    assert again.read_bytes() == out.read_bytes()


def test_json_has_the_numbers(scan: Path, tmp_path: Path) -> None:
    out = tmp_path / "c.parquet"
    written = json.loads(run(scan, "--cases", 12, "--method", "multicover", "--out", out, "--json"))
    assert written["cases"] == 12
    assert written["datasets"] <= written["pool_datasets"] == 4
    assert len(written["short_classes"]) > 0
    assert any("fewer positive cases than their floor" in note for note in written["notes"])


def test_compare_as_table_json_and_picture(scan: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    picture = tmp_path / "c.png"
    text = run("compare", scan, "--fraction", 0.2, "--methods", "stratified,kcenter", "--plot", picture)
    assert "every seed is beyond every seed of random" in text
    assert picture.read_bytes().startswith(b"\x89PNG")
    written = json.loads(run("compare", scan, "--cases", 30, "--json"))
    assert list(written["methods"]) == ["random", "stratified", "multicover"]


def test_errors_say_what_to_do(scan: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"there is no store at .*nothing"):
        run(tmp_path / "nothing", "--fraction", 0.1)
    with pytest.raises(CoresetError, match="one of the two"):
        run(scan)
    with pytest.raises(CoresetError, match="no coreset method 'best'"):
        run("compare", scan, "--cases", 3, "--methods", "best")
