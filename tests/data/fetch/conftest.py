"""A web server of this machine that behaves as badly as a test asks for."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from adml.data.fetch.connection import Patience


class Handler(BaseHTTPRequestHandler):
    """Answers as the next entry of the site's script says; honestly where there is none."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        site = self.server.site
        site.asked.append((self.path, self.headers.get("Range")))
        behave = site.script.pop(0) if site.script else honest
        if self.path not in site.files:
            behave = answer(404)
        behave(self, site.files.get(self.path, b""), site.tags.get(self.path))
        self.close_connection = True

    def log_message(self, *arguments):
        pass

    def send(self, status: int, body: bytes, upto: int | None = None, **headers: str) -> None:
        self.send_response(status)
        headers = {"Content_Length": str(len(body)), "Connection": "close", **headers}
        for name, value in headers.items():
            if value is not None:
                self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body[:upto])
        self.wfile.flush()


Behaviour = Callable[[Handler, bytes, str | None], None]


def asked_from(handler: Handler) -> int:
    match = re.match(r"bytes=(\d+)-$", handler.headers.get("Range", ""))
    return int(match.group(1)) if match else 0


def range_of(start: int, body: bytes) -> str:
    return f"bytes {start}-{len(body) - 1}/{len(body)}"


def honest(handler: Handler, body: bytes, tag: str | None, upto: int | None = None) -> None:
    start = asked_from(handler)
    if start and handler.headers.get("If-Range", tag) == tag:
        if start >= len(body):
            handler.send(416, b"")
        else:
            handler.send(206, body[start:], upto, ETag=tag, Content_Range=range_of(start, body))
    else:
        handler.send(200, body, upto, ETag=tag)


def cut(upto: int) -> Behaviour:
    """Sends no more than so many bytes of what it announced."""
    return lambda handler, body, tag: honest(handler, body, tag, upto)


def stall(upto: int, seconds: float) -> Behaviour:
    def behave(handler, body, tag):
        honest(handler, body, tag, upto)
        time.sleep(seconds)

    return behave


def deaf(handler: Handler, body: bytes, tag: str | None) -> None:
    """Knows no ranges."""
    handler.send(200, body, ETag=tag)


def unconditional(handler: Handler, body: bytes, tag: str | None) -> None:
    """Continues whatever was begun, also when the file is another by now; but tells its tag."""
    start = asked_from(handler)
    handler.send(206, body[start:], ETag=tag, Content_Range=range_of(start, body))


def ranged(text: str) -> Behaviour:
    """Sends the right bytes and another Content-Range."""
    return lambda handler, body, tag: handler.send(
        206, body[asked_from(handler) :], ETag=tag, Content_Range=text
    )


def answer(status: int, body: bytes = b"", **headers: str) -> Behaviour:
    return lambda handler, _body, _tag: handler.send(status, body, **headers)


class Site:
    """Files by path, their tags, what was asked for, and how to behave next."""

    answer, cut, deaf, honest, ranged, stall, unconditional = map(
        staticmethod, (answer, cut, deaf, honest, ranged, stall, unconditional)
    )

    def __init__(self, address: str):
        self.address = address
        self.files: dict[str, bytes] = {}
        self.tags: dict[str, str | None] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.script: list[Behaviour] = []

    def put(self, path: str, body: bytes, tag: str | None = '"1"') -> str:
        """Publish a file; gives its address."""
        self.files[path], self.tags[path] = body, tag
        return self.address + path


@pytest.fixture
def site(monkeypatch):
    """An empty site on loopback."""
    monkeypatch.setenv("NO_PROXY", "*")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.site = Site(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.site
        server.shutdown()
        thread.join()


@pytest.fixture
def patience() -> Patience:
    """Short waits, and loopback without https."""
    return Patience(timeout_s=0.4, attempts=4, backoff_s=0.002, allow_http=True)
