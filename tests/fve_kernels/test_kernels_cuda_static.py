"""What compiling the CUDA kernels shows without a card: every architecture takes them, in registers, undivided."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("numba_cuda")

from benchmarks import cuda_static

REASON = cuda_static.missing()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))
OTHERS = [one for one in cuda_static.ARCHITECTURES if one != (9, 0)]
KERNELS = cuda_static.kernels() if REASON is None else {}


@pytest.mark.parametrize(
    "architecture", [(9, 0), *(pytest.param(other, marks=pytest.mark.slow) for other in OTHERS)], ids=str
)
@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel_compiles(name: str, architecture: tuple[int, int]) -> None:
    if not cuda_static.supported(architecture):
        pytest.skip("this ptxas does not know the architecture: CUDA 13's knows none before 7.5")
    found = cuda_static.compiled(KERNELS[name], architecture)
    assert found.spilled == 0
    assert found.registers <= 128  # two blocks of 256 threads a multiprocessor, at the least
    if not name.startswith("rescale"):
        assert not re.search(r"\b(div|rem)\.", found.ptx)


@pytest.mark.parametrize("name", [name for name in KERNELS if "words" in name])
def test_words_are_moved_whole(name: str) -> None:
    """At orders 1 and 2 a thread's only bytes are those of wider words; from 3 up some pixels stand alone."""
    ptx = cuda_static.compiled(KERNELS[name], (9, 0)).ptx
    assert not re.search(r"st\.global\.[us]8", ptx)
    if not re.search(r"k=[3-9]", name):
        assert not re.search(r"ld\.global\.[us]8", ptx)
    if "hwc" in name:
        assert ptx.count("prmt") >= 12
