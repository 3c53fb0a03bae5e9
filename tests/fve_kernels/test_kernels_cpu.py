"""The numpy reference and the compiled CPU kernel, each against the conformance suite."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kernel_conformance import Array, EncodingConformance, random_volume

import fve_pipeline
from fve_kernels import cpu, reference
from fve_kernels.geometry import KernelInputError
from fve_pipeline.imaging.encoding import decode


class TestReference(EncodingConformance):
    depths, sides, large = (1, 2, 5, 19), (64,), 64  # it is slow, and the comparisons are with itself

    def encode(self, volume: Any, *args: Any, **kwargs: Any) -> Array:
        return reference.encode(volume, *args, **kwargs)


class TestCpuOneThread(EncodingConformance):
    def encode(self, volume: Any, *args: Any, **kwargs: Any) -> Array:
        return cpu.encode(volume, *args, **kwargs)


class TestCpuThreads(EncodingConformance):
    def encode(self, volume: Any, *args: Any, **kwargs: Any) -> Array:
        return cpu.encode(volume, *args, threads=3, **kwargs)


def test_the_public_name_encodes_on_all_cores_the_same() -> None:
    volume = random_volume(9, 32, 64)
    for order in (0, 1, 4):
        expected = reference.encode(volume, order, "mirror", "stride")
        np.testing.assert_array_equal(fve_pipeline.encode(volume, order, "mirror", "stride"), expected)
        parallel = fve_pipeline.encode(volume, order, "mirror", "stride", parallel=True)
        np.testing.assert_array_equal(parallel, expected)


def test_strided_output_is_refused() -> None:
    volume = random_volume(2, 8, 8)
    with pytest.raises(KernelInputError, match="C-contiguous"):
        cpu.encode(volume, out=np.empty((2, 8, 16, 3), np.uint8)[:, :, ::2])


@pytest.mark.parametrize("shape", [(9, 16, 48), (2, 32, 8), (3, 8, 8)])
@pytest.mark.parametrize("order", [1, 3])
def test_results_written_past_the_caches(
    shape: tuple[int, int, int], order: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the output begins within a cache line, and nothing beside it is touched."""
    monkeypatch.setattr(cpu, "STREAM_BYTES", 0)
    volume = random_volume(*shape)
    expected = reference.encode(volume, order)
    for begin in range(65):
        memory = np.full(begin + expected.size + 64, 7, np.uint8)
        out = memory[begin : begin + expected.size].reshape(expected.shape)
        cpu.encode(volume, order, out=out, threads=2)
        np.testing.assert_array_equal(out, expected)
        beside = np.concatenate([memory[:begin], memory[begin + expected.size :]])
        np.testing.assert_array_equal(beside, 7)


def test_eight_threads_at_once() -> None:
    volumes = [random_volume(12, 64, 96, seed) for seed in range(8)]
    expected = [reference.encode(volume, 3, "mirror") for volume in volumes]

    def work(seed: int) -> bool:
        return all(np.array_equal(cpu.encode(volumes[seed], 3, "mirror"), expected[seed]) for _ in range(25))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))
    with ThreadPoolExecutor(8) as pool:
        results = pool.map(lambda seed: cpu.encode(volumes[seed], 3, "mirror", threads=2), range(8))
        assert all(np.array_equal(a, b) for a, b in zip(results, expected, strict=True))


# Where code is kept is asked, not how fast it is: compiling takes a third of the time so.
UNOPTIMISED = {"NUMBA_OPT": "0"}

SCRIPT = """
import sys
import numpy as np
from fve_kernels import cpu, reference
volume = np.arange(3 * 8 * 8, dtype=np.uint8).reshape(3, 8, 8)
assert np.array_equal(cpu.encode(volume, 2), reference.encode(volume, 2))
print(sum(cpu._kernel.stats.cache_hits.values()), sum(cpu._kernel.stats.cache_misses.values()))
"""


def _run(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    import fve_kernels

    path = os.pathsep.join([str(Path(fve_kernels.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    return subprocess.run(
        [sys.executable, "-W", "always", "-c", script],
        env={**os.environ, "PYTHONPATH": path, **UNOPTIMISED, **environment},
        capture_output=True,
        text=True,
        check=True,
    )


def test_compiled_code_is_kept_for_the_next_process(tmp_path: Path) -> None:
    first = _run(SCRIPT, NUMBA_CACHE_DIR=str(tmp_path / "cache"))
    assert first.stdout.split() == ["0", "1"]
    second = _run(SCRIPT, NUMBA_CACHE_DIR=str(tmp_path / "cache"))
    assert second.stdout.split() == ["1", "0"]
    assert first.stderr == second.stderr == ""


def test_without_a_place_for_compiled_code_it_works_and_warns_once(tmp_path: Path) -> None:
    import fve_kernels

    package = tmp_path / "fve_kernels"
    shutil.copytree(Path(fve_kernels.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    blocked = tmp_path / "blocked"
    for file in (blocked, package / "__pycache__"):  # a file where a folder would have to be
        file.write_text("")
    environment = {
        **{name: value for name, value in os.environ.items() if name != "NUMBA_CACHE_DIR"},
        "PYTHONPATH": str(tmp_path),
        "HOME": str(blocked / "home"),
        "XDG_CACHE_HOME": str(blocked / "cache"),
        **UNOPTIMISED,
    }
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", SCRIPT],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr.count("RuntimeWarning") == 1
    assert "point NUMBA_CACHE_DIR at a folder" in done.stderr


def test_a_mean_is_rounded_half_up_for_every_sum() -> None:
    """Of all 1,021 sums of four pixels, in any order of the four: by arithmetic alone, without another kernel."""
    rng = np.random.default_rng(0)
    sums = np.minimum(np.arange(32 * 32), 4 * 255)
    quarters = np.repeat(sums[:, None] // 4, 4, axis=1) + (np.arange(4) < (sums % 4)[:, None])
    quarters = rng.permuted(quarters, axis=1).astype(np.uint8)
    far = quarters.reshape(32, 32, 2, 2).transpose(0, 2, 1, 3).reshape(64, 64)
    volume = np.stack([np.zeros_like(far), far])
    halved = decode(cpu.encode(volume, 2, focal=[0])[0], 2).after[0]
    expected = [int(Fraction(int(total), 4) + Fraction(1, 2)) for total in sums]
    np.testing.assert_array_equal(halved.ravel(), expected)
