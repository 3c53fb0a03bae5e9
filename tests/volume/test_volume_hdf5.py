"""HDF5 volumes and labels: named arrays, nothing from elsewhere, nothing that was never written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from fve_pipeline.catalog.case import LabelFile
from fve_pipeline.errors import ReadError
from fve_pipeline.volume import read_header, read_image, read_labels

VOXELS = np.arange(2 * 3 * 4, dtype=np.int16).reshape(2, 3, 4)


def write(path: Path, **arrays: Any) -> Path:
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name.replace("__", "/")] = array
    return path


@pytest.mark.parametrize(
    ("options", "dtype"),
    [
        ({}, ">i2"),
        ({"chunks": (1, 2, 3), "compression": "gzip", "shuffle": True, "fletcher32": True}, "<f4"),
        ({"chunks": (2, 3, 4), "compression": "lzf", "maxshape": (None, None, None)}, "u1"),
    ],
)
def test_an_array_is_read_with_its_spacing(tmp_path: Path, options: dict[str, Any], dtype: str) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        data = file.create_dataset("volumes/raw", data=VOXELS.astype(dtype), **options)
        data.attrs["element_size_um"] = [2000.0, 500.0, 250.0]
    volume = read_image(tmp_path / "a.h5", member="volumes/raw")
    header = read_header(tmp_path / "a.h5", member="volumes/raw")
    assert np.array_equal(volume.array, VOXELS.astype(dtype))
    assert volume.spacing == header.spacing == (2.0, 0.5, 0.25)
    assert header.shape == volume.shape
    assert not volume.located


def test_one_channel_and_a_note_where_sizes_are_unknown(tmp_path: Path) -> None:
    path = write(tmp_path / "a.hdf5", imgs=np.stack([VOXELS, VOXELS + 7]))
    assert np.array_equal(read_image(path, channel=1).array, VOXELS + 7)
    assert read_image(path, channel=1).notes == ("no element_size_um at the array: 1 mm assumed",)
    with pytest.raises(ReadError, match="2 volumes in one file"):
        read_image(path)


def test_labels_of_the_same_file(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", raw=VOXELS, label__organs=(VOXELS > 5).astype(np.uint8))
    like = read_image(path, member="raw")
    labels = read_labels([LabelFile("a.h5", member="label/organs")], tmp_path, like)
    assert np.array_equal(labels.array, VOXELS > 5)


def test_a_missing_array_is_answered_with_those_that_are_there(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", volumes__raw=VOXELS, label=VOXELS)
    said = (
        r"no array 'imgs' in the HDF5 file, which holds label 2×3×4, volumes/raw 2×3×4; expected one of them"
    )
    with pytest.raises(ReadError, match=said):
        read_image(path)
    with pytest.raises(ReadError, match="no array 'volumes'"):
        read_image(path, member="volumes")


@pytest.mark.parametrize("at", ["link", "group/inner"])
def test_links_out_of_the_file_are_not_followed(tmp_path: Path, at: str) -> None:
    write(tmp_path / "secret.h5", inner=VOXELS)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["link"] = h5py.ExternalLink("secret.h5", "/inner")
        file["group"] = h5py.ExternalLink("secret.h5", "/")
    with pytest.raises(ReadError, match=r"is a link to .*secret\.h5"):
        read_image(tmp_path / "a.h5", member=at)


def test_voxels_in_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "secret.raw").write_bytes(VOXELS.tobytes())
    write(tmp_path / "secret.h5", inner=VOXELS)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("imgs", VOXELS.shape, "<i2", external=[(str(tmp_path / "secret.raw"), 0, 48)])
        layout = h5py.VirtualLayout(VOXELS.shape, "<i2")
        layout[:] = h5py.VirtualSource(str(tmp_path / "secret.h5"), "inner", VOXELS.shape)
        file.create_virtual_dataset("made", layout)
    for member in ("imgs", "made"):
        with pytest.raises(ReadError, match="lie in other files"):
            read_image(tmp_path / "a.h5", member=member)


def test_what_was_never_written_is_not_zero(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("imgs", (4, 6, 6), "i2", chunks=(1, 6, 6))[0] = 1
        file.create_dataset("late", (4, 6, 6), "i2")
    with pytest.raises(ReadError, match="1 of its 4 chunks; the others were never written"):
        read_image(tmp_path / "a.h5")
    with pytest.raises(ReadError, match="0 bytes of its 288, so it was never written"):
        read_image(tmp_path / "a.h5", member="late")


def test_a_chunk_larger_than_its_bytes_can_be_takes_no_memory(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        shape, chunk = (1, 1, 1), (1, 1 << 15, 1 << 15)
        file.create_dataset("imgs", shape, "u1", chunks=chunk, maxshape=(None,) * 3, compression="gzip")
        file["imgs"].id.write_direct_chunk((0, 0, 0), b"x" * 100)
    with pytest.raises(ReadError, match="truncated, 100 of"):
        read_image(tmp_path / "a.h5")


@pytest.mark.parametrize("keep", [0.2, 0.6, 0.99])
def test_a_truncated_file_is_refused(tmp_path: Path, keep: float) -> None:
    path = write(tmp_path / "a.h5", imgs=np.tile(VOXELS, (4, 20, 20)))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * keep)])
    with pytest.raises(ReadError, match="truncated or damaged HDF5"):
        read_image(path)


def test_a_damaged_chunk_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("imgs", data=np.tile(VOXELS, (4, 20, 20)), chunks=True, compression="gzip")
        start = file["imgs"].id.get_chunk_info(0).byte_offset
    damaged = bytearray((tmp_path / "a.h5").read_bytes())
    damaged[start + 30] ^= 0xFF
    (tmp_path / "a.h5").write_bytes(damaged)
    with pytest.raises(ReadError, match="damaged HDF5"):
        read_image(tmp_path / "a.h5")


def test_what_is_no_volume_of_numbers_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", imgs=[b"one", b"two"], number=3)
    with pytest.raises(ReadError, match=r"array 'imgs' holds object"):
        read_image(path)
    with pytest.raises(ReadError, match="array 'number' is a single number"):
        read_image(path, member="number")
    with h5py.File(path, "a") as file:
        file["flat"] = VOXELS
        file["flat"].attrs["element_size_um"] = [1.0, 0.0, 1.0]
    with pytest.raises(ReadError, match=r"element_size_um is \[1\.0, 0\.0, 1\.0\]"):
        read_image(path, member="flat")


@pytest.mark.parametrize("name", ["a.mnc", "a.mat", "a.ims"])
def test_other_kinds_built_on_hdf5_are_named(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, imgs=VOXELS)
    with pytest.raises(ReadError, match=r"a MINC volume|a MATLAB file|an Imaris file"):
        read_image(tmp_path / name)
