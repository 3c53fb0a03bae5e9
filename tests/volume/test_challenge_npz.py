"""Prompts in, ``segs`` out."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from fve_pipeline.errors import PredictionError, ReadError
from fve_pipeline.volume.challenge_npz import TextPrompts, read_text_prompts, write_segs


def save(path: Path, prompts: object) -> Path:
    np.savez_compressed(
        path, imgs=np.zeros((2, 2, 2), np.uint8), text_prompts=np.array(prompts, dtype=object)
    )
    return path


def test_prompts_are_read_on_the_flag_only(tmp_path: Path) -> None:
    path = save(tmp_path / "a.npz", {"10": "spleen", "2": "liver in CT", "instance_label": 0})
    assert read_text_prompts(path, allow_pickle=True) == TextPrompts({2: "liver in CT", 10: "spleen"}, False)
    with pytest.raises(ReadError, match="--allow-pickle"):
        read_text_prompts(path)


def test_a_file_without_prompts(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", imgs=np.zeros((2, 2, 2), np.uint8))
    assert read_text_prompts(tmp_path / "a.npz") is None


class Harmful:
    def __init__(self, target: str) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (self.target,)


def test_a_pickle_that_runs_code_does_not_run(tmp_path: Path) -> None:
    target = tmp_path / "made"
    for number, prompts in enumerate([Harmful(str(target)), {"1": Harmful(str(target))}]):
        path = save(tmp_path / f"{number}.npz", prompts)
        with pytest.raises(ReadError, match="mkdir"):
            read_text_prompts(path, allow_pickle=True)
    assert not target.exists()


@pytest.mark.parametrize(
    "prompts",
    [
        ["liver"],
        {"liver": "liver"},
        {"1": ""},
        {"1": 5},
        {1: "liver"},
        {"1": "liver", "instance_label": 2},
        {"instance_label": 1},
        {"1": np.float64(3)},
    ],
    ids=str,
)
def test_dicts_of_another_form(tmp_path: Path, prompts: object) -> None:
    with pytest.raises(ReadError, match="text_prompts"):
        read_text_prompts(save(tmp_path / "a.npz", prompts), allow_pickle=True)


def test_damage(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, text_prompts=np.zeros(3))
    with pytest.raises(ReadError, match="array of float64"):
        read_text_prompts(path, allow_pickle=True)
    path.write_bytes(b"PK nothing")
    with pytest.raises(ReadError, match="cannot read"):
        read_text_prompts(path, allow_pickle=True)
    np.savez(path, text_prompts=np.array({"1": "x" * (1 << 20)}, dtype=object))
    with pytest.raises(ReadError, match="1 MiB"):
        read_text_prompts(path, allow_pickle=True)


def test_segs_are_uint8_and_whole_or_not_there(tmp_path: Path) -> None:
    segs = np.arange(24, dtype=np.uint16).reshape(2, 3, 4)
    write_segs(tmp_path / "a.npz", segs)
    with np.load(tmp_path / "a.npz") as archive:
        assert archive.files == ["segs"]
        assert archive["segs"].dtype == np.uint8
        np.testing.assert_array_equal(archive["segs"], segs)
    segs[0, 0, 0] = 256
    with pytest.raises(PredictionError, match="256"):
        write_segs(tmp_path / "b.npz", segs)
    assert os.listdir(tmp_path) == ["a.npz"]
