"""A commit that has begun: what is left to do is on disk, and doing it again does no harm.

First every committed file that is about to be replaced or removed is set aside, where a reader of the old store
finds it. Then the new files take their places, the manifest last. Then what was set aside and staged is swept. So
at each moment either the old store is whole for our readers, or the new one is, wherever a builder was killed.

What was committed is remembered until the command that asked for it ends: killed before that and run again, it finds
its work done and does not replace the store by itself once more.
"""

from __future__ import annotations

import contextlib

from pydantic import BaseModel, ConfigDict, ValidationError

from fve_pipeline.errors import StoreError, StoreFormatError
from fve_pipeline.files.base import Files
from fve_pipeline.store.generations import sweep_generations
from fve_pipeline.store.layout import (
    ASIDE,
    FINDINGS,
    FINISHED,
    JOURNAL,
    JOURNAL_FOLDER,
    MANIFEST,
    STAGING,
    Key,
)
from fve_pipeline.store.migrations import in_one_line

__all__ = ["PendingCommit", "discard", "finish", "recover", "settle"]


class PendingCommit(BaseModel):
    """What a commit does, in order: set files aside, move files, remove trees, move the manifest.

    ``goal`` names the store that it makes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    goal: str
    set_aside: tuple[tuple[Key, Key], ...]
    moves: tuple[tuple[Key, Key], ...]
    removes: tuple[Key, ...]
    manifest: Key


def recover(files: Files) -> str | None:
    """Finish a commit that was interrupted; to be called by the lock's holder before anything else.

    Returns the goal of that commit, or of one that was finished for a command that was killed before its end; None
    when there was neither. What was staged without being committed stays, for the build to go on. Raises StoreError
    when it cannot be finished.
    """
    try:
        data = files.read(JOURNAL)
    except FileNotFoundError:
        files.delete_tree(JOURNAL_FOLDER)  # half a journal, or the folder of one that was swept
        sweep_generations(files)
        with contextlib.suppress(FileNotFoundError, ValidationError):
            return PendingCommit.model_validate_json(files.read(FINISHED)).goal
        return None
    try:
        pending = PendingCommit.model_validate_json(data)
    except ValidationError as error:
        msg = f"{files.url}/{JOURNAL} does not say how to finish a commit: {in_one_line(error)}. {_MEND}"
        raise StoreFormatError(msg) from error
    finish(files, pending)
    return pending.goal


def settle(files: Files) -> None:
    """Forget what was committed last: the command that asked for it is through."""
    try:
        files.delete(FINISHED)
    except OSError:
        if files.exists(FINISHED):
            raise  # else it is gone, and if a power cut brought it back nothing would be lost


_MEND = "Build the store anew with --overwrite, or to another place"


def finish(files: Files, pending: PendingCommit) -> None:
    """Do what is left of a commit, whatever of it was done before."""
    # Once the manifest has moved, only sweeping is left; the manifest that is there is the new one.
    if files.exists(pending.manifest):
        for source, target in pending.set_aside:
            if not files.exists(target):
                _set_aside(files, source, target)
        # From here on every file of the old store lies aside.
        for source, target in pending.moves:
            if files.exists(source):
                files.move(source, target)
            elif not files.exists(target):
                msg = f"{files.url}: the commit cannot be finished, since {source} is gone. {_MEND}"
                raise StoreError(msg)
        for tree in pending.removes:
            if tree != FINDINGS:
                files.delete_tree(tree)
            elif files.exists(FINDINGS):
                files.delete(FINDINGS)
        files.move(pending.manifest, MANIFEST)
    # The journal last, so that an interrupted sweep is finished too.
    files.delete_tree(STAGING)
    files.delete_tree(ASIDE)
    files.move(JOURNAL, FINISHED)
    files.delete_tree(JOURNAL_FOLDER)


def discard(files: Files) -> None:
    """Remove all that builds left."""
    for tree in (STAGING, ASIDE, JOURNAL_FOLDER):
        files.delete_tree(tree)
    settle(files)


def _set_aside(files: Files, source: str, target: str) -> None:
    try:
        files.copy(source, target)
    except FileNotFoundError:
        # The old store lacked it. Nothing of the new one may be taken for it.
        files.write_atomic(target, [])
