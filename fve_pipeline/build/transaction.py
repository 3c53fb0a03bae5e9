"""The ritual around every commit, written once: lock, recover, look again, number; trust, run, check, commit.

Nothing else takes a store's lock to write, and nothing else commits.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from fve_pipeline.errors import BuildError, MachineError, StoreError, StoreFormatError
from fve_pipeline.files.base import Files
from fve_pipeline.files.locks import BuildLock
from fve_pipeline.files.open import open_files
from fve_pipeline.files.owner import LOCK
from fve_pipeline.runtime.executor import Task
from fve_pipeline.runtime.faults import machine_faults
from fve_pipeline.runtime.resources import Resources
from fve_pipeline.store.commit import StoreContent, commit, next_generation, restore_shards
from fve_pipeline.store.layout import MANIFEST
from fve_pipeline.store.pending import discard, recover, settle
from fve_pipeline.store.reader import Store, open_store, split_generation
from fve_pipeline.store.receipt import Receipt, read_receipts
from fve_pipeline.store.schema import Manifest, StoreSettings
from fve_pipeline.store.stage import ShardTarget

__all__ = ["ShardWork", "Transaction", "holding", "transaction", "working_in"]

# Shards that are built again are staged apart from those of a build that waits to be gone on with.
_REPAIR = "repair"
# What encoding takes on one core, roughly: how many shards travel together is decided by it.
_SECONDS_A_PIXEL = 7e-9


@dataclass(frozen=True, slots=True)
class ShardWork:
    """Shards to make: ``hashes`` names the plan of each by its number, and ``rows`` are theirs in all.

    ``job`` gives what a worker needs to make one, and the bytes that this takes; ``run`` makes it, on a worker,
    leaves the receipt and returns the number of its new rows. ``name`` is what the stage is called.
    """

    name: str
    rows: int
    hashes: Mapping[int, str]
    job: Callable[[ShardTarget], tuple[Any, int]]
    run: Callable[[Any], int]


@dataclass(frozen=True, slots=True)
class Transaction:
    """A store under our lock, as it was found then: ``base`` is the committed store, None when there is none or
    it is to be replaced."""

    files: Files
    base: Store | None
    generation: int
    finished: str | None
    lock: BuildLock
    resources: Resources

    def publish(
        self, content: StoreContent, work: ShardWork, index: Callable[[Sequence[Receipt]], pa.Table]
    ) -> Manifest:
        """Make the shards that have no receipt yet, and commit; return the manifest.

        ``index`` gives the whole index from the receipts in order. A commit of the same content that was killed
        has been finished by now, and nothing is made again. Raises BuildError when ``content`` is of a new store
        and there is one; StoreLockedError when the lock was broken meanwhile.
        """
        goal = content.goal(work.hashes)
        if goal == self.finished:
            return open_store(self.files.url).manifest
        if self.base is not None and content.previous is None:
            msg = f"{self.files.url} is a store already; name another place for this one"
            raise BuildError(msg)
        receipts = self._make(str(self.generation), content.settings, work)
        table = index([receipt for _, receipt in sorted(receipts.items())])
        self.lock.check()
        return commit(self.files, str(self.generation), content, table, receipts, goal)

    def restore(self, work: ShardWork | None) -> None:
        """Make committed shards again and put them in place of the damaged ones; None when there are none.

        Either way nothing of a repair that was killed is left.
        Raises StoreFormatError, before any is touched, when other bytes come out than were committed.
        """
        assert self.base is not None
        manifest = self.base.manifest
        receipts = self._make(_REPAIR, manifest.settings, work) if work else {}
        entries = [(manifest.shards[shard], receipt) for shard, receipt in sorted(receipts.items())]
        self.lock.check()
        restore_shards(self.files, _REPAIR, entries)

    def put(self, key: str, data: bytes) -> None:
        """Put a file of the committed store in the place of a damaged one."""
        self.lock.check()
        self.files.write_atomic(key, [data])

    def _make(self, generation: str, settings: StoreSettings, work: ShardWork) -> dict[int, Receipt]:
        """Receipts of all the shards, after making those that have none."""
        progress = self.resources.progress
        done = read_receipts(self.files, generation, work.hashes)
        progress.stage(work.name, work.rows, "slices")
        progress.advance(sum(len(receipt.row_digests) for receipt in done.values()))

        seconds = settings.shard_samples * settings.size**2 * _SECONDS_A_PIXEL

        def tasks() -> Iterator[Task]:
            for shard, plan_hash in work.hashes.items():
                if shard not in done:
                    job, nbytes = work.job(ShardTarget(self.files, generation, shard, plan_hash, settings))
                    yield Task(f"{work.name} shard {shard}", (job,), nbytes, seconds)

        missing = len(work.hashes) - len(done)
        for _, rows in self.resources.executor.run(work.run, tasks(), missing):
            progress.advance(rows)
        return read_receipts(self.files, generation, work.hashes)


@contextlib.contextmanager
def transaction(out: str, resources: Resources, *, overwrite: bool = False) -> Iterator[Transaction]:
    """Take the lock of the store at ``out``, finish what a killed commit left, and look at what is there.

    With ``overwrite`` what is there is replaced by what is published. Raises StoreLockedError when another builder
    holds the lock, BuildError for a folder that holds something else, MachineError when disk or memory refuse.
    """
    with machine_faults():
        files = _open_target(out)
        with BuildLock(files) as lock:
            finished = _recover(files, overwrite=overwrite)
            base = None if overwrite or not files.exists(MANIFEST) else open_store(out)
            with _settled(files):
                yield Transaction(files, base, next_generation(files), finished, lock, resources)


def _recover(files: Files, *, overwrite: bool) -> str | None:
    try:
        return recover(files)
    except (StoreError, StoreFormatError):
        if not overwrite:
            raise
        discard(files)  # damaged beyond finishing, and about to be replaced
        return None


@contextlib.contextmanager
def holding(out: str) -> Iterator[Files]:
    """Take the lock of the store at ``out``, without making or committing anything; finish what a killed commit left.

    Raises as :func:`transaction` does.
    """
    with machine_faults():
        files = _open_target(out)
        with BuildLock(files):
            recover(files)
            with _settled(files):
                yield files


@contextlib.contextmanager
def _settled(files: Files) -> Iterator[None]:
    """Forget the last commit once a command is through, or was refused for what it asks."""
    try:
        yield
    except MachineError:
        raise
    except BuildError:
        settle(files)
        raise
    settle(files)


@contextlib.contextmanager
def working_in(work: Path) -> Iterator[None]:
    """Keep the folder of prepared cases for this process. Raises StoreLockedError when another one works in it."""
    with machine_faults(), BuildLock(open_files(work)):
        yield


def _open_target(out: str) -> Files:
    """Files of the store to be. Raises BuildError for a folder that holds something else."""
    place, generation = split_generation(out)
    if generation is not None:
        msg = f"{out} is an older generation, which is not written to: name the store, {place}"
        raise BuildError(msg)
    folder = Path(out)
    if "://" not in out and folder.is_dir():
        names = {path.name for path in folder.iterdir()}
        if names and not names & {MANIFEST, LOCK.split("/")[0]}:
            msg = (
                f"--out {out} is a folder that is no store: it holds {', '.join(sorted(names)[:3])}. Name a new "
                "folder, such as slices.zarr"
            )
            raise BuildError(msg)
    return open_files(out)
