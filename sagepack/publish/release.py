"""The release record: the last object that publishing writes. It says that a package is complete, and what it is. Pure.

It contains the ETag, version and checksums of the archive as S3 gave them at that moment, and the digest of every document
next to the archive. So a signature has to cover this one document only: everything else in a package follows from it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta, Struct

from sagepack.decoding import DigestText, Sha256Hex, decode_json
from sagepack.digest import Digest
from sagepack.publish.keys import SBOM, PackageFormat
from sagepack.publish.sealed import SMALL, Algorithm, Checksum, ETag, ObjectSize, PackageName, sealed

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSION = 2


@dataclass(frozen=True)
class Release:
    """A package that was published completely.

    Attributes:
        name: of the spec.
        format: in which the model is stored; the key `layout` of the document.
        manifest_digest: of the manifest, the identity of the package.
        uri: of the archive, or of the prefix, which then ends in `/`.
        size: bytes of the archive, or of all files.
        released: when, UTC, in whole seconds.
        etag: of the archive, with its quotes, as S3 gave it after the upload was completed. None for a prefix: those of the objects
            are in `files.json`.
        version_id: of the archive, in a bucket with versioning.
        checksums: of the whole archive by algorithm, base64, as S3 keeps them. None for a prefix.
        documents: SHA-256 of the documents next to the model, by file name: those of `PackageFormat.document_names`, and perhaps the
            bill of materials.
    """

    name: str
    format: PackageFormat
    manifest_digest: Digest
    uri: str
    size: int
    released: datetime
    etag: str | None
    version_id: str | None
    checksums: Mapping[str, str] | None
    documents: Mapping[str, Digest]

    def lists(self, index: bytes) -> bool:
        """Whether `index` is the index, or the list of files, that was written with this release."""
        return self.documents[self.format.index_name] == Digest.sha256(index)

    def document(self) -> dict[str, Any]:
        """The document that `schemas/release.schema.json` describes."""
        return sealed(
            {
                "version": VERSION,
                "name": self.name,
                "layout": self.format.value,
                "manifest": str(self.manifest_digest),
                "uri": self.uri,
                "size": self.size,
                "released": f"{self.released:%Y-%m-%dT%H:%M:%SZ}",
                "etag": self.etag,
                "version_id": self.version_id,
                "checksums": None if self.checksums is None else dict(sorted(self.checksums.items())),
                "documents": {name: digest.value for name, digest in sorted(self.documents.items())},
            }
        )

    def text(self) -> bytes:
        """The document as the release record has it."""
        return json.dumps(self.document(), indent=1, ensure_ascii=False).encode() + b"\n"

    @classmethod
    def parse(cls, data: bytes | None) -> Release | None:
        """The release that a record holds; None if it is damaged, of another version, or of another program."""
        try:
            release = decode_json(data or b"", ReleaseDocument, limit=SMALL).value
            return release if release.text() == data else None
        except ValueError:
            return None


class ReleaseDocument(Struct):
    """The document of a release record, each field of it checked; `text` says whether it is one that this program writes."""

    version: Literal[2]
    name: PackageName
    layout: Literal["archive", "prefix"]
    manifest: DigestText
    uri: Annotated[str, Meta(pattern=r"\As3://[^/]+/", max_length=2048)]
    size: ObjectSize
    released: Annotated[datetime, Meta(tz=True)]
    etag: ETag | None
    version_id: Annotated[str, Meta(pattern=r"\A[!-~]{1,1024}\Z")] | None
    checksums: dict[Algorithm, Checksum] | None
    documents: dict[str, Sha256Hex]

    def __post_init__(self) -> None:
        format_ = PackageFormat(self.layout)
        archive = format_ is PackageFormat.ARCHIVE
        if archive is (self.etag is None) or archive is (self.checksums is None) or (self.version_id and not archive):
            raise ValueError("only an archive has an ETag and checksums, and every archive has them")
        if self.documents.keys() - {SBOM} != set(format_.document_names):
            raise ValueError(f"the documents of a package are {', '.join(format_.document_names)}, and perhaps {SBOM}")

    @property
    def value(self) -> Release:
        """The release that the document describes."""
        return Release(
            self.name,
            PackageFormat(self.layout),
            Digest.parse(self.manifest),
            self.uri,
            self.size,
            self.released,
            self.etag,
            self.version_id,
            self.checksums,
            {name: Digest("sha256", value) for name, value in self.documents.items()},
        )
