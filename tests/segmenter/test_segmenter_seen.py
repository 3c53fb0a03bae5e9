"""Checkpoints that have learnt from cases that are withdrawn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fve_pipeline.segmenter.checkpoint import save_weights
from fve_pipeline.segmenter.model import Segmenter
from fve_pipeline.segmenter.seen import SeenBy, checkpoints_that_saw
from fve_pipeline.segmenter.trained_on import TrainedCase, TrainedOn

SETTINGS = {"order": 1, "boundary": "repeat", "resize": "opencv", "size": 64}


def test_they_are_found_by_name_or_by_hash(tmp_path: Path, tiny_random: Callable[..., Segmenter]) -> None:
    ours = TrainedOn.of([TrainedCase("a/1", "anna", "a" * 64), TrainedCase("a/2", "bert", "b" * 64)], [])
    model = tiny_random()
    for name, seen in (("run/named.pt", ours), ("given.pt", ours.nameless()), ("silent.pt", None)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        save_weights(tmp_path / name, model, SETTINGS, seen)
    save_weights(
        tmp_path / "other.pt", model, SETTINGS, TrainedOn.of([TrainedCase("a/3", "c", "c" * 64)], [])
    )
    (tmp_path / "none.pt").write_bytes(b"no checkpoint")
    assert checkpoints_that_saw([tmp_path], {"a/1"}, {"a" * 64}) == [
        SeenBy(tmp_path / "given.pt", 1),
        SeenBy(tmp_path / "run/named.pt", 1),
        SeenBy(tmp_path / "silent.pt", None),
    ]
