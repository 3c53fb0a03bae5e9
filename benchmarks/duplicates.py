"""The same scan in disguise: how many are found, how many others are taken for one, and what 27,000 cases take.

``python benchmarks/duplicates.py --subjects 20`` makes subjects of three kinds, takes the real scans beside the project as
well, puts each into thirteen disguises, and adds what must not be found: other subjects of the same anatomy, and
followed-up scans. All are compared with all, as `fve duplicates` does. ``--scale 27000`` compares that many
fingerprints, with known copies among them, and prints seconds and memory.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from duplicates_data import Scan, bent, disguised, followed_up, made, real
from numpy.typing import NDArray

from fve_pipeline.duplicates import compare, find_duplicates, fingerprint
from fve_pipeline.duplicates.fingerprint import SIDE


def main() -> None:
    """Print recall by disguise, false pairs, and how near each comes to the threshold; or the scale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subjects", type=int, default=20)
    parser.add_argument("--scale", type=int, default=0)
    asked = parser.parse_args()
    if asked.scale:
        scale(asked.scale)
    else:
        disguises(asked.subjects)


def disguises(subjects: int) -> None:
    """Compare all with all."""
    rng = np.random.default_rng(0)
    prints: list[NDArray[np.uint8]] = []
    names: list[tuple[str, str]] = []  # subject, disguise

    def take(scan: Scan, disguise: str) -> None:
        prints.append(fingerprint(scan.shown(), scan.spacing))
        names.append((scan.subject, disguise))

    for scan in (*real(), *made(subjects)):
        take(scan, "")
        for disguise, other in disguised(scan, rng):
            take(other, disguise)
        for number in range(3):
            take(followed_up(scan, rng), f"follow-up {number}")
            take(bent(scan, rng, f"{scan.subject}, bent {number}"), "")
    found = find_duplicates(len(prints), prints.__getitem__)
    _tell(prints, names, {(one.first, one.second) for one in found})


def _tell(prints: list[NDArray[np.uint8]], names: list[tuple[str, str]], found: set[tuple[int, int]]) -> None:
    first = {subject: place for place, (subject, disguise) in enumerate(names) if not disguise}
    told: dict[str, list[tuple[float, bool]]] = {}
    for place, (subject, disguise) in enumerate(names):
        if disguise:
            score = compare(prints[first[subject]], prints[place]).score
            kind = disguise.rstrip(" 012")
            told.setdefault(kind, []).append((score, (first[subject], place) in found))
    hits = tries = 0
    for kind, rows in told.items():
        share = sum(hit for _, hit in rows) / len(rows)
        scores = sorted(score for score, _ in rows)
        print(f"{kind:20} found {share:7.2%} of {len(rows):4}; scores {scores[0]:.3f} … {scores[-1]:.3f}")
        if kind != "follow-up":
            hits, tries = hits + sum(hit for _, hit in rows), tries + len(rows)
    wrong = Counter(
        "follow-up" if names[a][0] == names[b][0] else "other subjects"
        for a, b in found
        if names[a][0] != names[b][0] or "follow-up" in (names[a][1] + names[b][1])
    )
    print(f"recall {hits / tries:.2%} of {tries} disguises; false pairs: {dict(wrong) or 'none'}")
    for a, b in sorted(found):
        if names[a][0] != names[b][0]:
            print("  false:", names[a], names[b], f"{compare(prints[a], prints[b]).score:.3f}")


def scale(count: int) -> None:
    """Compare ``count`` fingerprints that share one anatomy; every twentieth is a noisy, cropped, flipped copy."""
    rng = np.random.default_rng(0)
    templates = [fingerprint(scan.shown(), scan.spacing) for scan in made(6)]
    with TemporaryDirectory() as folder:
        copies = _write_prints(Path(folder), count, templates, rng)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        started = time.perf_counter()
        found = find_duplicates(count, lambda number: np.load(Path(folder) / f"{number}.npy"))
        seconds = time.perf_counter() - started
    pairs = {(one.first, one.second) for one in found}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(
        f"{count:,} cases compared in {seconds:.0f} s; peak {peak / 1e6:.2f} GB ({before / 1e6:.2f} before)"
    )
    print(f"{len(pairs & copies):,} of {len(copies):,} copies found; {len(pairs - copies)} other pairs")


def _write_prints(
    folder: Path, count: int, templates: list[NDArray[np.uint8]], rng: np.random.Generator
) -> set[tuple[int, int]]:
    """Fingerprints of one anatomy: half of each is its template's, half its own; returns the pairs that are copies."""
    copies = set()
    for number in range(count):
        if number % 20 == 19:
            source = np.load(folder / f"{number - 7}.npy").astype(np.float32) - 128
            low = int(rng.integers(0, len(source) // 3))
            planes = source[low:, :, ::-1] + rng.normal(0, 8, (len(source) - low, SIDE, SIDE))
            copies.add((number - 7, number))
        else:
            shared = templates[int(rng.integers(len(templates)))].astype(np.float32) - 128
            own = rng.normal(0, 1, shared.shape).astype(np.float32)
            own = (own + np.roll(own, 1, 1) + np.roll(own, 1, 2) + np.roll(own, 1, 0)) / 2
            planes = 0.8 * shared + 0.6 * own * shared.std()
        np.save(folder / f"{number}.npy", np.clip(np.rint(planes + 128), 1, 255).astype(np.uint8))
    return copies


if __name__ == "__main__":
    main()
