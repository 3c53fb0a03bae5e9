"""Are the CUDA kernels bound by memory? Counted in their machine code, without a card.

    pip install --no-deps nvidia-cuda-nvcc-cu12 nvidia-cuda-nvrtc-cu12 nvidia-cuda-nvdisasm
    python benchmarks/cuda_static.py

Every kernel is compiled to PTX by numba and through ptxas for each architecture. Its instructions are then counted: all of
them, as if a thread took both sides of every branch and left no loop early, so that the figure is an upper bound.
Divided by the bytes that a thread writes, and set against what a card's data sheet says that it issues and moves, they
tell how much longer the bytes take than the instructions. The bytes are a lower bound: each slice read once, halved
slices written and read once, each result written once. Nothing is said of latencies, of caches, or of a card's real pace.
"""

from __future__ import annotations

import re
import shutil
import site
import subprocess
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ARCHITECTURES = ((7, 0), (8, 0), (9, 0), (10, 0))


@dataclass(frozen=True)
class Card:
    """Of a data sheet: multiprocessors, boost clock in Hz, bytes a second. Each multiprocessor issues four warps a cycle."""

    name: str
    architecture: tuple[int, int]
    processors: int
    clock: float
    bandwidth: float

    @property
    def issued(self) -> float:
        """Instructions of single threads a second."""
        return self.processors * 4 * 32 * self.clock

    @property
    def whole_numbers(self) -> float:
        """The same of whole numbers' arithmetic, byte permutations included: the programming guide has 64 a cycle."""
        return self.issued / 2


CARDS = (
    Card("A100 SXM 80 GB", (8, 0), 108, 1.41e9, 2.039e12),
    Card("H100 SXM", (9, 0), 132, 1.98e9, 3.35e12),
)


@dataclass(frozen=True)
class Kernel:
    """A kernel, the types it is called with, and how many bytes one thread writes."""

    function: Any
    types: tuple[Any, ...]
    written: int


def kernels() -> dict[str, Kernel]:
    """Return every kernel by name, as it is launched."""
    from numba import types

    from fve_kernels import cuda, cuda_rescale, cuda_words

    def array(kind: Any, ndim: int) -> Any:
        return types.Array(kind, ndim, "C")

    pixels, halves, words = array(types.uint8, 2), array(types.uint16, 2), array(types.int32, 2)
    eights = array(types.int64, 2)
    table, chains, number = array(types.uint32, 1), array(types.uint32, 3), types.int64
    sizes = (table, number, number, table, chains)
    found = {
        "encode_pixels": Kernel(cuda.encode_pixels, (pixels, pixels, *sizes, types.boolean, pixels), 3),
        "halve_pixels": Kernel(
            cuda.halve_pixels, (pixels, table, number, pixels, number, number, number, types.boolean), 1
        ),
        "halve_words": Kernel(
            cuda_words.halve_words, (words, table, number, words, number, number, number, types.boolean), 4
        ),
    }
    for chw in (False, True):
        layout = "chw" if chw else "hwc"
        copy = Kernel(cuda_words.copy_words(chw), (eights, table, chains, eights), 24)
        found[f"encode_words k=1 {layout}"] = copy
        for order in range(2, 7):
            kernel = cuda_words.encode_words(order - 1, chw)
            typed = (eights, words, halves, pixels, *sizes, eights)
            found[f"encode_words k={order} {layout}"] = Kernel(kernel, typed, 48)
    for dtype in (np.float32, np.float64):
        real = types.float32 if dtype is np.float32 else types.float64
        for truncate in (False, True):
            function = cuda_rescale._kernel(truncate, np.dtype(dtype))
            for given in (types.int16, real):
                typed = (array(given, 1), array(real, 1), array(types.uint8, 1))
                found[f"rescale {given} as {real}{', truncated' if truncate else ''}"] = Kernel(
                    function, typed, 1
                )
    return found


def tool(name: str) -> str | None:
    """Return where ptxas or nvdisasm lies, in NVIDIA's wheels or on the path; None where it does not."""
    folders = [Path(folder) / "nvidia" for folder in site.getsitepackages()]
    found = [path for folder in folders for path in sorted(folder.glob(f"*/bin/{name}"))]
    return str(found[0]) if found else shutil.which(name)


def missing() -> str | None:
    """Say why nothing can be compiled here; None where it can."""
    if not tool("ptxas"):
        return "no ptxas: pip install --no-deps nvidia-cuda-nvcc-cu12 nvidia-cuda-nvrtc-cu12"
    try:
        from numba import config, cuda

        if config.ENABLE_CUDASIM:
            return "numba simulates CUDA in this process"
        cuda.compile_ptx(lambda: None, (), cc=(9, 0))
    except Exception as error:
        return f"numba compiles nothing for CUDA here: {type(error).__name__}: {str(error).splitlines()[0]}"
    return None


def supported(architecture: tuple[int, int]) -> bool:
    """Whether the installed ptxas knows the architecture: CUDA 13's knows none before 7.5."""
    listed = subprocess.run([str(tool("ptxas")), "--help"], capture_output=True, text=True, check=True).stdout
    return f"sm_{architecture[0]}{architecture[1]}" in listed


@dataclass(frozen=True)
class Compiled:
    """What a kernel came to: its PTX, registers a thread, bytes spilled, and machine code."""

    ptx: str
    registers: int
    spilled: int
    code: bytes


def compiled(kernel: Kernel, architecture: tuple[int, int]) -> Compiled:
    """Compile for one architecture. Raises CalledProcessError where ptxas refuses."""
    from numba import cuda

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of occupancy, and of what a driver would be needed for
        ptx, _ = cuda.compile_ptx(kernel.function.py_func, kernel.types, cc=architecture)
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "kernel.ptx", Path(folder) / "kernel.cubin"
        source.write_text(ptx)
        name = f"-arch=sm_{architecture[0]}{architecture[1]}"
        command = [str(tool("ptxas")), "-v", name, str(source), "-o", str(target)]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
        code = target.read_bytes()
    registers = re.findall(r"Used (\d+) registers", said)
    spilled = re.findall(r"(\d+) bytes spill (?:stores|loads)", said)
    return Compiled(ptx, int(registers[0]), sum(map(int, spilled)), code)


def instructions(code: bytes) -> list[str]:
    """Return the machine instructions' names, padding left out; needs nvdisasm."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(code)
        file.flush()
        command = [str(tool("nvdisasm")), "-c", file.name]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    names = re.findall(r"/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Z0-9_.]+)", text)
    while names and names[-1].split(".")[0] in ("NOP", "BRA"):  # what follows the last return
        names.pop()
    return names


def main() -> None:
    reason = missing() or (
        None if tool("nvdisasm") else "no nvdisasm: pip install --no-deps nvidia-cuda-nvdisasm"
    )
    if reason:
        raise SystemExit(reason)
    every = kernels()
    print("| hwc | card | instructions a byte | bytes moved a byte | issue | as whole numbers |")
    print("|---|---|---|---|---|---|")
    worst = np.inf
    for card in CARDS:
        halve = len(instructions(compiled(every["halve_words"], card.architecture).code)) / 4
        for order in range(1, 5):
            kernel = every[f"encode_words k={order} hwc"]
            encode = len(instructions(compiled(kernel, card.architecture).code)) / kernel.written
            # Halved bytes for each byte of output: a third of a slice's, a quarter of that a level.
            halved = sum(0.25**level for level in range(1, order)) / 3
            count = encode + halved * halve
            # Written once, focal slices read once; halving reads four bytes for each that it writes, which is read again.
            moved = 1 + 1 / 3 + halved * (4 + 1 + 1)
            ratios = [moved / card.bandwidth * rate / count for rate in (card.issued, card.whole_numbers)]
            worst = min(worst, ratios[0])
            print(
                f"| k={order} | {card.name} | {count:.2f} | {moved:.2f} | {ratios[0]:.1f}× | {ratios[1]:.1f}× |"
            )
    print(f"\nmemory takes at least {worst:.1f}× as long as instructions (goal: 1.5×)")


if __name__ == "__main__":
    main()
