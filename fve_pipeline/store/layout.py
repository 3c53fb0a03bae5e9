"""Where everything in a store lies. Keys are relative to its root, with forward slashes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator

__all__ = [
    "ASIDE",
    "CASES",
    "CLASSES",
    "FINDINGS",
    "FINISHED",
    "GENERATIONS",
    "INDEX",
    "JOURNAL",
    "JOURNAL_FOLDER",
    "MANIFEST",
    "MASKS",
    "STAGING",
    "Key",
    "Member",
    "aside_key",
    "kept_key",
    "member_of",
    "receipt_key",
    "shard_key",
    "staged_shard",
    "staged_table",
]

Member = Literal["images", "slices", "masks"]


def _inside(key: str) -> str:
    if not key or key.startswith("/") or "\\" in key or not {"", ".", ".."}.isdisjoint(key.split("/")):
        msg = f"{key!r} is not the name of a file of the store: a path below its root, without . and .., is"
        raise ValueError(msg)
    return key


# A key in a document of the store, which may have been made to lead elsewhere.
Key = Annotated[str, AfterValidator(_inside)]

MANIFEST = "manifest.json"
INDEX = "index.parquet"
CASES = "cases.parquet"
CLASSES = "classes.parquet"
FINDINGS = "findings.parquet"
MASKS: Member = "masks"

# What a build leaves while it runs. After a commit only the lock file is there, empty.
STAGING = ".fve/build"
JOURNAL_FOLDER = ".fve/journal"
JOURNAL = f"{JOURNAL_FOLDER}/commit.json"
# The journal of a commit that is through, until the command that asked for it is.
FINISHED = ".fve/finished.json"
# Files of the committed store while a commit puts others in their places.
ASIDE = ".fve/aside"
# Files of older generations that later ones replaced, until they are pruned.
GENERATIONS = ".fve/generations"


def member_of(storage: Literal["encoded", "slices"]) -> Member:
    """Return which array holds the pixels in this form of storage."""
    return "images" if storage == "encoded" else "slices"


def shard_key(member: Member, shard: int) -> str:
    """Return where a committed shard lies."""
    return f"{member}/c/{shard}" + "/0" * (3 if member == "images" else 2)


def aside_key(generation: int, key: str) -> str:
    """Where a committed file of this generation lies while a commit replaces it."""
    return f"{ASIDE}/{generation}/{key.replace('/', '.')}"


def kept_key(generation: int, key: str) -> str:
    """Where a file of this generation lies once the commit that followed has replaced it, when it is kept."""
    return f"{GENERATIONS}/{generation}/{key}"


def staged_shard(generation: str, member: Member, shard: int, plan_hash: str) -> str:
    """Return where a shard lies until it is committed.

    The plan is in the name: a task that outlives its client, with another plan, writes elsewhere.
    """
    return f"{STAGING}/{generation}/{member}/{shard}-{plan_hash[:16]}"


def staged_table(generation: str, key: str) -> str:
    """Return where a table or a metadata document lies until it is committed."""
    return f"{STAGING}/{generation}/tables/{key}"


def receipt_key(generation: str, shard: int, plan_hash: str) -> str:
    """Return where the receipt of a staged shard lies."""
    return f"{STAGING}/{generation}/receipts/{shard}-{plan_hash[:16]}.json"
