"""Sharded arrays: what we write is read equal by everyone, along any axis, and damage is found."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec

from fve_pipeline.errors import StoreError, StoreFormatError
from fve_pipeline.files.local import LocalFiles
from fve_pipeline.store.array import ShardedArray
from fve_pipeline.store.volume import write_group, write_volume


def volume(shape: tuple[int, ...] = (21, 40, 37), dtype: Any = np.uint8) -> np.ndarray:
    rng = np.random.default_rng(3)
    return rng.integers(0, 40, shape).astype(dtype)


@pytest.mark.parametrize("codec", ["lz4", "zstd", "none"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_all_readers_agree(tmp_path: Path, codec: Any, dtype: Any) -> None:
    array = volume(dtype=dtype)
    files = LocalFiles(tmp_path)
    write_group(files, "", {"fve": {"kind": "test"}})
    write_volume(files, "image", array, codec=codec, inner=(8, 16, 16), attributes={"fve": {"a": 1}})
    ours = ShardedArray(files, "image")
    assert ours.attributes == {"fve": {"a": 1}}
    assert np.array_equal(ours.read(), array)
    assert np.array_equal(zarr.open_group(tmp_path, mode="r")["image"][...], array)  # type: ignore[index]
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(tmp_path / "image")}}
    tensorstore = pytest.importorskip("tensorstore")
    pytest.importorskip("zarrs")
    assert np.array_equal(tensorstore.open(spec).result().read().result(), array)
    with zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}):
        assert np.array_equal(zarr.open_array(tmp_path / "image", mode="r")[...], array)


@pytest.mark.parametrize("codec", ["lz4", "zstd", "none"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_metadata_is_what_zarr_python_writes(tmp_path: Path, codec: Any, dtype: str) -> None:
    write_volume(LocalFiles(tmp_path), "a", volume(dtype=dtype), codec=codec, inner=(8, 16, 16))
    compressors: list[Any] = [Crc32cCodec()]
    if codec == "lz4":
        compressors.insert(0, BloscCodec(typesize=1, cname="lz4", clevel=5, shuffle="noshuffle"))
    if codec == "zstd":
        compressors.insert(0, ZstdCodec(level=1))
    theirs = zarr.create_array(
        tmp_path / "b",
        shape=(21, 40, 37),
        dtype=dtype,
        chunks=(8, 16, 16),
        shards=(24, 48, 48),
        compressors=compressors,
        dimension_names=("z", "y", "x"),
        fill_value=0,
    )
    assert zarr.open_array(tmp_path / "a", mode="r").metadata == theirs.metadata


def test_what_zarr_python_writes_is_read(tmp_path: Path) -> None:
    """Chunks in another order, empty chunks left out, shards left out: all of it is in the format."""
    array = volume((40, 32, 32))
    array[8:24] = 0
    target = zarr.create_array(
        tmp_path / "a",
        data=array,
        chunks=(4, 16, 16),
        shards=(8, 32, 32),
        compressors=[BloscCodec(typesize=1, cname="lz4", clevel=5, shuffle="noshuffle"), Crc32cCodec()],
        fill_value=0,
    )
    assert target.nchunks_initialized < target.nchunks
    assert np.array_equal(ShardedArray(LocalFiles(tmp_path), "a").read(), array)


@pytest.mark.parametrize("shards", [(8, 32, 32), None])
def test_another_layout_is_read_through_zarr_python(tmp_path: Path, shards: Any) -> None:
    array = volume((16, 32, 32))
    zarr.create_array(
        tmp_path / "a", data=array, chunks=(4, 16, 16), shards=shards, compressors=[ZstdCodec(level=5)]
    )
    read = ShardedArray(LocalFiles(tmp_path), "a").read((slice(3, 9), slice(None), slice(5, 20)))
    assert np.array_equal(read, array[3:9, :, 5:20])


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[ShardedArray, np.ndarray]:
    array = volume()
    files = LocalFiles(tmp_path_factory.mktemp("stored"))
    write_volume(files, "image", array, inner=(8, 16, 16))
    return ShardedArray(files, "image"), array


@given(bounds=st.tuples(*(st.tuples(st.integers(-3, 45), st.integers(-3, 45)) for _ in range(3))))
@settings(max_examples=150, deadline=None)
def test_any_slab(stored: tuple[ShardedArray, np.ndarray], bounds: Any) -> None:
    ours, array = stored
    slices = tuple(slice(a, b) for a, b in bounds)
    assert np.array_equal(ours.read(slices), array[slices])


def test_reads_into_out_and_survives_pickling(stored: tuple[ShardedArray, np.ndarray]) -> None:
    ours, array = stored
    out = np.empty((4, 40, 37), np.uint8)
    again = pickle.loads(pickle.dumps(ours))
    assert again.read(slice(3, 7), out=out) is out
    assert np.array_equal(out, array[3:7])
    with pytest.raises(ValueError, match="slab"):
        ours.read(slice(3, 8), out=out)
    with pytest.raises(ValueError, match="step 1"):
        ours.read(slice(0, 8, 2))


def test_a_damaged_chunk_is_named(tmp_path: Path) -> None:
    files = LocalFiles(tmp_path)
    write_volume(files, "image", volume(), inner=(8, 16, 16))
    path = tmp_path / "image/c/0/0/0"
    data = bytearray(path.read_bytes())
    data[10] ^= 1
    path.write_bytes(data)
    with pytest.raises(StoreFormatError, match="crc32c") as caught:
        ShardedArray(files, "image").read(slice(0, 1))
    assert "chunk (0, 0, 0)" in caught.value.__notes__[0]
    assert ShardedArray(files, "image").read(slice(8, 9)).shape == (1, 40, 37)


def test_a_missing_array_says_so(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"no zarr\.json"):
        ShardedArray(LocalFiles(tmp_path), "image")
