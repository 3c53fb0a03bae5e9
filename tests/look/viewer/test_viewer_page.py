"""The page over HTTP, with and without its token, and in a real browser."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlencode

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from fve_pipeline.cli.main import app
from fve_pipeline.look.viewer.server import Viewer


def ask(
    viewer: Viewer, path: str, host: str | None = None, **query: object
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", viewer.server_port, timeout=20)
    headers = {"Host": host} if host else {}
    connection.request("GET", f"{path}?{urlencode(query)}", headers=headers)
    answer = connection.getresponse()
    found = answer.status, dict(answer.getheaders()), answer.read()
    connection.close()
    return found


def test_only_with_the_token_and_our_name(viewer: Viewer) -> None:
    for path in ("/", "/api/cases", "/focal.png"):
        assert ask(viewer, path, row=0, order=1)[0] == 403
        assert ask(viewer, path, row=0, order=1, token=viewer.token[:-1])[0] == 403
        # A page elsewhere whose name was made to point here sends its own name.
        assert ask(viewer, path, row=0, order=1, token=viewer.token, host="evil.example")[0] == 403
        assert ask(viewer, path, row=0, order=1, token=viewer.token)[0] == 200


def test_a_browser_that_goes_away_is_not_worth_a_word(
    viewer: Viewer, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(3):
        gone = socket.create_connection(("127.0.0.1", viewer.server_port))
        # Reset instead of closed: what a browser does that is shut while an answer comes.
        gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        gone.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
        gone.close()
    assert ask(viewer, "/", token=viewer.token)[0] == 200
    assert capsys.readouterr().err == ""


def test_loopback_only(viewer: Viewer) -> None:
    assert viewer.socket.getsockname()[0] == "127.0.0.1"
    with socket.socket() as other, pytest.raises(OSError, match="refused"):
        other.connect(("127.0.0.2", viewer.server_port))


def test_headers_let_nothing_else_in(viewer: Viewer) -> None:
    _, headers, body = ask(viewer, "/", token=viewer.token)
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert headers["Referrer-Policy"] == "no-referrer"
    assert b"{{nonce}}" not in body
    assert b"http://" not in body.replace(b"http://www.w3.org/2000/svg", b"")


def test_pictures_are_the_stores(viewer: Viewer) -> None:
    store = viewer.slices.store
    status, headers, body = ask(viewer, "/encoded.png", row=4, order=2, token=viewer.token)
    assert (status, headers["Content-Type"]) == (200, "image/png")
    picture = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert np.array_equal(picture[..., 0], store.read_slices(4, 5)[0])
    assert np.array_equal(picture, viewer.slices.picture(4, 2, "encoded"))


@pytest.mark.parametrize(
    ("path", "query", "said"),
    [
        ("/focal.png", {"row": 9999, "order": 1}, "row 9999: the store has rows 0 to"),
        ("/focal.png", {"row": 0, "order": 40}, "order 40: the store's size allows"),
        ("/focal.png", {"row": "x", "order": 1}, "invalid literal"),
        ("/focal.png", {}, "row"),
        ("/api/case", {"case": "no/such"}, "no/such"),
        ("/../manifest.json", {}, "nothing at"),
    ],
)
def test_what_is_not_there(viewer: Viewer, path: str, query: dict[str, object], said: str) -> None:
    status, _, body = ask(viewer, path, token=viewer.token, **query)
    assert status == 404
    assert said in json.loads(body)["error"]


def test_the_command_prints_an_address_and_ends_on_ctrl_c(both_stores: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "fve_pipeline",
        "view",
        str(both_stores / "encoded.zarr"),
        "--case",
        "tiny/c02",
    ]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "COLUMNS": "20"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:")
        assert url.endswith("#case=tiny/c02")
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0


def test_usage_errors(both_stores: Path, viewer: Viewer) -> None:
    store = str(both_stores / "encoded.zarr")
    taken = CliRunner().invoke(
        app, ["view", store, "--port", str(viewer.server_port)], env={"COLUMNS": "200"}
    )
    assert taken.exit_code == 2
    assert "Address already in use" in taken.output
    unknown = CliRunner().invoke(app, ["view", store, "--case", "nobody"])
    assert "has no case 'nobody'" in str(unknown.exception)
