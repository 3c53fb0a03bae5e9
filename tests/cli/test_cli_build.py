"""The build's commands as a user types them: what they print, and their exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tiny
from typer.testing import CliRunner, Result

from fve_pipeline.cli.main import app
from fve_pipeline.errors import FveError
from fve_pipeline.runtime.executor import Executor


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_cohort(tmp_path_factory.mktemp("cohort"), 3)


@pytest.fixture
def build(root: Path, executor: Executor) -> Any:
    def run_build(out: Path, *more: object) -> Result:
        address = executor._client.scheduler.address
        return run(
            "build",
            root / "tiny.toml",
            "--root",
            root,
            "--out",
            out,
            "--size",
            32,
            "--scheduler",
            address,
            *more,
        )

    return run_build


def test_dry_run_counts_from_headers_and_writes_nothing(root: Path, tmp_path: Path) -> None:
    done = run(
        "build",
        root / "tiny.toml",
        "--root",
        root,
        "--out",
        tmp_path / "s.zarr",
        "--size",
        32,
        "--dry-run",
        "--json",
    )
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["cases"] == 3
    assert found["samples"] == 2 * (5 + 6 + 7)
    assert found["raw_bytes"] == found["samples"] * 32 * 32 * 4
    assert not list(tmp_path.iterdir())


def test_dry_run_names_unreadable_headers(tmp_path: Path) -> None:
    other = tiny.write_cohort(tmp_path / "c", 2)
    (other / "c01_ct.nii.gz").write_bytes(b"nothing")
    done = run("build", other / "tiny.toml", "--root", other, "--out", "s.zarr", "--dry-run")
    assert done.exit_code == 1
    assert "tiny/c01" in done.output


def test_from_files_to_a_repaired_store(build: Any, root: Path, tmp_path: Path, executor: Executor) -> None:
    out = tmp_path / "slices.zarr"
    built = build(out, "--json")
    assert built.exit_code == 0, built.output
    assert json.loads(built.stdout)["cases"] == 3
    assert run("verify", out, "--deep").exit_code == 0

    told = run("info", out, "--json")
    described = json.loads(told.stdout)
    assert described["samples"] == json.loads(built.stdout)["samples"]
    assert [row["name"] for row in described["classes"]] == ["box", "left ball", "both"]
    assert run("info", out).exit_code == 0

    shard = out / "images/c/0/0/0/0"
    damaged = bytearray(shard.read_bytes())
    damaged[len(damaged) // 3] ^= 1
    shard.write_bytes(damaged)
    found = run("verify", out)
    assert found.exit_code == 1
    assert "images/c/0/0/0/0 (shard 0)" in found.output.replace("\n", "")
    whole = tiny.bytes_of(out)
    address = executor._client.scheduler.address
    mended = run(
        "encode", "--repair", out, "--root", root, "--work", tmp_path / "elsewhere", "--scheduler", address
    )
    assert mended.exit_code == 0, mended.output
    assert run("verify", out, "--deep", "--root", root, "--scheduler", address).exit_code == 0
    assert {key for key, value in tiny.bytes_of(out).items() if whole[key] != value} == {"images/c/0/0/0/0"}


def test_repair_tells_what_it_made_and_what_it_cannot(build: Any, tmp_path: Path, executor: Executor) -> None:
    out, address = tmp_path / "slices.zarr", executor._client.scheduler.address
    build(out)
    whole = (out / "cases.parquet").read_bytes()
    (out / "cases.parquet").write_bytes(whole[:-1])
    assert "cases.parquet has sha256" in str(run("info", out).exception)
    mended = run("encode", "--repair", out, "--scheduler", address, "--json")
    assert mended.exit_code == 0, mended.output
    assert json.loads(mended.stdout)["mended"] == ["cases.parquet"]
    assert (out / "cases.parquet").read_bytes() == whole

    (out / "cases.parquet").write_bytes(whole[:-1])
    left = run("encode", "--repair", out, "--work", tmp_path / "nothing", "--scheduler", address)
    assert left.exit_code == 1
    assert "cases.parquet: it has" in " ".join(left.output.split())
    assert "give --work DIR" in " ".join(left.output.split())
    (out / "manifest.json").write_text("{}")
    left = run("encode", "--repair", out, "--scheduler", address)
    assert left.exit_code == 1
    assert "restore it from a copy" in " ".join(left.output.split())


def test_verify_finds_a_source_that_is_not_what_was_stored(
    build: Any, tmp_path: Path, executor: Executor
) -> None:
    out = tmp_path / "slices.zarr"
    build(out)
    other = tiny.write_cohort(tmp_path / "other", 3)
    for number in range(3):
        tiny.write_case(other, f"c{number:02d}", 50 + number, (5 + number, 24, 20))
    address = executor._client.scheduler.address
    found = run("verify", out, "--deep", "--root", other, "--samples", 4, "--scheduler", address, "--json")
    assert found.exit_code == 1
    assert "made from the source differs" in found.stdout


def test_failed_cases_give_exit_code_1_and_their_reasons(tmp_path: Path, executor: Executor) -> None:
    root = tiny.write_cohort(tmp_path / "c", 2)
    (root / "c00_seg.nii.gz").unlink()
    address = executor._client.scheduler.address
    done = run(
        "build",
        root / "tiny.toml",
        "--root",
        root,
        "--out",
        tmp_path / "s.zarr",
        "--size",
        32,
        "--scheduler",
        address,
    )
    assert done.exit_code == 1
    assert "failed: tiny/c00" in done.output
    assert "c00_seg.nii.gz" in done.output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--preset", "best"], "'best' is none of paper, released"),
        (["--views", "oblique"], "oblique"),
        (["--size", "33", "--order", "2"], "not divisible by 2"),
        (["--shard-size", "many"], "'many' is not a size"),
        (["--boundary", "wrap"], "wrap"),
        (["--root", "nobody=/x"], "no dataset here is named 'nobody'"),
    ],
)
def test_wrong_usage_is_told_before_anything_runs(
    root: Path, tmp_path: Path, words: list[str], message: str
) -> None:
    done = run("build", root / "tiny.toml", "--root", root, "--out", tmp_path / "s.zarr", *words)
    assert done.exit_code == 2
    assert message in " ".join(done.output.replace("│", " ").split())
    assert not list(tmp_path.iterdir())


def test_a_store_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FveError, match=r"nothing\.zarr"):
        CliRunner().invoke(app, ["info", str(tmp_path / "nothing.zarr")], catch_exceptions=False)


@pytest.mark.parametrize("mode", ["--from", "--repair"])
def test_options_that_another_stores_slices_decide_are_refused(tmp_path: Path, mode: str) -> None:
    done = run("encode", mode, tmp_path / "a.zarr", "--out", tmp_path / "b.zarr", "--preset", "released")
    assert done.exit_code == 2
    assert "--preset" in done.output
    assert f"not with {mode}" in " ".join(done.output.replace("│", " ").split())
