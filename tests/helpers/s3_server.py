"""An S3 endpoint on loopback (moto's server) that fails when it is told to."""

from __future__ import annotations

import contextlib
import itertools
import socket
import threading
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest

pytest.importorskip("moto.server", reason="the S3 endpoint of these tests is moto's")

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

Fault = str  # "503", "403", "dropped before", "dropped after", "cut short"
Faults = Callable[[int], Fault | None]


def no_faults(number: int) -> None:
    pass


class Quiet(WSGIRequestHandler):
    def log(self, *args: Any, **kwargs: Any) -> None:
        pass


class S3Server:
    """``with S3Server() as server``; ``server.fail`` decides, by the number of a request, what befalls it."""

    def __init__(self) -> None:
        self.fail: Faults = no_faults
        self.faults: list[tuple[str, Fault]] = []
        self.counter = itertools.count(1)
        self._deciding = threading.Lock()
        self._app = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self, threaded=True, request_handler=Quiet)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> S3Server:
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def make_bucket(self, name: str) -> dict[str, str]:
        """Make ``s3://name``; what a process must have in its environment to reach it."""
        urllib.request.urlopen(urllib.request.Request(f"{self.endpoint}/{name}", method="PUT"))
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
        }

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        fault = self.fail(next(self.counter))
        if fault:
            self.faults.append((environ["REQUEST_METHOD"], fault))
        if fault == "503":
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start_response("503 Slow Down", [("Content-Length", "0")])
            return [b""]
        if fault == "403":
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            said = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
            start_response("403 Forbidden", [("Content-Length", str(len(said)))])
            return [said]
        if fault == "dropped before":
            hang_up(environ)
        # S3 decides a conditional PUT at once; moto looks first and writes later.
        conditional = {"HTTP_IF_NONE_MATCH", "HTTP_IF_MATCH"} & environ.keys()
        with self._deciding if conditional else contextlib.nullcontext():
            answer = self._app(environ, start_response)
        if fault == "dropped after":
            hang_up(environ)  # it is done, but nobody hears of it
        return cut(answer, environ) if fault == "cut short" else answer


def cut(answer: Iterable[bytes], environ: WSGIEnvironment) -> Iterator[bytes]:
    data = b"".join(answer)
    yield data[: len(data) // 2]
    hang_up(environ)


def hang_up(environ: WSGIEnvironment) -> None:
    environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
    raise ConnectionResetError
