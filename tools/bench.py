"""Runs the quick form of every benchmark, keeps what it printed, and says what moved since the last run: ``make bench``.

    python tools/bench.py [--only kernels metrics] [--smallest] [--by 25] [--folder bench]

A benchmark prints lines of words and numbers. Two runs are compared line by line: where the words are equal, numbers that
differ by more than ``--by`` per cent are shown. Ratios hold better than figures, and neither holds beside other work.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Script: the arguments of its quick form, and of the smallest that still goes through all of it. {folder} is empty.
FORMS: dict[str, tuple[str, str]] = {
    "bio2vol": (
        "cost --out {folder} --volumes 4 --held 2 --pretrain 1 --epochs 1 --seeds 1",
        "cost --out {folder} --volumes 2 --held 1 --pretrain 1 --epochs 1 --seeds 1",
    ),
    "build": ("--cases 4 --slices 40 --folder {folder}", "--cases 4 --slices 4 --folder {folder}"),
    "coreset_random10": ("--seeds 1", "--seeds 1"),
    "coreset_scale": ("--cases 3000", "--cases 300"),
    "cuda_static": ("", ""),
    "duplicates": ("--subjects 1", "--scale 100"),
    "evidence": ("--out {folder} --claims isd --smallest", "--out {folder} --claims isd --smallest"),
    "findings": ("--seeds 1 --cases 16 --epochs 2", "--seeds 1 --cases 8 --epochs 1"),
    "index_scale": ("200000", "5000"),
    "kernels": ("--depth 40 --millions 10 --rounds 3", "--depth 4 --size 32 --millions 1 --rounds 1"),
    "learning": ("isd --volumes 4 --epochs 2", "isd --volumes 2 --epochs 1"),
    "loading": (
        "--data {folder} --samples 256 --seconds 1 --rounds 1",
        "--data {folder} --samples 32 --seconds 0.1 --rounds 1 --only random",
    ),
    "loading_scale": (
        "--data {folder} --samples 256 --times 4 --seconds 1",
        "--data {folder} --samples 32 --times 2 --seconds 0.1",
    ),
    "metrics": ("--shape 40 256 256 --classes 8", "--shape 8 64 64 --classes 2"),
    "prediction": (
        "--volumes 4 --slices 20 --side 128 --rounds 1",
        "--volumes 2 --slices 2 --side 64 --rounds 1",
    ),
    "prediction_memory": ("--slices 40 --prompts 4 --side 256", "--slices 2 --prompts 2 --side 64"),
    "reading": ("--slices 40 --rounds 2 --headers 200", "--slices 2 --rounds 1 --headers 5"),
    "reading_store": ("200", "16"),
    "report_scale": ("--cases 500", "--cases 60"),
    "scale": ("--cases 2000", "--cases 100"),
    "training": ("--store {store} --steps 4 --rounds 2", "--store {store} --batch 2 --steps 1 --rounds 1"),
    "update": ("--cases 12 --changed 1 --size 128", "--cases 4 --changed 1 --size 32"),
    "viewer_scale": ("--cases 500", "--cases 60"),
}
# What a benchmark says where it lacks what the project does not install: that is no failure.
LACKING = {
    "coreset_random10": "no random10_cases.csv there",
    "cuda_static": "numba compiles nothing for CUDA here",
}
NUMBER = re.compile(r"(?<![\w.])\d[\d,]*\.?\d*(?:e[+-]?\d+)?")


@dataclass(frozen=True)
class Result:
    """What one benchmark did: its arguments, exit code, seconds, and the lines that it printed."""

    name: str
    arguments: str
    code: int
    seconds: float
    lines: list[str]

    @property
    def state(self) -> str:
        """Return whether it ran, lacked something that it named, or failed."""
        if not self.code:
            return "ran"
        lacks = self.name in LACKING and any(LACKING[self.name] in line for line in self.lines)
        return "not here" if lacks else "failed"


def run(name: str, form: str, folder: Path) -> Result:
    """Run one benchmark in a process of its own, with ``folder`` for what it makes."""
    if "{store}" in form:
        subprocess.run(
            [sys.executable, "-m", "fve_pipeline", "demo", "--out", str(folder / "demo")], check=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=_environment(),
        )  # fmt: skip
    arguments = form.format(folder=folder, store=folder / "demo/slices.zarr").split()
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, str(ROOT / f"benchmarks/{name}.py"), *arguments], cwd=folder,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=_environment(),
    )  # fmt: skip
    lines = [line.rstrip() for line in done.stdout.splitlines() if line.strip()]
    return Result(name, form, done.returncode, round(time.monotonic() - started, 1), lines)


def _environment() -> dict[str, str]:
    paths = [str(ROOT / part) for part in ("", "kernels", "catalogs")]
    return os.environ | {"PYTHONPATH": os.pathsep.join(paths), "COLUMNS": "160"}


def moved(before: Sequence[str], after: Sequence[str], percent: float) -> Iterator[str]:
    """Yield lines of ``after`` whose words ``before`` has too, with numbers more than ``percent`` away from its own."""
    earlier: defaultdict[str, list[str]] = defaultdict(list)
    for line in before:
        earlier[_words(line)].append(line)
    for line in after:
        if not earlier[_words(line)]:
            continue
        old, new = _numbers(earlier[_words(line)].pop(0)), _numbers(line)
        if any(abs(b - a) * 100 > percent * abs(a) for a, b in zip(old, new, strict=True)):
            yield f"{line.strip()}   (was {', '.join(f'{value:g}' for value in old)})"


def _words(line: str) -> str:
    return " ".join(NUMBER.sub("#", line).split())


def _numbers(line: str) -> list[float]:
    return [float(text.replace(",", "")) for text in NUMBER.findall(line)]


def main(argv: Sequence[str] | None = None) -> int:
    """Run, keep, compare; exit code 1 when a benchmark failed; what it needs and lacks it says, and that is no failure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=FORMS, default=list(FORMS), metavar="NAME")
    parser.add_argument("--smallest", action="store_true", help="only whether each still runs")
    parser.add_argument("--by", type=float, default=25.0, help="per cent from which a number has moved")
    parser.add_argument("--folder", type=Path, default=ROOT / "bench", help="where each run's JSON is kept")
    chosen = parser.parse_args(argv)
    kept = sorted(chosen.folder.glob("run-*.json"))
    last = json.loads(kept[-1].read_text()) if kept else {"benchmarks": {}}
    results: dict[str, Result] = {}
    for name in chosen.only:
        with tempfile.TemporaryDirectory() as folder:
            result = results[name] = run(name, FORMS[name][chosen.smallest], Path(folder))
        print(
            f"{name:18} {result.seconds:6.1f} s  {'' if result.state == 'ran' else result.state}", flush=True
        )
        before = last["benchmarks"].get(name)
        if result.code:
            print("    " + "\n    ".join(result.lines[-10:]))
        elif before and before["arguments"] == result.arguments:
            for line in moved(before["lines"], result.lines, chosen.by):
                print(f"    {line}")
    chosen.folder.mkdir(parents=True, exist_ok=True)
    path = chosen.folder / time.strftime("run-%Y%m%d-%H%M%S.json")
    whole = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "benchmarks": last["benchmarks"]
        | {name: asdict(one) for name, one in results.items() if not one.code},
    }
    path.write_text(json.dumps(whole, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"kept in {path}" + (f", compared with {kept[-1].name}" if kept else ""))
    return int(any(one.state == "failed" for one in results.values()))


if __name__ == "__main__":
    sys.exit(main())
