"""The documents beside a published package: what is where, so that later packages can copy it. Pure.

Reading them is tolerant: a document that another program or version wrote, or a torn one, is None, which means that
nothing is known to be there. It is never an error.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sagepack.archive.layout import Layout
from sagepack.digest import Digest
from sagepack.errors import UserError
from sagepack.manifest import Manifest, Member
from sagepack.publish.sums import ContentSums, Plain, Sums

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSION = 1
_BROKEN = (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError, UserError)


@dataclass(frozen=True)
class Index:
    """Where every content of a published archive lies, with its sums.

    Attributes:
        manifest: the members in archive order; their offsets follow (`Layout`).
        sums: of each member's content.
        etag: of the archive.
        whole: sums of the archive.
    """

    manifest: Manifest
    sums: tuple[ContentSums, ...]
    etag: str
    whole: Sums

    @cached_property
    def layout(self) -> Layout:
        """The offsets of everything in the archive."""
        return Layout.of(self.manifest.members)

    def text(self) -> bytes:
        """The document that `schemas/index.schema.json` describes."""
        return _text(
            {
                "version": VERSION,
                "archive": {"etag": self.etag, "manifest": str(self.manifest.digest), **_sums_document(self.whole)},
                "members": [
                    {
                        "path": member.path,
                        "size": member.size,
                        "sha256": member.digest.value,
                        "executable": member.executable,
                        "crc32": f"{sums.plain.crc32:08x}",
                        "framed": {"offset": entry.content_offset, **_sums_document(sums.framed)},
                    }
                    for member, entry, sums in zip(self.manifest.members, self.layout.entries, self.sums, strict=True)
                ],
            }
        )

    @classmethod
    def parse(cls, data: bytes | None) -> Index | None:
        """The index of a document, or None if it is not one that can be relied on."""
        try:
            document = json.loads(data or b"null")
            if document["version"] != VERSION:
                return None
            entries = document["members"]
            manifest = Manifest(tuple(_member(entry) for entry in entries))
            sums = tuple(
                ContentSums(_sums(entry["framed"]), Plain(int(entry["crc32"], 16), entry["size"])) for entry in entries
            )
            archive = document["archive"]
            index = cls(manifest, sums, archive["etag"], _sums(archive))
            return index if index._consistent(document) else None
        except _BROKEN:
            return None

    def _consistent(self, document: Mapping[str, Any]) -> bool:
        """Whether offsets and lengths are those that this program's archive has: then the format is the same."""
        entries = self.layout.entries
        return (
            str(self.manifest.digest) == document["archive"]["manifest"]
            and self.whole.length == self.layout.size
            and [entry["framed"]["offset"] for entry in document["members"]] == [e.content_offset for e in entries]
            and [sums.framed.length for sums in self.sums] == [entry.content_length for entry in entries]
        )


@dataclass(frozen=True)
class StoredFile:
    """A file of a package of layout `prefix`, as an object of its own.

    Attributes:
        member: the file.
        etag: of its object.
        sums: of its bytes.
    """

    member: Member
    etag: str
    sums: Sums


@dataclass(frozen=True)
class Files:
    """The objects of a package of layout `prefix`. It is written when all of them are there."""

    files: tuple[StoredFile, ...]

    @cached_property
    def manifest(self) -> Manifest:
        """The members in archive order."""
        return Manifest.of(file.member for file in self.files)

    def text(self) -> bytes:
        """The document that `schemas/files.schema.json` describes."""
        return _text(
            {
                "version": VERSION,
                "manifest": str(self.manifest.digest),
                "files": [
                    {
                        "path": file.member.path,
                        "size": file.member.size,
                        "sha256": file.member.digest.value,
                        "executable": file.member.executable,
                        "etag": file.etag,
                        "crc64nvme": f"{file.sums.crc64:016x}",
                        "crc32": f"{file.sums.crc32:08x}",
                    }
                    for file in self.files
                ],
            }
        )

    @classmethod
    def parse(cls, data: bytes | None) -> Files | None:
        """The files of a document, or None if it is not one that can be relied on."""
        try:
            document = json.loads(data or b"null")
            files = cls(
                tuple(
                    StoredFile(
                        _member(entry),
                        str(entry["etag"]),
                        Sums(int(entry["crc64nvme"], 16), int(entry["crc32"], 16), entry["size"]),
                    )
                    for entry in document["files"]
                )
            )
            known = document["version"] == VERSION and str(files.manifest.digest) == document["manifest"]
            return files if known else None
        except _BROKEN:
            return None


@dataclass(frozen=True)
class Pointer:
    """Says that the package at `package` (relative to the target) holds the content of `digest`."""

    digest: Digest
    package: str

    def text(self) -> bytes:
        """The document that `schemas/pointer.schema.json` describes."""
        return _text({"version": VERSION, "sha256": self.digest.value, "package": self.package})

    @classmethod
    def parse(cls, data: bytes | None) -> Pointer | None:
        """The pointer of a document, or None."""
        try:
            document = json.loads(data or b"null")
            if document["version"] != VERSION:
                return None
            return cls(Digest("sha256", document["sha256"]), str(document["package"]))
        except _BROKEN:
            return None


def _member(entry: Mapping[str, Any]) -> Member:
    size, executable = entry["size"], entry["executable"]
    if not isinstance(size, int) or size < 0 or not isinstance(executable, bool):
        raise ValueError("not a member")
    return Member(str(entry["path"]), size, Digest("sha256", entry["sha256"]), executable)


def _sums_document(sums: Sums) -> dict[str, Any]:
    return {"length": sums.length, "crc64nvme": f"{sums.crc64:016x}", "crc32": f"{sums.crc32:08x}"}


def _sums(document: Mapping[str, Any]) -> Sums:
    return Sums(int(document["crc64nvme"], 16), int(document["crc32"], 16), int(document["length"]))


def _text(document: Any) -> bytes:
    # Compact: it is sent after every edit, and a model may have thousands of files.
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
