"""The documents next to a published model: what is where, so that later packages can copy it. Pure.

`parse` accepts only what is, byte for byte, a document that this program writes. Anything else gives None: it is damaged, of
another version, or of another program. That is never an error; the document counts as missing and the next upload writes it
again. What a document says is a claim all the same (`sealed`): it binds no content to its SHA-256.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from sagepack.decoding import PathText, Sha256Hex, decode_json
from sagepack.digest import Digest
from sagepack.errors import UserError
from sagepack.package.archive.layout import Layout
from sagepack.package.manifest import Manifest, Member
from sagepack.publish.checksums import Checksums, ContentChecksum, FramedChecksums
from sagepack.publish.sealed import SMALL, Crc32Hex, Crc64Hex, ETag, ObjectSize, SumsDocument, sealed

VERSION = 2
POINTER_VERSION = 1
PackagePath = Annotated[str, Meta(pattern=r"\A[a-z0-9](?:-*[a-z0-9])*/[0-9a-f]{16}\Z", max_length=57)]
MOST_FILES = 50_000  # to read the index of so many takes 175 MB of memory


@dataclass(frozen=True)
class Index:
    """Where every content of a published archive lies, with its checksums.

    Attributes:
        manifest: the members in archive order; their offsets follow (`Layout`).
        sums: checksums of each member's content.
        etag: of the archive.
        whole: checksums of the archive.
    """

    manifest: Manifest
    sums: tuple[FramedChecksums, ...]
    etag: str
    whole: Checksums

    @cached_property
    def layout(self) -> Layout:
        """The offsets of everything in the archive."""
        return Layout.of(self.manifest.members)

    def text(self) -> bytes:
        """The document that `schemas/index.schema.json` describes."""
        archive = {
            "etag": self.etag,
            "manifest": str(self.manifest.digest),
            **_sums_document(self.whole, self.layout.size),
        }
        members = [
            {
                **_member_document(member),
                "crc32": f"{sums.plain.crc32:08x}",
                "framed": {"offset": entry.content_offset, **_sums_document(sums.framed, entry.content_length)},
            }
            for member, entry, sums in zip(self.manifest.members, self.layout.entries, self.sums, strict=True)
        ]
        return _text(sealed({"version": VERSION, "archive": archive, "members": members}))

    @classmethod
    def parse(cls, data: bytes | None) -> Index | None:
        """The index that a document holds, or None if it is not one."""
        try:
            document = decode_json(data or b"", _IndexDocument)
            manifest = Manifest(tuple(member.value for member in document.members))
            sums = tuple(
                FramedChecksums(member.framed.sums, ContentChecksum(int(member.crc32, 16), member.size))
                for member in document.members
            )
            index = cls(manifest, sums, document.archive.etag, document.archive.sums)
            # Offsets, lengths and digests follow from the rest: the same bytes say that all of them are right.
            return index if index.text() == data else None
        except (ValueError, UserError):
            return None


@dataclass(frozen=True)
class StoredFile:
    """A file of a package in format `prefix`, as an object of its own.

    Attributes:
        member: the file.
        etag: of its object.
        sums: checksums of its bytes.
    """

    member: Member
    etag: str
    sums: Checksums


@dataclass(frozen=True)
class Files:
    """The list of the objects of a package in format `prefix`, in archive order. It is written after all of them."""

    files: tuple[StoredFile, ...]

    @cached_property
    def manifest(self) -> Manifest:
        """The members in archive order."""
        return Manifest.of(file.member for file in self.files)

    def text(self) -> bytes:
        """The document that `schemas/files.schema.json` describes."""
        files = [
            {
                **_member_document(file.member),
                "etag": file.etag,
                "crc64nvme": f"{file.sums.crc64:016x}",
                "crc32": f"{file.sums.crc32:08x}",
            }
            for file in self.files
        ]
        return _text(sealed({"version": VERSION, "manifest": str(self.manifest.digest), "files": files}))

    @classmethod
    def parse(cls, data: bytes | None) -> Files | None:
        """The files that a document holds, or None if it is not one."""
        try:
            document = decode_json(data or b"", _FilesDocument)
            files = cls(
                tuple(
                    StoredFile(
                        file.value, file.etag, Checksums(int(file.crc64nvme, 16), int(file.crc32, 16), file.size)
                    )
                    for file in document.files
                )
            )
            ordered = files.manifest.members == tuple(file.member for file in files.files)
            return files if ordered and files.text() == data else None
        except (ValueError, UserError):
            return None


@dataclass(frozen=True)
class Pointer:
    """Names a package, by its path relative to the target, that holds the content with SHA-256 `digest`."""

    digest: Digest
    package: str

    def text(self) -> bytes:
        """The document that `schemas/pointer.schema.json` describes."""
        return _text({"version": POINTER_VERSION, "sha256": self.digest.value, "package": self.package})

    @classmethod
    def parse(cls, data: bytes | None) -> Pointer | None:
        """The pointer that a document holds, or None if it is not one."""
        try:
            document = decode_json(data or b"", _PointerDocument, limit=SMALL)
            pointer = cls(Digest("sha256", document.sha256), document.package)
            return pointer if pointer.text() == data else None
        except ValueError:
            return None


class _Member(Struct):
    path: PathText
    size: ObjectSize
    sha256: Sha256Hex
    executable: bool
    crc32: Crc32Hex

    @property
    def value(self) -> Member:
        return Member(self.path, self.size, Digest("sha256", self.sha256), self.executable)


class _IndexMember(_Member):
    framed: SumsDocument


class _Archive(SumsDocument):
    etag: ETag


class _IndexDocument(Struct):
    version: Literal[2]
    archive: _Archive
    members: Annotated[tuple[_IndexMember, ...], Meta(max_length=MOST_FILES)]


class _File(_Member):
    etag: ETag
    crc64nvme: Crc64Hex


class _FilesDocument(Struct):
    version: Literal[2]
    files: Annotated[tuple[_File, ...], Meta(max_length=MOST_FILES)]


class _PointerDocument(Struct):
    version: Literal[1]
    sha256: Sha256Hex
    package: PackagePath


def _member_document(member: Member) -> dict[str, Any]:
    return {
        "path": member.path,
        "size": member.size,
        "sha256": member.digest.value,
        "executable": member.executable,
    }


def _sums_document(sums: Checksums, length: int) -> dict[str, Any]:
    return {"length": length, "crc64nvme": f"{sums.crc64:016x}", "crc32": f"{sums.crc32:08x}"}


def _text(document: Any) -> bytes:
    # Compact: it is sent after every edit, and a model may have thousands of files.
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
