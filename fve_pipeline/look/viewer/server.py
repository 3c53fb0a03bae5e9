"""The page's server: standard library, this machine only, and nothing without the token."""

from __future__ import annotations

import hmac
import json
import secrets
import sys
from collections.abc import Mapping
from functools import cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import cv2
import numpy as np
from numpy.typing import NDArray

from fve_pipeline.errors import FveError
from fve_pipeline.look.viewer.slices import PICTURES, StoreSlices

__all__ = ["Viewer", "serve"]

_HOST = "127.0.0.1"
_NUMBERS = ("row", "order", "distance", "only", "start", "at")
# Names of cases and classes come from files: even if one got into the page as markup, it could run nothing.
_POLICY = (
    "default-src 'none'; img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; "
    "script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'"
)


class Viewer(ThreadingHTTPServer):
    """Serves one store on the loopback interface. ``url`` holds the token; without it every answer is 403."""

    daemon_threads = True

    def __init__(self, slices: StoreSlices, port: int = 0) -> None:
        self.slices = slices
        self.token = secrets.token_urlsafe(24)
        super().__init__((_HOST, port), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a browser that went away in the middle of an answer."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    @property
    def url(self) -> str:
        return f"http://{_HOST}:{self.server_port}/?token={self.token}"

    def allows(self, host: str, token: str) -> bool:
        """Whether a request is for us (another host's name means that a foreign page sent it) and may."""
        hosts = {f"{name}:{self.server_port}" for name in (_HOST, "localhost")}
        return host in hosts and hmac.compare_digest(token.encode(), self.token.encode())


def serve(slices: StoreSlices, port: int = 0) -> Viewer:
    """A viewer that listens; ``serve_forever`` answers. Port 0 takes a free one. Raises OSError."""
    return Viewer(slices, port)


class _Handler(BaseHTTPRequestHandler):
    server: Viewer

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query))
        if not self.server.allows(self.headers.get("Host", ""), query.get("token", "")):
            self._send(
                HTTPStatus.FORBIDDEN, b"forbidden: open the address that fve view printed\n", "text/plain"
            )
            return
        try:
            kind, body = _answer(self.server.slices, parts.path, query)
        except (KeyError, IndexError, ValueError, FveError) as error:
            said = json.dumps({"error": str(error.args[0] if error.args else error)}).encode()
            self._send(HTTPStatus.NOT_FOUND, said, "application/json")
            return
        self._send(HTTPStatus.OK, body, kind)

    def _send(self, status: HTTPStatus, body: bytes, kind: str) -> None:
        nonce = secrets.token_urlsafe(12)
        body = body.replace(b"{{nonce}}", nonce.encode()) if kind.startswith("text/html") else body
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Content-Security-Policy", _POLICY.format(nonce=nonce))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests hold the token and names of cases: neither goes to the terminal."""


def _answer(slices: StoreSlices, path: str, query: Mapping[str, str]) -> tuple[str, bytes]:
    """Content type and body of a page, or of one of its parts. Raises KeyError, IndexError, ValueError."""
    number = {name: int(query[name]) for name in _NUMBERS if name in query}
    match path:
        case "/":
            return "text/html; charset=utf-8", _page()
        case "/api/store":
            return _json(slices.describe())
        case "/api/cases":
            return _json(slices.cases(query.get("words", ""), number.get("start", 0), by=query.get("by", "")))
        case "/api/scores":
            return _json(slices.scores(query["case"]))
        case "/predicted.png":
            return _png(slices.predicted(number["row"], number["order"], number.get("only")))
        case "/difference.png":
            return _png(slices.difference(number["row"], number.get("only")))
        case "/api/case":
            return _json(slices.case(query["case"]))
        case "/api/slice":
            return _json(slices.slice(number["row"]))
        case "/api/run":
            return _json(slices.run(number["row"]))
        case "/plane.png":
            return _png(slices.plane(number["row"], query["across"], number["at"]))
        case "/fill.png":
            return _png(slices.fill(number["row"], number.get("only")))
        case "/context.png":
            return _png(slices.context(number["row"], number["order"], number["distance"]))
        case _ if path.removeprefix("/").removesuffix(".png") in PICTURES:
            what = path.removeprefix("/").removesuffix(".png")
            return _png(slices.picture(number["row"], number["order"], what, number.get("only")))
    msg = f"nothing at {path}"
    raise KeyError(msg)


@cache
def _page() -> bytes:
    """Return the page with its style and scripts in it."""
    part = resources.files(__package__).joinpath
    page = part("page.html").read_text("utf-8")
    for name in ("page.css", "page.js", "surface.js", "predictions.js", "keys.js"):
        page = page.replace(f"{{{{{name}}}}}", part(name).read_text("utf-8"))
    return page.encode()


def _json(value: Any) -> tuple[str, bytes]:
    return "application/json", json.dumps(value).encode()


def _png(image: NDArray[np.uint8]) -> tuple[str, bytes]:
    pixels = np.ascontiguousarray(image if image.ndim == 2 else image[..., [2, 1, 0, 3][: image.shape[2]]])
    _, data = cv2.imencode(".png", pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return "image/png", data.tobytes()
