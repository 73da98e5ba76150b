"""A package index on 127.0.0.1, with wheels that are made here."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import threading
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Iterator

_JSON = "application/vnd.pypi.simple.v1+json"


def wheel(
    name: str,
    version: str,
    requires: tuple[str, ...] = (),
    files: dict[str, bytes] | None = None,
    more: str = "",
) -> bytes:
    """A wheel: one module of its name, unless its files are given; `more` are lines of its metadata."""
    stem = name.replace("-", "_")
    content = {f"{stem}/__init__.py": b""} if files is None else dict(files)
    about = f"{stem}-{version}.dist-info"
    demands = "".join(f"Requires-Dist: {each}\n" for each in requires)
    content[f"{about}/METADATA"] = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{demands}{more}".encode()
    content[f"{about}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    content[f"{about}/RECORD"] = "".join(f"{path},,\n" for path in [*content, f"{about}/RECORD"]).encode()
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, text in content.items():
            archive.writestr(zipfile.ZipInfo(path), text)
    return data.getvalue()


@dataclass
class Index:
    """What the index has, and what it was asked.

    Attributes:
        url: its address.
        files: the files by name.
        log: method and path of each request.
        password: the password that it demands of the user `me`; None for none.
        yanked: names of files that their authors took back.
        parts: whether it sends parts of files.
    """

    url: str
    files: dict[str, bytes] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    password: str | None = None
    yanked: set[str] = field(default_factory=set)
    parts: bool = True

    def add(
        self,
        name: str,
        version: str,
        *requires: str,
        files: dict[str, bytes] | None = None,
        tag: str = "py3-none-any",
    ) -> str:
        """Add a wheel; returns its name."""
        file = f"{name.replace('-', '_')}-{version}-{tag}.whl"
        self.files[file] = wheel(name, version, requires, files)
        return file

    def project(self, name: str) -> bytes | None:
        """The page of a package, as PEP 691 has it."""
        files = [
            {
                "filename": file,
                "url": f"/files/{file}",
                "hashes": {"sha256": hashlib.sha256(data).hexdigest()},
                "size": len(data),
                "yanked": file in self.yanked,
            }
            for file, data in self.files.items()
            if canonicalize_name(file.split("-")[0]) == name
        ]
        document = {"meta": {"api-version": "1.1"}, "name": name, "files": files, "versions": []}
        return json.dumps(document).encode() if files else None


class _Server(ThreadingHTTPServer):
    """Serves one index."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.index = Index(f"http://127.0.0.1:{self.server_port}/simple")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_HEAD(self) -> None:
        self.respond()

    def do_GET(self) -> None:
        self.respond()

    def respond(self) -> None:
        index = self.server.index
        index.log.append(f"{self.command} {self.path}")
        wanted = base64.b64encode(f"me:{index.password}".encode()).decode()
        if index.password and self.headers.get("Authorization") != f"Basic {wanted}":
            self.answer(401, b"", {"WWW-Authenticate": "Basic"})
        elif self.path.startswith("/simple/"):
            page = index.project(self.path.split("/")[2])
            self.answer(404 if page is None else 200, page or b"", {"Content-Type": _JSON})
        elif (data := index.files.get(self.path.rpartition("/")[2])) is None:
            self.answer(404, b"", {})
        elif index.parts and (asked := self.headers.get("Range", "").removeprefix("bytes=")):
            self.part(data, asked)
        else:
            self.answer(200, data, {})

    def part(self, data: bytes, asked: str) -> None:
        first, _, last = asked.partition("-")
        start = int(first) if first else max(0, len(data) - int(last))
        end = min(len(data), int(last) + 1) if first and last else len(data)
        self.answer(206, data[start:end], {"Content-Range": f"bytes {start}-{end - 1}/{len(data)}"})

    def answer(self, status: int, data: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


@contextmanager
def serving() -> Iterator[Index]:
    """An empty index that is served."""
    server = _Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server.index
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
