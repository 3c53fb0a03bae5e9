"""Who holds a lock: what the lock's file says while it is held."""

from __future__ import annotations

import json
import os
import socket
import time
import uuid

__all__ = ["LOCK", "describe", "signature", "token"]

# Where a builder signs, below the root of what it builds.
LOCK = ".fve/lock"


def signature(held_since: int | None = None, mark: str | None = None) -> bytes:
    """Return this process's signature, now.

    ``mark`` tells two locks of one process apart; a new one is made when it is None.
    """
    now = int(time.time())
    owner = {"pid": os.getpid(), "host": socket.gethostname(), "since": held_since or now, "seen": now}
    return json.dumps({**owner, "token": mark or uuid.uuid4().hex}).encode()


def token(content: bytes) -> str:
    """The mark of a signature."""
    return str(json.loads(content)["token"])


def describe(content: bytes) -> str:
    """The owner in words, for a message."""
    try:
        owner = json.loads(content)
    except ValueError:  # it took the lock a moment ago and has not signed yet
        return "another process"
    return f"process {owner['pid']} on {owner['host']}"
