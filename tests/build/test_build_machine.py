"""A state machine over everything that writes a store: whatever disturbs it, the end is what nobody disturbed.

Builds, appends, overwrites, conversions, copies and repairs run in processes of their own, which are killed or refused
by the system at any file operation; a second builder comes in between; readers stay open; bytes flip. After each
step: what opens is a committed generation, whole; an open reader sees its own samples or a named error; and once the
same command has run again, every byte is that of an undisturbed run.

The suite runs the same few hundred steps each time;
``pytest tests/build/test_build_machine.py --machine-examples 200`` runs thousands of others.
"""

from __future__ import annotations

import functools
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import tiny
from disturbed import DONE, FAULTS, KILLED, REFUSED, Disturbance, SerialExecutor, disturbed
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from fve_pipeline.build.convert import convert_store
from fve_pipeline.build.copy import copy_cases
from fve_pipeline.build.pipeline import build, default_work
from fve_pipeline.build.repair import repair_store
from fve_pipeline.build.request import BuildRequest
from fve_pipeline.errors import FveError, StoreError, StoreLockedError
from fve_pipeline.files.local import LocalFiles
from fve_pipeline.files.locks import BuildLock
from fve_pipeline.runtime.resources import Resources
from fve_pipeline.store.reader import Store, open_store
from fve_pipeline.store.verify import verify

CASES = 5
RESOURCES = Resources(SerialExecutor())
LAZY = tiny.settings(storage="slices", val_fraction=0.4)
ENCODED = tiny.settings(val_fraction=0.4)

# How a store came to be: one word a commit, such as ("build 2", "grow 3", "overwrite 1").
History = tuple[str, ...]
disturbances = st.one_of(
    st.none(),
    st.builds(Disturbance, st.integers(0, 400)),
    st.builds(Disturbance, st.integers(0, 120)),
    st.builds(Disturbance, st.integers(0, 250), st.sampled_from(FAULTS)),
)


@functools.cache
def cohorts() -> Path:
    """Folders ``1`` to ``CASES`` with as many cases each, the same ones first."""
    root = Path(tempfile.mkdtemp(prefix="fve-machine-"))
    tiny.write_cohort(root / str(CASES), CASES)
    for count in range(1, CASES):
        shutil.copytree(root / str(CASES), root / str(count))
        for number in range(count, CASES):
            for file in (root / str(count)).glob(f"c{number:02d}_*"):
                file.unlink()
    return root


def request(out: Path, count: int, *, overwrite: bool = False) -> BuildRequest:
    """A build of the first ``count`` cases."""
    return BuildRequest(
        datasets=tiny.datasets(cohorts() / str(count)),
        work=default_work(str(out)),
        settings=LAZY if out.name.startswith("lazy") else ENCODED,
        out=str(out),
        overwrite=overwrite,
    )


def perform(out: Path, command: str, source: Path | None = None) -> None:
    """Run one command on the store ``out``: "build 2", "overwrite 3", "convert", "copy" or "repair"."""
    word, _, count = command.partition(" ")
    if word in ("build", "overwrite"):
        build(request(out, int(count), overwrite=word == "overwrite"), RESOURCES)
    elif word == "convert":
        assert source is not None
        convert_store(open_store(source), str(out), ENCODED, RESOURCES)
    elif word == "copy":
        assert source is not None
        store = open_store(source)
        copy_cases([store], store.cases.column("case").to_pylist()[::2], str(out), RESOURCES)
    else:
        roots = {"": cohorts() / str(CASES)}
        repair_store(str(out), roots, default_work(str(out)), RESOURCES)


def tree(root: Path) -> dict[str, bytes]:
    """Every file of a store; the lock's file is there or not, empty."""
    return {name: data for name, data in tiny.bytes_of(root).items() if name != ".fve/lock"}


@dataclass(frozen=True)
class Expected:
    """A store that nobody disturbed: its bytes, and what a reader gets from it."""

    bytes: dict[str, bytes]
    seen: tuple[Any, ...]


def seen(store: Store) -> tuple[Any, ...]:
    """All that a reader can get from a store."""
    pixels = store.pixel_rows.read(0, len(store))
    masks = store.mask_rows.read(0, len(store))
    tables = [store.index.to_pylist(), store.cases.to_pylist(), store.classes.to_pylist()]
    return store.manifest.content_id, pixels.tobytes(), masks.tobytes(), repr(tables)


@functools.cache
def undisturbed(kind: str, history: History, source: tuple[str, History] | None) -> Expected:
    """The store that this history gives when nothing goes wrong."""
    with tempfile.TemporaryDirectory(prefix="fve-undisturbed-") as folder:
        out = Path(folder) / f"{kind}.zarr"
        from_store = None
        if source is not None:
            from_store = Path(folder) / f"{source[0]}.zarr"
            for command in source[1]:
                perform(from_store, command)
        for command in history:
            perform(out, command, from_store)
        return Expected(tree(out), seen(open_store(out)))


class StoreMachine(RuleBasedStateMachine):
    """One store that is built and grown, encoded or lazy, and another that is made from it."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="fve-machine-run-"))
        self.note = self.folder / "note"
        self.history: History = ()
        self.pending: str | None = None  # a command that did not get to its end
        self.readers: list[tuple[Store, Expected]] = []
        self.flipped: tuple[Path, bytes] | None = None

    @initialize(lazy=st.booleans())
    def choose(self, lazy: bool) -> None:
        """Which kind of store it is."""
        self.kind = "lazy" if lazy else "plain"
        self.store = self.folder / f"{self.kind}.zarr"

    def teardown(self) -> None:
        """Go on with what is left undone; nothing may be left."""
        if self.flipped is not None:
            self.mend()
        if self.pending is not None:
            self.go_on()
        self.readers.clear()
        shutil.rmtree(self.folder, ignore_errors=True)

    # What is there

    def expected(self, history: History) -> Expected:
        """What the history gives undisturbed."""
        return undisturbed(self.kind, history, None)

    def after(self, command: str) -> History:
        """The history once a command has been run to its end."""
        word, _, count = command.partition(" ")
        if word == "repair" or (word == "build" and self.history and int(count) == self.cases()):
            return self.history
        return (*self.history, command)

    def cases(self) -> int:
        """Cases in the store."""
        return int(self.history[-1].split()[1]) if self.history else 0

    def attempt(self, command: str, disturbance: Disturbance | None) -> None:
        """Run a command, which may not get to its end."""
        outcome = disturbed(lambda: perform(self.store, command), disturbance, self.note)
        if outcome.kind == DONE:
            self.history, self.pending = self.after(command), None
            return
        if outcome.kind == REFUSED:
            assert disturbance is not None, outcome.message
            assert disturbance.fault is not None, outcome.message
            assert disturbance.fault in outcome.message, outcome.message
            assert "\n" not in outcome.message.strip(), outcome.message
            assert str(self.folder) in outcome.message, f"no path in: {outcome.message}"
        self.pending = command
        if outcome.kind == KILLED and command.startswith("overwrite") and self.settled():
            # It died after its last step, which nobody can tell from its end; run again it would replace once more.
            self.history, self.pending = self.after(command), None

    def settled(self) -> bool:
        """Whether the store that is there was committed by the command that was stopped, and nothing is left of it."""
        left = [self.store / ".fve" / name for name in ("build", "journal", "finished.json")]
        if any(path.exists() for path in left) or not (self.store / "manifest.json").exists():
            return False
        return open_store(self.store).manifest.generation > len(self.history)

    def go_on(self) -> None:
        """Run the command again that was stopped."""
        assert self.pending is not None
        self.attempt(self.pending, None)
        assert tree(self.store) == self.expected(self.history).bytes

    # What is done

    @precondition(lambda self: self.flipped is None and self.pending is None)
    @rule(more=st.integers(0, 2), disturbance=disturbances)
    def build_or_append(self, more: int, disturbance: Disturbance | None) -> None:
        """Build, or append some cases, or none."""
        self.attempt(f"build {min(CASES, max(1, self.cases() + more))}", disturbance)

    @precondition(
        lambda self: self.flipped is None and self.pending is None and len(self.history) in range(1, 5)
    )
    @rule(count=st.integers(1, 3), disturbance=disturbances)
    def overwrite(self, count: int, disturbance: Disturbance | None) -> None:
        """Replace the store."""
        self.attempt(f"overwrite {count}", disturbance)

    @precondition(lambda self: self.pending is not None and self.flipped is None)
    @rule(disturbance=disturbances)
    def again(self, disturbance: Disturbance | None) -> None:
        """Run the stopped command again, which may be stopped again."""
        assert self.pending is not None
        self.attempt(self.pending, disturbance)

    @precondition(lambda self: self.history and self.pending is None and self.flipped is None)
    @rule(first=disturbances, second=disturbances, copy=st.booleans())
    def make_another(self, first: Disturbance | None, second: Disturbance | None, copy: bool) -> None:
        """Convert the lazy store, or copy some cases, into a new one; disturbed twice, then to its end."""
        command = "copy" if copy or self.kind != "lazy" else "convert"
        other = self.folder / f"{command}.zarr"
        for disturbance in (first, second, None):
            outcome = disturbed(lambda: perform(other, command, self.store), disturbance, self.note)
            if outcome.kind == DONE:
                break
        expected = undisturbed(command, (command,), (self.kind, self.history))
        assert tree(other) == expected.bytes
        shutil.rmtree(other)

    @precondition(lambda self: self.store.exists() and self.flipped is None)
    @rule()
    def second_builder(self) -> None:
        """Somebody who comes while another builds is turned away, and changes nothing."""
        before = tree(self.store)
        with BuildLock(LocalFiles(self.store)), pytest.raises(StoreLockedError):
            build(request(self.store, CASES), RESOURCES)
        assert tree(self.store) == before

    @precondition(lambda self: self.history and self.pending is None and self.flipped is None)
    @rule()
    def open_reader(self) -> None:
        """A reader that will stay open."""
        self.readers.append((open_store(self.store), self.expected(self.history)))

    @precondition(lambda self: self.history and self.pending is None and self.flipped is None)
    @rule(data=st.data())
    def flip(self, data: st.DataObject) -> None:
        """A bit flips somewhere in the store."""
        files = [name for name in sorted(tree(self.store)) if not name.startswith(".fve/")]
        path = self.store / data.draw(st.sampled_from(files))
        original = path.read_bytes()
        place, bit = data.draw(st.integers(0, len(original) - 1)), data.draw(st.integers(0, 7))
        path.write_bytes(original[:place] + bytes([original[place] ^ 1 << bit]) + original[place + 1 :])
        self.flipped = (path, original)

    @precondition(lambda self: self.flipped is not None)
    @rule(command=st.sampled_from(["build", "repair"]), disturbance=disturbances)
    def meet_damage(self, command: str, disturbance: Disturbance | None) -> None:
        """Build onto the damaged store, or repair it: damage is never blessed, and repairing never adds to it."""
        assert self.flipped is not None
        path, original = self.flipped
        damaged = path.read_bytes()
        word = "repair" if command == "repair" else f"build {min(CASES, self.cases() + 1)}"
        outcome = disturbed(lambda: perform(self.store, word), disturbance, self.note)
        if outcome.kind == DONE and path.exists() and path.read_bytes() == original:
            self.flipped = None
        if word != "repair" and outcome.kind == DONE:
            # Files that an append only adds to need not be read by it; then the damage is still there to be found.
            self.history = self.after(word)
            if self.flipped is not None:
                assert path.read_bytes() == damaged
                assert damage_is_found(self.store)
                path.write_bytes(original)
                self.flipped = None
            return
        # Put the byte back where it was left, and the command ends as if nothing had been.
        if self.flipped is not None and path.exists() and path.read_bytes() == damaged:
            path.write_bytes(original)
        self.flipped = None
        if outcome.kind != DONE:
            self.pending = word

    @precondition(lambda self: self.flipped is not None)
    @rule()
    def mend(self) -> None:
        """The damage is named; then somebody puts the file back."""
        assert self.flipped is not None
        assert damage_is_found(self.store)
        path, original = self.flipped
        path.write_bytes(original)
        self.flipped = None

    # What is always true

    @invariant()
    def what_opens_is_whole(self) -> None:
        """Old or new, whole; and while there was a store, one always opens."""
        if not hasattr(self, "store") or self.flipped is not None:
            return
        committed = [self.history] if self.history else []
        if self.pending is not None:
            committed.append(self.after(self.pending))
        try:
            store = open_store(self.store)
        except StoreError:
            if self.history:
                raise
            return
        found = seen(store)
        assert found in [self.expected(history).seen for history in committed]

    @invariant()
    def undisturbed_bytes(self) -> None:
        """What came to its end is what an undisturbed run gives, byte for byte."""
        if self.history and self.pending is None and self.flipped is None:
            expected = self.expected(self.history).bytes
            found = tree(self.store)
            assert {
                name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name)
            } == set()

    @invariant()
    def open_readers_see_their_own(self) -> None:
        """An open reader gets its own samples and tables, or a named error; never another's."""
        if getattr(self, "flipped", None) is not None:
            return
        for reader, expected in self.readers:
            try:
                found = seen(reader)
            except FveError:
                continue
            assert found == expected.seen


def damage_is_found(store: Path) -> bool:
    """Whether the store does not open, or verifying it finds something."""
    try:
        return bool(verify(open_store(store), deep=True))
    except FveError:
        return True


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked here")
def test_store_machine(request: pytest.FixtureRequest) -> None:
    examples = request.config.getoption("--machine-examples")
    profile = settings(
        max_examples=examples,
        derandomize=examples <= 10,
        database=None if examples <= 10 else settings.default.database,
        stateful_step_count=12,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    run_state_machine_as_test(StoreMachine, settings=profile)  # type: ignore[no-untyped-call]
