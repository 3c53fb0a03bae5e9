"""Work done ahead of its use, in order and in bounded number."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["in_order", "prefetch"]

S = TypeVar("S")
T = TypeVar("T")


def prefetch(
    read: Callable[[S], T], items: Iterable[S], threads: int = 2, ahead: int = 2
) -> Generator[T, None, None]:
    """Read items in order, up to ``threads`` at once and ``ahead`` more waiting.

    What releases the interpreter lock (reading, inflating, decoding) runs beside the caller's own work. An error
    is raised when its item's turn comes. Closing the iterator drops what was not yet begun.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="fve-prefetch")
    yield from in_order(pool, read, items, threads + ahead)


def in_order(
    pool: Executor, read: Callable[[S], T], items: Iterable[S], waiting: int
) -> Generator[T, None, None]:
    """Run ``read`` on items in a pool, at most ``waiting`` of them begun and not yet handed out; ends the pool."""
    begun: deque[Future[T]] = deque()
    try:
        for item in items:
            begun.append(pool.submit(read, item))
            if len(begun) >= waiting:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
