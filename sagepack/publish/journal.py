"""The journal of an upload: what a later process must know to continue it.

A file of JSON lines: the first says what is uploaded and how it was planned; each further one that a part is done. Lines
are only ever appended, so a kill can tear the last one alone, and a torn line is one part more to send. The journal
never proves that S3 has a part: `ListParts` does; the journal knows the sums that S3 may not keep.
"""

from __future__ import annotations

import json
import os
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sagepack.publish.planner import Copy, Literal, Part
from sagepack.publish.render import Stretch
from sagepack.publish.sums import ContentSums, Plain, Sums
from sagepack.remote.s3 import Location, Seen, Upload

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

VERSION = 1


@dataclass(frozen=True)
class Work:
    """An upload that was begun.

    Attributes:
        upload: S3's multipart upload.
        algorithm: of its checksum.
        subject: what is uploaded (a manifest's digest, or a content's), as text.
        size: bytes of the object.
        parts: as planned; part numbers count from 1.
        sources: that copies refer to.
        known: sums of each member's content, as far as they were known at the start.
    """

    upload: Upload
    algorithm: str
    subject: str
    size: int
    parts: tuple[Part, ...]
    sources: tuple[Seen, ...]
    known: tuple[ContentSums | None, ...]


@dataclass(frozen=True)
class Done:
    """A part that was finished: its ETag, its checksum (None for a copy that S3 gave none for), what it holds."""

    number: int
    etag: str
    checksum: str | None = None
    stretches: tuple[Stretch, ...] = ()


@dataclass(frozen=True)
class State:
    """What a journal says: the work, its finished parts by number, and the members whose SHA-256 was checked."""

    work: Work
    done: dict[int, Done] = field(default_factory=dict)
    verified: frozenset[int] = frozenset()


class Journal:
    """The journal file of one key."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()

    def read(self) -> State | None:
        """What was written, or None if there is nothing that can be used."""
        try:
            lines = self._path.read_bytes().split(b"\n")[:-1]
            state = State(_work(json.loads(lines[0])))
            verified = set()
            for line in lines[1:]:
                document = json.loads(line)
                if "verified" in document:
                    verified.add(int(document["verified"]))
                else:
                    done = _done(document)
                    state.done[done.number] = done
            return State(state.work, state.done, frozenset(verified))
        except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError):
            return None

    def begin(self, work: Work) -> None:
        """Start over with new work."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        staged = self._path.with_suffix(f".{os.getpid()}.tmp")
        staged.write_bytes(_line(_work_document(work)))
        staged.replace(self._path)

    def add(self, done: Done) -> None:
        """Note a finished part."""
        self._append(
            {
                "part": done.number,
                "etag": done.etag,
                "checksum": done.checksum,
                "stretches": [[s.index, s.offset, s.start, *_sums_list(s.sums)] for s in done.stretches],
            }
        )

    def verified(self, index: int) -> None:
        """Note that the content of a member was checked to its end."""
        self._append({"verified": index})

    def clear(self) -> None:
        """Forget the work."""
        self._path.unlink(missing_ok=True)

    def _append(self, document: dict[str, Any]) -> None:
        with self._lock, self._path.open("ab") as file:
            file.write(_line(document))


def _line(document: dict[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"


def _work_document(work: Work) -> dict[str, Any]:
    return {
        "version": VERSION,
        "upload": [work.upload.location.bucket, work.upload.location.key, work.upload.id],
        "algorithm": work.algorithm,
        "subject": work.subject,
        "size": work.size,
        "parts": [
            [p.offset, p.length, p.source, p.source_offset] if isinstance(p, Copy) else [p.offset, p.length]
            for p in work.parts
        ],
        "sources": [[seen.location.bucket, seen.location.key, seen.etag] for seen in work.sources],
        "known": [_sums_list(sums) if sums else None for sums in work.known],
    }


def _work(document: dict[str, Any]) -> Work:
    if document["version"] != VERSION:
        raise ValueError("another version")
    bucket, key, upload_id = document["upload"]
    return Work(
        Upload(Location(bucket, key), upload_id),
        document["algorithm"],
        document["subject"],
        document["size"],
        tuple(Copy(*numbers) if len(numbers) == 4 else Literal(*numbers) for numbers in document["parts"]),
        tuple(Seen(Location(bucket, key), etag) for bucket, key, etag in document["sources"]),
        tuple(_sums(numbers) if numbers else None for numbers in document["known"]),
    )


def _done(document: dict[str, Any]) -> Done:
    stretches = tuple(Stretch(n[0], n[1], n[2], _sums(n[3:])) for n in document["stretches"])
    return Done(document["part"], document["etag"], document["checksum"], stretches)


def _sums_list(sums: ContentSums) -> list[int]:
    return [sums.framed.crc64, sums.framed.crc32, sums.framed.length, sums.plain.crc32, sums.plain.length]


def _sums(numbers: Sequence[int]) -> ContentSums:
    crc64, crc32, length, plain, plain_length = numbers
    return ContentSums(Sums(crc64, crc32, length), Plain(plain, plain_length))
