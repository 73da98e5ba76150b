"""An S3 that drops what it is sent and copies in no time: `python -m benchmarks.bucket FOLDER`.

It answers what publishing, boto3 and the AWS CLI ask, over TLS on loopback, and keeps small objects and the sizes of large
ones; so what is measured against it is the client. It prints its port. `GET /stats` tells bytes received and sent, heads
included, and starts counting anew; `PUT /rate/N` limits what it takes to N bytes a second (0: no limit), and
`PUT /connection/N` what it takes on each connection; `PUT /latency/N` lets N milliseconds pass before each answer; `PUT /forget`
empties it. A large object that others download is a file that lies in FOLDER/objects/ under bucket and key.
"""

from __future__ import annotations

import io
import itertools
import json
import re
import ssl
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

BURST = 1.0
"""Seconds for which a connection catches up: so a busy machine delays what it sends, and does not lower the rate."""
_SMALL = 8 << 20
_PIECE = 1 << 20
_OBJECT = "<Contents><Key>{0}</Key><Size>{1}</Size><ETag>&quot;e&quot;</ETag><LastModified>2030-01-01T00:00:00Z</LastModified></Contents>"

_PART = "<Part><PartNumber>{0}</PartNumber><ETag>&quot;e&quot;</ETag><Size>{1}</Size></Part>"


class Bucket(ThreadingHTTPServer):
    """What is held: data of small objects, sizes of all, sizes of parts by upload."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, context: ssl.SSLContext, objects: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.objects = objects
        # The handshake is done where the connection is served, not where all are accepted.
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.data: dict[str, bytes] = {}
        self.sizes: dict[str, int] = {}
        self.parts: dict[str, dict[int, int]] = {}
        self.numbers = itertools.count(1)
        self.received = self.sent = 0
        self.rate = 0
        self.connection_rate = 0
        self.latency = 0.0  # seconds
        self.free_at = time.monotonic()
        self.lock = threading.Lock()

    def take(self, count: int) -> None:
        """Count what came, and slow it down to the rate."""
        with self.lock:
            self.received += count
            if not self.rate:
                return
            self.free_at = max(self.free_at, time.monotonic() - 0.05) + count / self.rate
            wait = self.free_at - time.monotonic()
        if wait > 0:
            time.sleep(wait)


class Handler(BaseHTTPRequestHandler):
    """One request after another on a connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Bucket
    free_at = 0.0

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Say nothing."""

    def parse_request(self) -> bool:
        """Note key and query, and take the head."""
        if not super().parse_request():
            return False
        self.server.take(len(self.requestline) + 2 + len(bytes(self.headers)))
        time.sleep(self.server.latency)
        parts = urlsplit(self.path)
        self.key, self.query = unquote(parts.path), parse_qs(parts.query, keep_blank_values=True)
        return True

    def _body(self) -> tuple[bytes, int]:
        """The body, dropped if it is large, and its length as S3 would store it."""
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            # As botocore sends a body with its checksum behind it.
            length = int(self.headers["X-Amz-Decoded-Content-Length"])
            return self._unchunk(keep=length <= _SMALL), length
        length = int(self.headers.get("Content-Length", 0))
        return self._read(length, keep=length <= _SMALL), length

    def _unchunk(self, *, keep: bool) -> bytes:
        """A body in HTTP's chunks, which hold those of aws-chunked, which hold the object."""
        outer = bytearray()
        while size := int(self.rfile.readline().split(b";")[0], 16):
            outer += self._read(size, keep=keep)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        inner = io.BytesIO(bytes(outer))
        pieces = []
        while keep and (size := int(inner.readline().split(b";")[0], 16)):
            pieces.append(inner.read(size))
            inner.readline()
        return b"".join(pieces)

    def _read(self, left: int, *, keep: bool) -> bytes:
        kept = bytearray()
        buffer = memoryview(bytearray(min(_PIECE, max(1, left))))
        while left:
            count = self.rfile.readinto(buffer[: min(left, len(buffer))])
            if not count:
                raise ConnectionError
            if keep:
                kept += buffer[:count]
            self.server.take(count)
            if self.server.connection_rate:
                now = time.monotonic()
                self.free_at = max(self.free_at, now - BURST) + count / self.server.connection_rate
                time.sleep(max(0.0, self.free_at - now))
            left -= count
        return bytes(kept)

    def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response_only(status)
        for name, value in {"Content_Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        with self.server.lock:
            self.server.sent += len(body) + 200

    def do_HEAD(self) -> None:
        """HeadObject and HeadBucket."""
        if self.key.count("/") == 1:
            return self._answer(200, x_amz_bucket_region="us-east-1")
        path = self._path()
        size = path.stat().st_size if path.is_file() else self.server.sizes.get(self.key)
        return self._answer(404) if size is None else self._answer(200, Content_Length=str(size), ETag='"e"')

    def do_GET(self) -> None:
        """GetObject, ListObjectsV2, ListParts, and the counters."""
        if self.key == "/stats":
            with self.server.lock:
                stats = json.dumps([self.server.received, self.server.sent]).encode()
                self.server.received = self.server.sent = 0
            return self._answer(200, stats)
        if "prefix" in self.query:
            found = [
                key for key in sorted(self.server.sizes) if key.split("/", 2)[2].startswith(self.query["prefix"][0])
            ]
            listed = "".join(_OBJECT.format(key.split("/", 2)[2], self.server.sizes[key]) for key in found)
            xml = f"<ListBucketResult><IsTruncated>false</IsTruncated>{listed}</ListBucketResult>"
            return self._answer(200, xml.encode())
        if (path := self._path()).is_file():
            return self._send_file(path)
        if "uploadId" in self.query:
            parts = sorted(self.server.parts.get(self.query["uploadId"][0], {}).items())
            first = int(self.query.get("part-number-marker", ["0"])[0])
            listed = "".join(_PART.format(number, size) for number, size in parts if number > first)
            xml = f"<ListPartsResult><IsTruncated>false</IsTruncated>{listed}</ListPartsResult>"
            return self._answer(200, xml.encode())
        data = self.server.data.get(self.key)
        if data is None:
            return self._answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        return self._answer(200, data, ETag='"e"')

    def _path(self) -> Path:
        """Where the object lies if it is a file."""
        return self.server.objects / self.key.lstrip("/")

    def _send_file(self, path: Path) -> None:
        """Answer with a file, or with the range of it that is asked for."""
        size = path.stat().st_size
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        first, last = (int(asked[1]), int(asked[2] or size - 1)) if asked else (0, size - 1)
        left = min(last, size - 1) - first + 1
        self.send_response_only(206 if asked else 200)
        self.send_header("Content-Length", str(left))
        self.send_header("ETag", '"e"')
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{first + left - 1}/{size}")
        self.end_headers()
        with self.server.lock:
            self.server.sent += left + 200
        with path.open("rb") as file:
            file.seek(first)
            while left:
                piece = file.read(min(left, _PIECE))
                self.wfile.write(piece)
                left -= len(piece)

    def do_PUT(self) -> None:
        """PutObject, UploadPart, UploadPartCopy, CreateBucket, and the rate."""
        if match := re.fullmatch(r"/(rate|connection|latency)/(\d+)", self.key):
            if match[1] == "rate":
                self.server.rate = int(match[2])
            elif match[1] == "connection":
                self.server.connection_rate = int(match[2])
            else:
                self.server.latency = int(match[2]) / 1000
            return self._answer(200)
        if self.key == "/forget":
            self.server.data.clear()
            self.server.sizes.clear()
            return self._answer(200)
        data, length = self._body()
        if "partNumber" in self.query:
            source = self.headers.get("X-Amz-Copy-Source-Range")
            if source:
                first, last = map(int, source.removeprefix("bytes=").split("-"))
                length = last - first + 1
            self.server.parts[self.query["uploadId"][0]][int(self.query["partNumber"][0])] = length
            xml = b"<CopyPartResult><ETag>&quot;e&quot;</ETag></CopyPartResult>" if source else b""
            return self._answer(200, xml, ETag='"e"')
        self.server.data[self.key], self.server.sizes[self.key] = data, length
        return self._answer(200, ETag='"e"')

    def do_DELETE(self) -> None:
        """DeleteObject."""
        self.server.data.pop(self.key, None)
        self.server.sizes.pop(self.key, None)
        self._answer(204)

    def do_POST(self) -> None:
        """CreateMultipartUpload and CompleteMultipartUpload."""
        self._body()
        if "uploads" in self.query:
            upload = str(next(self.server.numbers))
            self.server.parts[upload] = {}
            xml = f"<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>"
            return self._answer(200, xml.encode())
        self.server.sizes[self.key] = sum(self.server.parts.pop(self.query["uploadId"][0]).values())
        return self._answer(
            200, b"<CompleteMultipartUploadResult><ETag>&quot;e&quot;</ETag></CompleteMultipartUploadResult>"
        )


def main(folder: Path) -> None:
    """Serve until standard input ends."""
    files = [str(folder / "key.pem"), str(folder / "ca.pem")]
    names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-keyout", files[0], "-out", files[1], "-days", "2", "-subj", "/CN=localhost", "-addext", names]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files[1], files[0])
    server = Bucket(context, folder / "objects")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
