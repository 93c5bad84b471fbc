"""A stand-in for the hub on loopback: lists a repository, serves its files, and fails as often as it is told to."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from huggingface_hub import constants


class Server(ThreadingHTTPServer):
    """``files`` of the one revision; ``failures`` are how often each request, as ``"HEAD a.parquet"``, fails at first.

    ``status`` is what a failure is. ``cut`` are the files whose first answer ends halfway.
    ``asked`` counts requests, ``ranges`` lists those that go on.
    """

    def __init__(self, files: dict[str, bytes], revision: str) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.revision = files, revision
        self.failures: Counter[str] = Counter()
        self.status = 503
        self.cut: set[str] = set()
        self.asked: Counter[str] = Counter()
        self.ranges: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        path = self.path.partition("?")[0]
        if found := re.fullmatch(r"/api/(?:datasets|models)/[\w-]+/[\w-]+/tree/(\w+)", path):
            self.tree(found[1])
        elif found := re.fullmatch(r"(?:/datasets)?/[\w-]+/[\w-]+/resolve/(\w+)/(.+)", path):
            self.file(found[1], found[2])
        else:
            self.reply(404)

    def tree(self, revision: str) -> None:
        if self.failed(f"{self.command} tree"):
            return
        if revision != self.server.revision:
            self.reply(404, headers={"X-Error-Code": "RevisionNotFound"})
            return
        listed = [
            {"type": "file", "path": path, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
            for path, data in self.server.files.items()
        ]
        self.reply(200, json.dumps(listed).encode(), {"Content-Type": "application/json"})

    def file(self, revision: str, path: str) -> None:
        if self.failed(f"{self.command} {path}"):
            return
        data = self.server.files[path]
        headers = {"X-Repo-Commit": revision, "ETag": f'"{hashlib.sha256(data).hexdigest()}"'}
        if self.command == "GET" and path in self.server.cut:
            self.server.cut.remove(path)
            self.reply(200, data, headers, sent=len(data) // 2)
            return
        if wanted := self.headers.get("Range"):
            self.server.ranges.append(f"{path} {wanted}")
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            self.reply(206, data[start:], headers)
            return
        self.reply(200, data, headers)

    def failed(self, request: str) -> bool:
        self.server.asked[request] += 1
        if self.server.failures[request] == 0:
            return False
        self.server.failures[request] -= 1
        self.reply(self.server.status)
        return True

    def reply(self, status: int, body: bytes = b"", headers: dict | None = None, sent: int | None = None) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body[:sent])
        self.close_connection = sent is not None

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(files: dict[str, bytes], revision: str) -> Iterator[Server]:
    """The server, running while the block does."""
    with Server(files, revision) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def point_to(url: str, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the library ask there, and keep what it fetches in that folder."""
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 100)
