"""The ways of keeping samples that benchmarks/loading.py compares: how each writes them and reads them.

Imports each library only where it is used: this file runs in the peers' environment too, whatever it lacks.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Sample = tuple[Any, Any]
Get = Callable[[int], Sample]


class _StandIn(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """torchvision and transformers are imported by mosaicml-streaming and used by none of what is measured."""

    def find_spec(self, name: str, *_: Any) -> Any:
        if name.split(".")[0] in ("torchvision", "transformers"):
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        return None

    def create_module(self, spec: Any) -> types.ModuleType:
        module = types.ModuleType(spec.name)
        module.__path__ = []
        module.__getattr__ = lambda name: type(name, (), {})  # type: ignore[method-assign]
        return module

    def exec_module(self, module: types.ModuleType) -> None: ...


def streaming() -> Any:
    sys.meta_path.append(_StandIn())
    import streaming as library

    return library


def _arrays(data: Path) -> tuple[Any, Any]:
    return np.load(data / "images.npy", mmap_mode="r"), np.load(data / "masks.npy", mmap_mode="r")


def write_png(data: Path, out: Path) -> None:
    import cv2

    for i, (image, mask) in enumerate(zip(*_arrays(data), strict=True)):
        cv2.imwrite(str(out / f"{i:06d}.png"), np.asarray(image))
        cv2.imwrite(str(out / f"{i:06d}_mask.png"), np.asarray(mask))


def open_png(out: Path) -> Get:
    import cv2

    cv2.setNumThreads(1)

    def get(i: int) -> Sample:
        image = cv2.imread(f"{out}/{i:06d}.png", cv2.IMREAD_UNCHANGED)
        return image, cv2.imread(f"{out}/{i:06d}_mask.png", cv2.IMREAD_UNCHANGED)

    return get


def write_npy(data: Path, out: Path) -> None:
    for name in ("images", "masks"):
        (out / f"{name}.npy").symlink_to((data / f"{name}.npy").absolute())


def open_npy(out: Path) -> Get:
    images, masks = _arrays(out)
    return lambda i: (np.array(images[i]), np.array(masks[i]))


def write_litdata(data: Path, out: Path) -> None:
    from litdata.streaming.writer import BinaryWriter

    writer = BinaryWriter(str(out), chunk_bytes=64_000_000)
    for i, (image, mask) in enumerate(zip(*_arrays(data), strict=True)):
        writer.add_item(i, {"image": np.asarray(image), "mask": np.asarray(mask)})
    writer.done()
    writer.merge()


def open_litdata(out: Path) -> Get:
    from litdata import StreamingDataset

    dataset = StreamingDataset(str(out))

    def get(i: int) -> Sample:
        sample = dataset[i]
        return sample["image"], sample["mask"]

    return get


def write_streaming(data: Path, out: Path) -> None:
    images, masks = _arrays(data)
    columns = {
        "image": f"ndarray:uint8:{','.join(map(str, images.shape[1:]))}",
        "mask": f"ndarray:uint8:{','.join(map(str, masks.shape[1:]))}",
    }
    with streaming().MDSWriter(out=str(out), columns=columns, size_limit=1 << 26) as writer:
        for image, mask in zip(images, masks, strict=True):
            writer.write({"image": np.asarray(image), "mask": np.asarray(mask)})


def open_streaming(out: Path) -> Get:
    dataset = streaming().StreamingDataset(local=str(out), shuffle=False, batch_size=8)

    def get(i: int) -> Sample:
        sample = dataset[i]
        return sample["image"], sample["mask"]

    return get


def write_webdataset(data: Path, out: Path) -> None:
    import webdataset

    with webdataset.ShardWriter(f"{out}/%05d.tar", maxsize=64_000_000, verbose=0) as writer:
        for i, (image, mask) in enumerate(zip(*_arrays(data), strict=True)):
            writer.write(
                {"__key__": f"{i:06d}", "image.npy": np.asarray(image), "mask.npy": np.asarray(mask)}
            )


def open_zarr(store: Path) -> Get:
    import zarr

    images, masks = zarr.open_array(store / "images", mode="r"), zarr.open_array(store / "masks", mode="r")
    return lambda i: (images[i], masks[i])


def open_tensorstore(store: Path) -> Get:
    import tensorstore as ts

    def array(name: str) -> Any:
        place = {"driver": "file", "path": f"{store}/{name}"}
        return ts.open({"driver": "zarr3", "kvstore": place}, open=True).result()

    images, masks = array("images"), array("masks")
    return lambda i: (images[i].read().result(), masks[i].read().result())


def open_ours(store: Path, order: int | None = None) -> Get:
    from fve_pipeline.loading import SliceDataset

    dataset = SliceDataset(store, split=(), order=order)

    def get(i: int) -> Sample:
        sample = dataset[i]
        return sample["image"], sample["mask"]

    return get


WRITERS: dict[str, Callable[[Path, Path], None]] = {
    "png": write_png,
    "npy": write_npy,
    "litdata": write_litdata,
    "streaming": write_streaming,
    "webdataset": write_webdataset,
}
PEERS = {"litdata": "litdata", "streaming": "streaming", "webdataset": "webdataset"}


def available(name: str) -> bool:
    """Whether the library of a way can be imported here."""
    return importlib.util.find_spec(PEERS.get(name, "numpy")) is not None
