"""Measures one way of reading in a process of its own; prints samples/s as JSON. Used by benchmarks/loading.py.

``python loading_measure.py write|random|threads|workers|prompts|recipe WAY PLACE [DATA or ORDER] --samples N --seconds S``
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import loading_ways as ways
import numpy as np

BATCH = 8


def opened(way: str, place: Path, order: int | None) -> ways.Get:
    if way == "ours":
        return ways.open_ours(place, order)
    return getattr(ways, f"open_{way}")(place)  # type: ignore[no-any-return]


def warm(place: Path) -> None:
    """Bring the files into the page cache: what is compared is the ways, not who finds whose files there."""
    memory = bytearray(1 << 22)
    for path in sorted(place.rglob("*")):
        if path.is_file():
            with path.open("rb", buffering=0) as file:
                while file.readinto(memory):
                    pass


def rate(samples: Iterator[int], seconds: float) -> float:
    """Samples a second, of an endless iterator of counts; the first is left out, as it warms up."""
    next(samples)
    start, n = time.perf_counter(), 0
    for count in samples:
        n += count
        if time.perf_counter() - start > seconds:
            break
    return n / (time.perf_counter() - start)


def one_at_a_time(get: ways.Get, n: int) -> Iterator[int]:
    rng = np.random.default_rng(0)
    while True:
        for i in rng.permutation(n).tolist():
            get(i)
            yield 1


def by_threads(get: ways.Get, n: int) -> Iterator[int]:
    """Batches stacked by two threads: how the ways without threads of their own would do it."""
    import torch

    def batch(numbers: list[int]) -> Any:
        images, masks = zip(*map(get, numbers), strict=True)
        return torch.from_numpy(np.stack(images)), torch.from_numpy(np.stack(masks))

    rng = np.random.default_rng(0)
    with ThreadPoolExecutor(2) as pool:
        while True:
            order = rng.permutation(n)[: n // BATCH * BATCH].reshape(-1, BATCH).tolist()
            waiting = [pool.submit(batch, numbers) for numbers in order[:4]]
            for numbers in order[4:]:
                waiting.pop(0).result()
                yield BATCH
                waiting.append(pool.submit(batch, numbers))
            for future in waiting:
                future.result()
                yield BATCH


def ours_by_threads(place: Path, order: int | None, **options: Any) -> Iterator[int]:
    from fve_pipeline.loading import Loader, SliceDataset

    loader = Loader(SliceDataset(place, split=(), order=order, **options), batch=BATCH, threads=2)
    while True:
        for batch in loader:
            yield len(batch)


def by_workers(way: str, place: Path, n: int, order: int | None) -> Iterator[int]:
    """Batches through a torch DataLoader with two worker processes, kept over epochs."""
    from torch.utils.data import DataLoader, Dataset

    loader: Any
    options: dict[str, Any] = {"num_workers": 2, "persistent_workers": True}
    if way == "litdata":
        from litdata import StreamingDataLoader, StreamingDataset

        loader = StreamingDataLoader(StreamingDataset(str(place), shuffle=True), batch_size=BATCH, **options)
    elif way == "streaming":
        dataset = ways.streaming().StreamingDataset(local=str(place), shuffle=True, batch_size=BATCH)
        loader = DataLoader(dataset, batch_size=BATCH, **options)
    elif way == "webdataset":
        import webdataset as wds

        urls = sorted(map(str, place.glob("*.tar")))
        dataset = (
            wds.WebDataset(urls, shardshuffle=len(urls))
            .shuffle(64)
            .decode()
            .to_tuple("image.npy", "mask.npy")
        )
        loader = wds.WebLoader(dataset, batch_size=BATCH, **options)
    elif way == "ours":
        from fve_pipeline.loading import SliceDataset, collate

        loader = DataLoader(
            SliceDataset(place, split=(), order=order), BATCH, shuffle=True, collate_fn=collate, **options
        )
    else:

        class Samples(Dataset[Any]):
            def __init__(self) -> None:
                self.get: ways.Get | None = None

            def __len__(self) -> int:
                return n

            def __getitem__(self, i: int) -> Any:
                self.get = self.get or opened(way, place, None)
                return self.get(i)

        loader = DataLoader(Samples(), BATCH, shuffle=True, **options)
    for _ in itertools.count():
        for _ in loader:
            yield BATCH


def with_recipe(way: str, place: Path, n: int, order: int | None) -> Iterator[int]:
    """Batches with four prompts and the whole recipe: ours by threads, others by a DataLoader's two workers."""
    if way == "ours":
        from fve_pipeline.loading import Recipe

        yield from ours_by_threads(place, order, prompts=4, augment=Recipe())
    from loading_recipe import Augmented
    from torch.utils.data import DataLoader

    samples = Augmented(partial(opened, way, place, None), n)
    loader = DataLoader(samples, BATCH, shuffle=True, num_workers=2, persistent_workers=True)
    while True:
        for _ in loader:
            yield BATCH


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["write", "random", "threads", "workers", "recipe", "prompts"])
    parser.add_argument("way")
    parser.add_argument("place", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--order", type=int)
    parser.add_argument("--samples", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=3.0)
    given = parser.parse_args()
    if not ways.available(given.way):
        print(json.dumps(None))
        return
    if given.what == "write":
        given.place.mkdir(parents=True)
        ways.WRITERS[given.way](given.data, given.place)
        return
    warm(given.place)
    if given.what == "random":
        steps = one_at_a_time(opened(given.way, given.place, given.order), given.samples)
    elif given.what == "workers":
        steps = by_workers(given.way, given.place, given.samples, given.order)
    elif given.what == "recipe":
        steps = with_recipe(given.way, given.place, given.samples, given.order)
    elif given.what == "prompts":
        steps = ours_by_threads(given.place, given.order, prompts=4)
    elif given.way == "ours":
        steps = ours_by_threads(given.place, given.order)
    else:
        steps = by_threads(opened(given.way, given.place, given.order), given.samples)
    print(json.dumps(rate(steps, given.seconds)))
    sys.stdout.flush()
    steps.close() if hasattr(steps, "close") else None  # workers end before the interpreter does


if __name__ == "__main__":
    main()
