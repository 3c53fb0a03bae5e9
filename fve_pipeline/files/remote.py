"""Files of a store in an object store, through obstore: ``s3://bucket/prefix`` and what else it knows."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    GenericError,
    JoinError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)

from fve_pipeline.errors import StoreError
from fve_pipeline.files.base import Buffer

if TYPE_CHECKING:
    from zarr.abc.store import Store as ZarrStore

__all__ = ["RemoteFiles"]

T = TypeVar("T")

# One upload up to here; above, in parts.
_MULTIPART = 512 * 2**20
# obstore's attempts at a request, then ours, with a pause that doubles from twice this many seconds.
_RETRIES: Any = {"max_retries": 8, "retry_timeout": timedelta(minutes=3)}
# Until a server has answered once, it is more likely not there than down.
_ONCE: Any = {"max_retries": 0, "retry_timeout": timedelta(seconds=10)}
# Where a machine in Amazon's cloud finds the credentials of its role.
_INSTANCE = "169.254.169.254"
_ATTEMPTS = 5
_PAUSE = 0.1
# The process that first used an object store.
_used_by: int | None = None


class RemoteFiles:
    """Files below a URL. An object appears whole or not at all, so writing one is atomic as it is.

    Credentials, region and endpoint come from the environment, instance or container, as obstore finds them
    (``AWS_ACCESS_KEY_ID``, ``AWS_ENDPOINT_URL``, ...); profiles and single sign-on of ``~/.aws`` too where
    boto3 is installed. Dropped connections and errors of the server are retried: by obstore within a request,
    and here the request as a whole. A process forked from one that has used an object store cannot: StoreError.
    """

    def __init__(self, url: str, answered: bool = False) -> None:
        self._url = url.rstrip("/")
        self._answered = answered
        self._opened: dict[bool, Any] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"RemoteFiles({self._url!r})"

    def __reduce__(self) -> tuple[type[RemoteFiles], tuple[str, bool]]:
        return RemoteFiles, (self._url, self._answered)

    @property
    def url(self) -> str:
        return self._url

    @property
    def _store(self) -> Any:
        _refuse_after_fork()
        with self._lock:
            if self._answered not in self._opened:
                self._opened[self._answered] = _open(self._url, _RETRIES if self._answered else _ONCE)
            return self._opened[self._answered]

    def _try(self, action: Callable[[], T]) -> T:
        """The action's result, after as many attempts as it takes within reason; it must bear repeating."""
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                result = action()
            except (FileNotFoundError, PermissionDeniedError, UnauthenticatedError) as error:
                self._refuse(error)
                self._answered = True
                raise
            except (GenericError, JoinError) as error:
                self._refuse(error)
                self._answered = True
                if attempt == _ATTEMPTS:
                    msg = f"{self._url}: gave up after {_ATTEMPTS} attempts: {_first_line(error)}"
                    raise StoreError(msg) from error
                time.sleep(_PAUSE * 2**attempt)
            else:
                self._answered = True
                return result
        raise AssertionError

    def _refuse(self, error: Exception) -> None:
        """Raise StoreError where no further attempt will change the answer: no server, no such bucket, no right to it."""
        said = str(error)
        if _INSTANCE in said:
            raise StoreError(_no_credentials(self._url)) from error
        if not self._answered and "kind: Connect" in said:
            server = os.environ.get("AWS_ENDPOINT_URL")
            msg = (
                f"{self._url}: no server answers at {server}, which AWS_ENDPOINT_URL names. Start it, or correct that"
                if server
                else f"{self._url}: no server answers ({_first_line(error)}). Check the network, or name another "
                "server in AWS_ENDPOINT_URL"
            )
            raise StoreError(msg) from error
        if "NoSuchBucket" in said:
            bucket = "/".join(self._url.split("/")[:3])
            msg = f"{self._url}: there is no bucket {bucket}. Make it first (aws s3 mb {bucket}), or correct the URL"
            raise StoreError(msg) from error
        if isinstance(error, PermissionDeniedError | UnauthenticatedError) or "403 Forbidden" in said:
            msg = (
                f"{self._url}: the server refuses these credentials ({_first_line(error)}). Check AWS_ACCESS_KEY_ID "
                "and AWS_SECRET_ACCESS_KEY, or the profile, and what they may do in this bucket"
            )
            raise StoreError(msg) from error

    def read(self, key: str) -> bytes:
        return self._try(lambda: bytes(obstore.get(self._store, key).bytes()))

    def read_range(self, key: str, start: int, length: int) -> bytes:
        if not length:
            return b""

        def get() -> bytes:
            try:
                return bytes(obstore.get_range(self._store, key, start=start, length=length))
            except GenericError:
                left = int(obstore.head(self._store, key)["size"]) - start
                if left >= length:
                    raise
                # A range that goes past the file is refused; this one gives what there is.
                return (
                    bytes(obstore.get_range(self._store, key, start=start, length=left)) if left > 0 else b""
                )

        return self._try(get)

    def size(self, key: str) -> int:
        return self._try(lambda: int(obstore.head(self._store, key)["size"]))

    def mapped(self, key: str) -> None:  # noqa: ARG002 (the protocol's signature)
        return None

    def stamp(self, key: str) -> str:
        return self._try(lambda: str(obstore.head(self._store, key)["e_tag"]))

    def exists(self, key: str) -> bool:
        try:
            self.size(key)
        except FileNotFoundError:
            return False
        return True

    def list_keys(self, prefix: str = "") -> list[str]:
        def listed() -> list[str]:
            return [str(meta["path"]) for part in obstore.list(self._store, prefix or None) for meta in part]

        return sorted(self._try(listed))

    def write_atomic(self, key: str, pieces: Iterable[Buffer]) -> None:
        # Held whole, so that the upload can be repeated.
        data = b"".join(pieces)
        multipart = len(data) > _MULTIPART
        self._try(lambda: obstore.put(self._store, key, data, use_multipart=multipart))

    def copy(self, source: str, target: str) -> None:
        self._try(lambda: obstore.copy(self._store, source, target))

    def move(self, source: str, target: str) -> None:
        # Not one step here, but the target is whole at each moment, and doing it again does no harm.
        self.copy(source, target)
        self.delete(source)

    def delete(self, key: str) -> None:
        self._try(lambda: obstore.delete(self._store, [key]))

    def delete_tree(self, prefix: str) -> None:
        keys = self.list_keys(prefix)
        if keys:
            self._try(lambda: obstore.delete(self._store, keys))

    def local_path(self, key: str) -> Path | None:  # noqa: ARG002 (the protocol's signature)
        return None

    def zarr_store(self) -> ZarrStore:
        from zarr.storage import ObjectStore

        return ObjectStore(self._store, read_only=True)

    def put_if(self, key: str, data: bytes, version: str | None) -> str | None:
        """Write the object on condition that it has this version still, or, with None, that there is none.

        Returns its new version, or None when the condition does not hold. ``data`` must be like no other's.
        """
        mode: Any = "create" if version is None else {"e_tag": version}

        def put() -> str | None:
            try:
                return str(obstore.put(self._store, key, data, mode=mode, use_multipart=False)["e_tag"])
            except (AlreadyExistsError, PreconditionError, FileNotFoundError) as error:
                self._refuse(error)
                # Ours all the same, when the answer to an earlier attempt was lost on the way.
                return self._version_if(key, data)

        return self._try(put)

    def _version_if(self, key: str, data: bytes) -> str | None:
        try:
            found = obstore.get(self._store, key)
        except FileNotFoundError:
            return None
        return str(found.meta["e_tag"]) if bytes(found.bytes()) == data else None


def _first_line(error: BaseException) -> str:
    """Return what an error says without the debug text that obstore adds."""
    return str(error).strip().partition("\n")[0]


def _refuse_after_fork() -> None:
    """obstore's threads do not survive a fork, and a request would wait for them forever."""
    global _used_by
    if _used_by is None:
        _used_by = os.getpid()
    elif _used_by != os.getpid():
        msg = (
            "this process was forked from one that had read an object store, and cannot read one itself: start "
            'workers with the "spawn" or "forkserver" method, or read nothing before they are started'
        )
        raise StoreError(msg)


def _no_credentials(url: str) -> str:
    return (
        f"{url}: no credentials were found. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE with boto3 "
        "installed, or AWS_SKIP_SIGNATURE=true for a bucket that all may read"
    )


def _open(url: str, retries: Any) -> Any:
    open_url: Any = obstore.store.from_url  # its overloads want the kind of store to be known
    options: dict[str, Any] = {"timeout": timedelta(minutes=5), "connect_timeout": timedelta(seconds=10)}
    if os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://"):
        options["allow_http"] = True
    more = {"credential_provider": provider} if (provider := _profile(url)) else {}
    try:
        return open_url(url, client_options=options, retry_config=retries, **more)
    except Exception as error:
        msg = f"{url} cannot be opened: {error}. Expected a URL such as s3://bucket/slices.zarr"
        raise StoreError(msg) from error


def _profile(url: str) -> Any:
    """Credentials of the user's AWS profile: obstore itself reads the environment and the instance's only."""
    if not url.startswith("s3") or "AWS_ACCESS_KEY_ID" in os.environ:
        return None
    try:
        import boto3
        from obstore.auth.boto3 import Boto3CredentialProvider
    except ImportError:
        return None
    session = boto3.Session()
    return Boto3CredentialProvider(session) if session.get_credentials() else None
