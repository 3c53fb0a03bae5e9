"""Samples a second from every way of keeping them, side by side in one run, on data that compress as CT does.

``python benchmarks/loading.py [--data DIR] [--samples 2016] [--seconds 3] [--rounds 4] [--make-peers]``

One data set of slices and masks of 512², encoded with order 1 unless the line says otherwise. Each figure is the
best of the rounds, which take the ways in turn, so that a busy moment hurts all alike. litdata, mosaicml-streaming
and webdataset live in an environment of their own (``--peers``, made by ``--make-peers``), since they want
torchvision and more; ways that are not installed are skipped with a line.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import site
import subprocess
import sys
import venv
from pathlib import Path

import loading_data
import numpy as np
from loading_ways import PEERS, WRITERS

from fve_pipeline.store.reader import open_store

HERE = Path(__file__).parent
PACKAGES = "litdata mosaicml-streaming webdataset braceexpand xxhash zstd Brotli python-snappy cramjam catalogue tqdm"

# Line of the table: way, store (None: the way's own folder), order to encode with, what is measured.
LINES: dict[str, tuple[str, str | None, int | None, str]] = {
    "PNG + OpenCV": ("png", None, None, "random threads workers recipe"),
    "npy memmap": ("npy", None, None, "random threads workers recipe"),
    "webdataset": ("webdataset", None, None, "workers"),
    "litdata": ("litdata", None, None, "random workers"),
    "mosaicml-streaming": ("streaming", None, None, "random workers"),
    "zarr-python, lz4": ("zarr", "encoded-lz4", None, "random workers"),
    "tensorstore, lz4": ("tensorstore", "encoded-lz4", None, "random workers"),
    "ours, encoded, lz4": ("ours", "encoded-lz4", None, "random threads workers prompts recipe"),
    "ours, encoded, zstd": ("ours", "encoded-zstd", None, "random threads workers"),
    "ours, encoded k=3, lz4": ("ours", "encoded3-lz4", None, "random threads workers"),
    "ours, lazy k=1, lz4": ("ours", "slices-lz4", 1, "random threads workers prompts recipe"),
    "ours, lazy k=3, lz4": ("ours", "slices-lz4", 3, "random threads workers prompts recipe"),
    "ours, lazy k=1, zstd": ("ours", "slices-zstd", 1, "random threads workers"),
}
GOALS = (
    ("random", "ours, encoded, lz4", "PNG + OpenCV", 25.0),
    ("random", "ours, encoded, lz4", "litdata", 2.5),
    ("threads", "ours, encoded, lz4", "PNG + OpenCV", 15.0),
    ("threads", "ours, encoded, lz4", "litdata", 5.0),
    ("threads", "ours, lazy k=1, lz4", "PNG + OpenCV", 7.5),
    ("threads", "ours, lazy k=1, lz4", "litdata", 2.5),
    ("workers", "ours, encoded, lz4", "PNG + OpenCV", 3.5),
    ("workers", "ours, encoded, lz4", "litdata", 1.0),
)


def make_peers(place: Path) -> None:
    """An environment that sees this one's packages, torch among them, and has the peers besides."""
    venv.create(place, with_pip=True, clear=True)
    inside = next((place / "lib").glob("python*/site-packages"))
    (inside / "parent.pth").write_text("\n".join(site.getsitepackages()))
    pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--no-deps", "--quiet"]
    subprocess.run([*pip, *PACKAGES.split()], check=True)


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


class Runner:
    """Runs loading_measure.py in this environment or in the peers'."""

    def __init__(self, root: Path, peers: Path, samples: int, seconds: float) -> None:
        self.root, self.samples, self.seconds = root, samples, seconds
        self.peers = peers / "bin" / "python"

    def run(self, what: str, way: str, place: Path, *more: str) -> float | None:
        python = str(self.peers) if way in PEERS else sys.executable
        if way in PEERS and not self.peers.exists():
            return None
        command = [python, str(HERE / "loading_measure.py"), what, way, str(place), *more]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
        if way in PEERS:
            environment["PYTHONPATH"] = os.environ.get("PYTHONPATH", "")
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)
        if done.returncode:
            print(f"{way}, {what}: failed: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
            return None
        lines = done.stdout.strip().splitlines()
        return json.loads(lines[-1]) if lines else None

    def write(self, way: str) -> Path:
        place = self.root / way
        done = self.root / f"{way}.done"
        if not done.exists():
            shutil.rmtree(place, ignore_errors=True)
            self.run("write", way, place, "--data", str(self.root))
            if place.exists():
                done.touch()
        return place

    def measure(self, what: str, way: str, place: Path, order: int | None) -> float | None:
        more = ["--samples", str(self.samples), "--seconds", str(self.seconds)]
        return self.run(what, way, place, *more, *([] if order is None else ["--order", str(order)]))


def save_arrays(root: Path, store: Path) -> int:
    opened = open_store(store)
    n, size = len(opened), opened.settings.size
    if not (root / "masks.npy").exists():
        images = np.lib.format.open_memmap(root / "images.npy", "w+", np.uint8, (n, size, size, 3))
        for start in range(0, n, 64):
            opened.read_images(start, min(n, start + 64), images[start : start + 64])
        np.save(root / "masks.npy", opened.read_masks(0, n))
    return n


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=HERE / "loading.data")
    parser.add_argument("--peers", type=Path, default=HERE / "loading.peers")
    parser.add_argument("--make-peers", action="store_true")
    parser.add_argument("--samples", type=int, default=2016)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--only", nargs="*", default=(), help="of random, threads, workers, prompts, recipe")
    given = parser.parse_args()
    if given.make_peers:
        make_peers(given.peers)
    stores = loading_data.make_stores(given.data, given.samples)
    root = stores["encoded-lz4"].parent
    samples = save_arrays(root, stores["encoded-lz4"])
    runner = Runner(root, given.peers, samples, given.seconds)
    own = {way: runner.write(way) for way in WRITERS}
    found: dict[tuple[str, str], float] = {}
    for _ in range(given.rounds):
        for line, (way, store, order, kinds) in LINES.items():
            place = stores[store] if store else own[way]
            wanted = [kind for kind in kinds.split() if not given.only or kind in given.only]
            for what in wanted if place.exists() else ():
                value = runner.measure(what, way, place, order)
                if value is not None:
                    found[line, what] = max(value, found.get((line, what), 0.0))
    report(found, {line: stores[s] if s else own[way] for line, (way, s, _, _) in LINES.items()}, samples)


def report(found: dict[tuple[str, str], float], places: dict[str, Path], samples: int) -> None:
    png = size_of(places["PNG + OpenCV"])
    print(f"\n{samples} samples of 512² (image ×3 and mask), samples/s; {os.cpu_count()} cores\n")
    print("| | one random sample | batches of 8, 2 threads | DataLoader, 2 workers | MB on disk | of PNG |")
    print("|---|---|---|---|---|---|")
    for line, place in places.items():
        if not any(name == line for name, _ in found):
            print(f"| {line} | skipped: not installed | | | | |")
            continue
        cells = [
            f"{found[line, w]:,.0f}" if (line, w) in found else "–" for w in ("random", "threads", "workers")
        ]
        size = size_of(place)
        print(f"| {line} | {' | '.join(cells)} | {size / 1e6:,.0f} | {size / png:.2f} |")
    print()
    for what, ours, peer, goal in GOALS:
        theirs = found.get((peer, what)) or found.get((peer, "workers"))
        if theirs and (ours, what) in found:
            print(f"{what}: {ours} over {peer}: {found[ours, what] / theirs:.1f}× (goal {goal}×)")
    recipes(found)
    for line, goal in (("ours, encoded, zstd", 1.2), ("ours, lazy k=1, zstd", 0.45)):
        print(f"bytes: {line} over PNG: {size_of(places[line]) / png:.2f} (goal at most {goal})")


def recipes(found: dict[tuple[str, str], float]) -> None:
    """Four prompts, without and with the whole recipe of augmentations, and how that stands beside OpenCV's."""
    print("| four prompts, samples/s | prompts alone | whole recipe | recipe, over PNG + OpenCV |")
    print("|---|---|---|---|")
    peer = found.get(("PNG + OpenCV", "recipe"))
    for line in LINES:
        if (line, "recipe") in found:
            alone = f"{found[line, 'prompts']:,.0f}" if (line, "prompts") in found else "–"
            ratio = f"{found[line, 'recipe'] / peer:.1f}×" if peer else "–"
            print(f"| {line} | {alone} | {found[line, 'recipe']:,.0f} | {ratio} |")
    print("(goal: ours, order 1, whole recipe, two threads: 2,000)\n")


if __name__ == "__main__":
    main()
