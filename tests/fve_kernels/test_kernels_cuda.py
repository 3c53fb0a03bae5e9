"""The CUDA kernels against the conformance suite: on a GPU where there is one, else under numba's simulator.

The simulator runs each CUDA thread as Python, so sizes are small there; and it must be chosen before numba is
imported, so without a GPU this file runs itself again in a process that has chosen it.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kernel_conformance import Array, EncodingConformance, random_volume

from fve_kernels import cpu_rescale, reference
from fve_kernels.geometry import KernelInputError
from fve_pipeline.imaging.encoding import encode
from fve_pipeline.imaging.intensity import to_uint8

cuda_arrays = pytest.importorskip("fve_kernels.cuda_arrays")

SIMULATED = os.environ.get("NUMBA_ENABLE_CUDASIM") == "1"
needs_device = pytest.mark.skipif(not cuda_arrays.is_available(), reason="no CUDA device, and not simulated")


@pytest.mark.skipif(cuda_arrays.is_available(), reason="this process has a device already")
def test_under_the_simulator() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", __file__],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "NUMBA_ENABLE_CUDASIM": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]


@needs_device
class TestCuda(EncodingConformance):
    if SIMULATED:
        depths, sides, large = (1, 2, 5), (32,), 32

    def side(self, order: int) -> int:
        return max(8, 2 ** (order - 1)) if SIMULATED else super().side(order)

    def further(self, block: int) -> tuple[tuple[int, int], ...]:
        if SIMULATED and block > 8:
            return ()
        return super().further(block)

    def encode(self, volume: Any, *args: Any, **kwargs: Any) -> Array:
        from fve_kernels import cuda

        result = cuda.encode(volume, *args, **kwargs)
        assert isinstance(result, np.ndarray)
        return result


@needs_device
@pytest.mark.parametrize("width", [8, 6])  # whole words, and single pixels
@pytest.mark.parametrize("layout", ["hwc", "chw"])
def test_what_lies_on_the_device_stays_there(width: int, layout: str) -> None:
    from numba import cuda

    volume = random_volume(4, 8, width)
    expected = reference.encode(volume, 2, "mirror", focal=[3, 1], layout=layout)
    resident = cuda.to_device(volume)
    result = encode(resident, 2, "mirror", focal=[3, 1], layout=layout)
    assert cuda_arrays.is_on_device(result)
    np.testing.assert_array_equal(result.copy_to_host(), expected)
    out = cuda.device_array(expected.shape, np.uint8)
    assert encode(resident, 2, "mirror", focal=[3, 1], layout=layout, out=out) is out
    np.testing.assert_array_equal(out.copy_to_host(), expected)
    stream = cuda.stream()
    queued = encode(resident, 2, "mirror", focal=[3, 1], layout=layout, stream=stream)
    stream.synchronize()
    np.testing.assert_array_equal(queued.copy_to_host(), expected)


@needs_device
def test_device_arrays_must_be_contiguous() -> None:
    from numba import cuda

    volume = cuda.to_device(random_volume(4, 8, 8))
    with pytest.raises(KernelInputError, match=r"the array has strides .* must be C-contiguous"):
        encode(volume[:, :, ::2])
    with pytest.raises(KernelInputError, match="C-contiguous"):
        encode(random_volume(2, 8, 8), device="cuda", out=np.empty((2, 8, 16, 3), np.uint8)[:, :, ::2])
    with pytest.raises(KernelInputError, match="float32; only uint8"):
        encode(cuda.to_device(np.zeros((2, 8, 8), np.float32)))


@needs_device
@pytest.mark.parametrize("dtype", ["u1", "i2", "u2", "i4", "f4", "f8", "i8", ">i2"])
@pytest.mark.parametrize("truncate", [False, True])
def test_rescaling_gives_the_cpus_bytes(dtype: str, truncate: bool) -> None:
    from numba import cuda

    from fve_kernels import cuda_rescale

    array = (np.random.default_rng(0).standard_normal((3, 7, 11)) * 300).clip(
        0 if "u" in dtype else -999, 255
    )
    array = array.astype(dtype)
    if "f" in dtype:
        array[0, 0, :3] = (np.nan, np.inf, -np.inf)
    bounds = (-160.3, 240.1, -100.7, 200.2)
    expected = cpu_rescale.rescale(array, *bounds, truncate=truncate)
    for view in (array, array[::-1, :, ::2]):
        expected = cpu_rescale.rescale(view, *bounds, truncate=truncate)
        result = cuda_rescale.rescale(view, *bounds, truncate=truncate)
        np.testing.assert_array_equal(result, expected)
    resident = cuda.to_device(array.astype(array.dtype.newbyteorder("=")))
    result = cuda_rescale.rescale(resident, *bounds, truncate=truncate)
    np.testing.assert_array_equal(
        result.copy_to_host(), cpu_rescale.rescale(array, *bounds, truncate=truncate)
    )


@pytest.mark.skipif(SIMULATED or not cuda_arrays.is_available(), reason="torch needs a real CUDA device")
def test_torch_tensors_without_a_copy() -> None:
    torch = pytest.importorskip("torch")
    volume = random_volume(9, 64, 96)
    tensor = torch.from_numpy(volume).cuda()
    expected = reference.encode(volume, 3)
    with torch.cuda.stream(torch.cuda.Stream()):
        result = encode(tensor, 3)
    torch.cuda.synchronize()
    assert isinstance(result, torch.Tensor)
    assert result.is_cuda
    np.testing.assert_array_equal(result.cpu().numpy(), expected)


@needs_device
def test_windowing_on_the_device_decides_and_gives_the_same() -> None:
    volume = np.random.default_rng(1).integers(-1000, 1000, (3, 6, 10)).astype(np.int16)
    for arguments in (
        {"modality": "CT", "window": "soft_tissue"},
        {"modality": "CT", "window": "lung", "rule": "medsam"},
        {"modality": "MR"},
    ):
        expected, decision = to_uint8(volume, **arguments)  # type: ignore[arg-type]
        result, same = to_uint8(volume, device="cuda", **arguments)  # type: ignore[arg-type]
        assert same == decision
        np.testing.assert_array_equal(result, expected)
