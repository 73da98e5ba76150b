"""The keys of everything that is published. Pure.

<target>/<name>/<16 hex of the manifest's digest>/model.tar.gz      the archive, never overwritten
                                                 /index.json        where every content lies in it
                                                 /model/...         or: one object per file (format `prefix`)
                                                 /files.json        the list of these files
                                                 /manifest.json  provenance.json
                                                 /sbom.cdx.json               unless the spec wants none
                                                 /model.sig  release.sig  provenance.sigstore.json      if it is signed
                                                 /upload/...        notes of an upload that workers make (`upload.shared`)
<target>/<name>/remote/<16 hex of its digest>/                      what a job that publishes in the region starts from, while it runs
<target>/<name>/releases/<UTC time>-<16 hex>.json                   written last: this package is complete
<target>/contents/<sha256>.json                                     pointer: which package's archive holds it
<target>/contents/<sha256>.file.json                                pointer: which package has it as an object
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timezone
from enum import Enum
from typing import TYPE_CHECKING

from sagepack.aws.s3_types import S3Uri
from sagepack.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sagepack.digest import Digest
    from sagepack.spec.model import Spec

CONTENTS = "contents"
FILES_SIGNATURE, RELEASE_SIGNATURE, PROVENANCE_SIGNATURE = "model.sig", "release.sig", "provenance.sigstore.json"
SIGNATURES = (FILES_SIGNATURE, RELEASE_SIGNATURE, PROVENANCE_SIGNATURE)
SBOM = "sbom.cdx.json"
UPLOAD_NOTES = "upload"
_TIME = "%Y%m%dT%H%M%SZ"
_RELEASE = re.compile(r"(?P<time>[0-9]{8}T[0-9]{6}Z)-(?P<short>[0-9a-f]{16})(?P<files>\.files)?\.json")
_MODEL = re.compile(r"(?P<target>(?:.*/)?)(?P<name>[^/]+)/(?P<short>[0-9a-f]{16})/model(?:\.tar\.gz|/)", re.DOTALL)
_PACKAGE = re.compile(r"[^/]+/[0-9a-f]{16}")


class PackageFormat(Enum):
    """The two forms in which SageMaker loads a model from S3; the values are those of `artifact.layout` in the spec.

    ARCHIVE is one object `model.tar.gz`; PREFIX is one object per file below a prefix, which SageMaker loads as it is
    (API reference, S3ModelDataSource: `S3DataType` and `CompressionType`).
    """

    ARCHIVE = "archive"
    PREFIX = "prefix"

    @property
    def model_name(self) -> str:
        """Name of the archive, or of the prefix of the files, in the folder of the package."""
        return "model.tar.gz" if self is PackageFormat.ARCHIVE else "model/"

    @property
    def index_name(self) -> str:
        """Name of the document that says where the contents of a package are."""
        return "index.json" if self is PackageFormat.ARCHIVE else "files.json"

    @property
    def document_names(self) -> tuple[str, ...]:
        """Names of the documents next to every model, whose digests are in the release record; a bill of materials may be one more."""
        return self.index_name, "manifest.json", "provenance.json"


@dataclass(frozen=True)
class Package:
    """The keys of one package under a target.

    Attributes:
        target: `artifact.target`.
        name: of the spec.
        digest: of the manifest.
        format: in which the model is stored.

    Raises:
        UserError: the name is that of the folder of pointers, which every publisher may write.
    """

    target: S3Uri
    name: str
    digest: Digest
    format: PackageFormat = PackageFormat.ARCHIVE

    def __post_init__(self) -> None:
        if self.name == CONTENTS:
            raise UserError("this name is reserved for pointers", where=f"name: {self.name}", fix="choose another name")

    @classmethod
    def of(cls, spec: Spec, digest: Digest) -> Package:
        """The package of a spec that has a manifest with this digest."""
        artifact = spec.artifact
        return cls(S3Uri.parse(artifact.target), spec.name, digest, PackageFormat(artifact.layout))

    @property
    def path(self) -> str:
        """`name/digest`, relative to the target: how pointers and releases name a package."""
        return f"{self.name}/{self.digest.short}"

    @property
    def folder(self) -> S3Uri:
        """What the keys of the package begin with."""
        return self.target.child(self.path)

    @property
    def model_uri(self) -> S3Uri:
        """The archive, or the prefix of the files (its key then ends in `/`, as SageMaker's `S3Prefix` must)."""
        return self.folder.child(self.format.model_name)

    @property
    def index_uri(self) -> S3Uri:
        """The index of the archive, or the list of the files."""
        return self.folder.child(self.format.index_name)

    @property
    def manifest_uri(self) -> S3Uri:
        """The manifest."""
        return self.folder.child("manifest.json")

    @property
    def provenance_uri(self) -> S3Uri:
        """The provenance."""
        return self.folder.child("provenance.json")

    @property
    def sbom_uri(self) -> S3Uri:
        """The bill of materials."""
        return self.folder.child(SBOM)

    @property
    def files_signature_uri(self) -> S3Uri:
        """The signature of the files of the package."""
        return self.folder.child(FILES_SIGNATURE)

    @property
    def release_signature_uri(self) -> S3Uri:
        """The signature of the release: of what S3 holds of the package."""
        return self.folder.child(RELEASE_SIGNATURE)

    @property
    def provenance_signature_uri(self) -> S3Uri:
        """The provenance, signed."""
        return self.folder.child(PROVENANCE_SIGNATURE)

    @property
    def notes_uri(self) -> S3Uri:
        """What the keys of the notes begin with that an upload leaves while workers make it, followed by `/`."""
        return self.folder.child(UPLOAD_NOTES)

    def has_notes(self, keys: Iterable[str]) -> bool:
        """Whether any of the keys is that of such a note."""
        below = self.notes_uri.child("").key
        return any(key.startswith(below) for key in keys)

    @property
    def signature_uris(self) -> tuple[S3Uri, S3Uri, S3Uri]:
        """All signatures."""
        return self.files_signature_uri, self.release_signature_uri, self.provenance_signature_uri

    def release_uri(self, time: datetime) -> S3Uri:
        """The record of a release at `time` (UTC)."""
        suffix = "" if self.format is PackageFormat.ARCHIVE else ".files"
        return releases_uri(self.target, self.name).child(f"{time:{_TIME}}-{self.digest.short}{suffix}.json")


def package_at(model: S3Uri, digest: Digest) -> Package:
    """The package whose archive, or prefix of files, is `model`, and whose manifest has this digest.

    Raises:
        UserError: no package of this program lies there, or one with another manifest.
    """
    found = _MODEL.fullmatch(model.key)
    if found is None or found["short"] != digest.short:
        raise UserError(f"this is not where a package with the manifest {digest} lies", where=str(model))
    format_ = PackageFormat.PREFIX if model.key.endswith("/") else PackageFormat.ARCHIVE
    return Package(S3Uri(model.bucket, found["target"].rstrip("/")), found["name"], digest, format_)


def remote_uri(target: S3Uri, name: str) -> S3Uri:
    """What the keys of everything begin with that jobs start from (`--remote`), followed by `/`."""
    return target.child(f"{name}/remote")


def packages_uri(spec: Spec) -> S3Uri:
    """What the keys of all packages of a spec begin with, followed by `/`."""
    return S3Uri.parse(spec.artifact.target).child(spec.name)


def releases_uri(target: S3Uri, name: str) -> S3Uri:
    """What the keys of a name's release records begin with, followed by `/`."""
    return target.child(f"{name}/releases")


def released_package(record: S3Uri, format_: PackageFormat = PackageFormat.ARCHIVE) -> str | None:
    """The 16 hex digits of the package that the key of a release record names; None for another key or format."""
    match = _RELEASE.fullmatch(record.key.rpartition("/")[2])
    return match["short"] if match and bool(match["files"]) == (format_ is PackageFormat.PREFIX) else None


def release_time(record: S3Uri) -> datetime | None:
    """When the package was released that the key of a release record names; None for another key."""
    match = _RELEASE.fullmatch(record.key.rpartition("/")[2])
    try:
        return datetime.strptime(match["time"], _TIME).replace(tzinfo=timezone.utc) if match else None
    except ValueError:  # such as the 31st of February
        return None


def pointer_uri(target: S3Uri, content: Digest, format_: PackageFormat = PackageFormat.ARCHIVE) -> S3Uri:
    """The pointer of a content."""
    suffix = "" if format_ is PackageFormat.ARCHIVE else ".file"
    return target.child(f"{CONTENTS}/{content.value}{suffix}.json")


def document_beside(model: S3Uri, name: str) -> S3Uri:
    """A document of the package whose archive, or prefix of files, is `model`."""
    return model.parent.child(name)


def package_folder(target: S3Uri, path: str) -> S3Uri | None:
    """The folder of the package that a pointer names, or None if that is no package's path.

    A pointer leads to nothing outside the target that it lies under.
    """
    return target.child(path) if _PACKAGE.fullmatch(path) and not path.startswith(".") else None
