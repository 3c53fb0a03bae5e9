"""One store, many readers: ours, zarr-python, tensorstore, zarrs, and a page of numpy."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import threading
from pathlib import Path
from typing import Any

import numpy as np
import page_reader
import pytest
import store_maker as maker
import zarr

from fve_pipeline.errors import StoreError, StoreFormatError
from fve_pipeline.files.local import LocalFiles
from fve_pipeline.store.reader import Store, open_store
from fve_pipeline.store.schema import INDEX_SCHEMA

ROWS = maker.plan({"a": 5, "b": 6})


def expected(s: Any) -> tuple[np.ndarray, np.ndarray]:
    images = np.stack([maker.pixels(row, s.size) for row in ROWS])
    masks = np.stack([maker.mask_of(row, s.size, s.mask_dtype) for row in ROWS])
    return (images if s.storage == "encoded" else images[..., 0]), masks


@pytest.fixture(
    scope="module",
    params=[
        {},
        {"codec": "zstd", "mask_dtype": "uint16"},
        {"codec": "none"},
        {"storage": "slices"},
    ],
    ids=lambda changes: "-".join(map(str, changes.values())) or "default",
)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = tmp_path_factory.mktemp("store")
    s = maker.settings(**request.param)
    maker.build(LocalFiles(root), ROWS, s)
    return root, s


def test_ours(made: Any) -> None:
    root, s = made
    images, masks = expected(s)
    store = open_store(root)
    assert len(store) == 11
    assert np.array_equal(store.pixel_rows.read(0, 11), images)
    assert np.array_equal(
        store.read_slices(3, 9), images[3:9, ..., 0] if s.storage == "encoded" else images[3:9]
    )
    assert np.array_equal(store.read_masks(0, 11), masks)
    assert store.read_masks(0, 11).dtype == s.mask_dtype
    assert np.array_equal(store.pixel_rows.take([7, 0, 7]), images[[7, 0, 7]])
    image, mask = store.sample(10)
    assert np.array_equal(image, images[10])
    assert np.array_equal(mask, masks[10])
    assert store.index.schema == INDEX_SCHEMA
    assert store.index["slice"].to_pylist() == [z for _, z in ROWS]
    assert store.cases.num_rows == 2
    assert store.classes["class_id"].to_pylist() == [1, 2, 3]
    assert store.settings == s


def test_zarr_python(made: Any) -> None:
    root, s = made
    images, masks = expected(s)
    store = open_store(root)
    pixels = store.images if s.storage == "encoded" else store.slices
    assert np.array_equal(pixels[...], images)
    assert np.array_equal(store.masks[...], masks)
    members = dict(zarr.open_group(root, mode="r").members())
    assert sorted(members) == sorted([s.member, "masks"])
    assert np.array_equal(members["masks"][...], masks)  # type: ignore[index]
    assert members["masks"].metadata.dimension_names == ("sample", "y", "x")  # type: ignore[union-attr]


def test_zarrs(made: Any) -> None:
    pytest.importorskip("zarrs")
    root, s = made
    images, masks = expected(s)
    with zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}):
        assert np.array_equal(zarr.open_array(root, path=s.member, mode="r")[...], images)
        assert np.array_equal(zarr.open_array(root, path="masks", mode="r")[...], masks)


def test_tensorstore(made: Any) -> None:
    tensorstore = pytest.importorskip("tensorstore")
    root, s = made
    for member, array in zip((s.member, "masks"), expected(s), strict=True):
        spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{root}/{member}"}}
        assert np.array_equal(tensorstore.open(spec).result().read().result(), array)


def test_a_page_of_numpy_and_standard_library(made: Any) -> None:
    """page_reader.py was written from docs/store-format.md; zstd is not in the standard library."""
    root, s = made
    images, masks = expected(s)
    if s.codec == "zstd":
        with pytest.raises(NotImplementedError, match="zstd"):
            page_reader.read(root, s.member)
        return
    assert np.array_equal(page_reader.read(root, s.member), images)
    if s.codec == "none":
        assert np.array_equal(page_reader.read(root, "masks"), masks)
    source = Path(page_reader.__file__).read_text()
    assert len(source.splitlines()) < 100
    assert not {"zarr", "numcodecs", "fve_pipeline", "google_crc32c", "crc32c"} & set(source.split())


def test_page_reader_on_slices_of_several_blocks(tmp_path: Path) -> None:
    rows = maker.plan({"a": 2})
    maker.build(LocalFiles(tmp_path), rows, maker.settings(size=512))
    assert np.array_equal(page_reader.read(tmp_path, "images"), [maker.pixels(row, 512) for row in rows])


def test_page_reader_finds_damage(tmp_path: Path) -> None:
    maker.build(LocalFiles(tmp_path), ROWS, maker.settings())
    path = tmp_path / "images/c/1/0/0/0"
    data = bytearray(path.read_bytes())
    data[40] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="damaged"):
        page_reader.read(tmp_path, "images")


def test_wrong_form_is_explained(made: Any) -> None:
    root, s = made
    store = open_store(root)
    with pytest.raises(StoreError, match=f"storage '{s.storage}'"):
        _ = store.images if s.storage == "slices" else store.slices
    with pytest.raises(IndexError, match="row 11 is outside"):
        store.read_masks(10, 12)
    with pytest.raises(ValueError, match="C-contiguous"):
        store.read_masks(0, 2, out=np.empty((2, 16, 15), np.uint8))


def test_out_is_filled(made: Any) -> None:
    root, _ = made
    out = np.empty((4, 16, 16), np.uint8)
    store = open_store(root)
    assert store.read_slices(2, 6, out=out) is out
    assert np.array_equal(out, store.read_slices(2, 6))


def test_a_run_longer_than_what_is_read_at_once(tmp_path: Path) -> None:
    rows = maker.plan({"a": 40})
    maker.build(LocalFiles(tmp_path), rows, maker.settings(shard_samples=36))
    store = open_store(tmp_path)
    expected = np.array([maker.pixels(row, 16) for row in rows])
    assert np.array_equal(store.read_images(0, 40), expected)
    picked = [39, 3, 4, 5, 35, 36, 37, 0, 0, 1]
    assert np.array_equal(store.pixel_rows.take(picked), expected[picked])
    data = bytearray((tmp_path / "masks/c/0/0/0").read_bytes())
    index = np.frombuffer(data[-16 * 36 - 4 : -4], "<u8").reshape(36, 2)
    data[int(index[25, 0])] ^= 1
    (tmp_path / "masks/c/0/0/0").write_bytes(data)
    with pytest.raises(StoreFormatError) as raised:
        store.read_masks(0, 36)
    assert "in row 25," in raised.value.__notes__[0]


def test_no_store_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="fve build makes one"):
        open_store(tmp_path / "nowhere.zarr")
    maker.stage(LocalFiles(tmp_path), ROWS, maker.settings())
    with pytest.raises(StoreError, match="is not finished"):
        open_store(tmp_path)


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        (b'{"format_version": 99}', "store format 99"),
        (b"{", "damaged"),
        (b"{}", "damaged"),
        (b"[]", "damaged"),
    ],
)
def test_a_manifest_that_cannot_be_read(tmp_path: Path, manifest: bytes, message: str) -> None:
    (tmp_path / "manifest.json").write_bytes(manifest)
    with pytest.raises(StoreFormatError, match=message):
        open_store(tmp_path)


def test_missing_and_damaged_shards_are_named(tmp_path: Path) -> None:
    maker.build(LocalFiles(tmp_path), ROWS, maker.settings())
    (tmp_path / "masks/c/1/0/0").unlink()
    path = tmp_path / "images/c/0/0/0/0"
    data = bytearray(path.read_bytes())
    data[3] ^= 1
    path.write_bytes(data)
    store = open_store(tmp_path)
    with pytest.raises(StoreFormatError, match="masks/c/1/0/0 does not hold row 5"):
        store.read_masks(5, 6)
    with pytest.raises(StoreFormatError, match="crc32c") as caught:
        store.sample(0)
    assert "images/c/0/0/0/0" in caught.value.__notes__[0]
    store.sample(1)


def _sum(store: Store) -> int:
    return int(store.read_images(0, 11).sum())


@pytest.mark.filterwarnings(
    "ignore:This process .* is multi-threaded:DeprecationWarning"
)  # forking is the point
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_after_a_read_in_the_parent(tmp_path: Path, method: str) -> None:
    maker.build(LocalFiles(tmp_path), ROWS, maker.settings())
    store = open_store(tmp_path)
    total = _sum(store)
    with multiprocessing.get_context(method).Pool(2) as pool:
        assert pool.map(_sum, [store] * 4) == [total] * 4


@pytest.mark.filterwarnings(
    "ignore:This process .* is multi-threaded:DeprecationWarning"
)  # forking is the point
def test_fork_while_another_thread_reads(tmp_path: Path) -> None:
    """A lock held by a thread at the moment of the fork is never released in the child."""
    maker.build(LocalFiles(tmp_path), ROWS, maker.settings())
    total = _sum(open_store(tmp_path))
    store = open_store(tmp_path)
    with store.pixel_rows._shards._lock:
        child = os.fork()
        if child == 0:
            os._exit(0 if _sum(store) == total else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_threads_share_a_store(tmp_path: Path) -> None:
    maker.build(LocalFiles(tmp_path), ROWS, maker.settings())
    store = pickle.loads(pickle.dumps(open_store(tmp_path)))
    wanted, results = _sum(open_store(tmp_path)), []
    threads = [threading.Thread(target=lambda: results.append(_sum(store))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [wanted] * 8


def test_open_shards_stay_within_their_limit(tmp_path: Path) -> None:
    maker.build(LocalFiles(tmp_path), ROWS, maker.settings())
    rows = open_store(tmp_path).mask_rows
    rows._shards._limit = 1
    rows.read(0, 11)
    assert len(rows._shards._open) == 1
