"""Splits are a promise to every store: hash(subject, seed), the same on every machine and in every version."""

from __future__ import annotations

from fve_pipeline.build.splits import split_of

SUBJECTS = ["amos22/amos_0001", "demo_ct/ct_01", "Ärztin Müller", "7", ""]


def test_splits_stay_what_they_were() -> None:
    """Frozen: sha256 of seed, NUL and subject; the first eight bytes, the highest first, as a share of 2**64."""
    found = {seed: [split_of(f"subject {n}", seed, 0.25, 0.25)[:2] for n in range(16)] for seed in (0, 7)}
    assert " ".join(found[0]) == "va tr va tr tr va te te tr tr tr tr tr te te tr"
    assert " ".join(found[7]) == "tr te te tr va tr tr va te te va tr tr tr va tr"
    assert [split_of(name, 0, 0.25, 0.25) for name in SUBJECTS] == ["test", "val", "val", "train", "train"]


def test_fractions_are_cut_at_the_hash_itself() -> None:
    """subject 0 under seed 0 lies at a known place of 0..1: the fractions just below and above it tell."""
    place = float.fromhex("0x1.508d8464aafbep-3")
    assert split_of("subject 0", 0, place, 0.0) == "train"
    assert split_of("subject 0", 0, place + 1e-12, 0.0) == "val"
    assert split_of("subject 0", 0, 0.1, place - 0.1 + 1e-9) == "test"
