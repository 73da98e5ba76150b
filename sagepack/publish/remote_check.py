"""What S3 holds of a package, compared with what it should be, without the bytes of the model. Pure.

The witnesses are the manifest that lock and code make, the release record, the documents beside the package, and what S3
says of the objects: each is compared with the others, and every difference is told. The ETag of the release record is the
strongest of them against a person: it takes a second to make other bytes with the same CRCs, and nobody knows how to make
some with the same ETag. But whoever can write all keys of a package can write all its documents anew. Then they agree with each other and not with
what was published, and reading the bytes (`remote_read`), or a witness that lies elsewhere, is what finds it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sagepack.aws.s3 import CRC32, CRC64NVME
from sagepack.digest import Digest
from sagepack.errors import IntegrityError
from sagepack.package.archive.crc32 import tar_crc
from sagepack.package.attest.provenance import subject
from sagepack.publish import documents as indexes
from sagepack.publish import release as releases
from sagepack.publish.checksums import archive_sums
from sagepack.publish.documents import Files, Index
from sagepack.publish.keys import PackageFormat
from sagepack.publish.release import Release
from sagepack.publish.sealed import version_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sagepack.aws.s3 import ObjectInfo, ObjectSummary, S3Uri
    from sagepack.package.archive.layout import Layout
    from sagepack.package.manifest import Manifest
    from sagepack.publish.keys import Package

_SHOWN = 50  # findings in a message; the JSON document has all
_RELEASE, _INDEX, _CONTENTS, _SPEC = "the release record", "the index", "the checksums of the contents", "lock and code"


@dataclass(frozen=True)
class Stored:
    """What S3 holds of a package.

    Attributes:
        record: where the latest release record of the package is.
        release: its bytes.
        documents: the bytes of the index or the list of files, the manifest and the provenance; None for one that is
            missing or too large to be a document.
        head: what S3 says of the archive; None if it is missing. With layout `prefix` always None.
        objects: with layout `prefix`, all objects under the prefix, by path.
        remembered: ETags that this machine knows of objects of the package, by key (`verified`).
    """

    record: S3Uri
    release: bytes | None
    documents: Mapping[S3Uri, bytes | None]
    head: ObjectInfo | None
    objects: Mapping[str, ObjectSummary]
    remembered: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be.

    Attributes:
        where: URI of the object.
        message: what is wrong, with both values.
        member: the file of the package, if it is about one.
        offset: in the archive: the first byte that is wrong, or the first of a content that is.
        outdated: the document is of an older version of its format: nothing is known to be wrong, but nothing is compared.
    """

    where: str
    message: str
    member: str | None = None
    offset: int | None = None
    outdated: bool = False

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


class PackageError(IntegrityError):
    """All that is wrong with a package in S3."""

    def __init__(self, findings: Sequence[Finding], *, fix: str) -> None:
        self.findings = tuple(findings)
        head = "1 finding" if len(findings) == 1 else f"{len(findings)} findings"
        lines = [str(finding) for finding in findings[:_SHOWN]]
        more = [f"and {len(findings) - _SHOWN} more, which --json shows"] if len(findings) > _SHOWN else []
        super().__init__(f"the package in S3 is not as it should be: {head}", fix=fix, details=[*lines, *more])

    def to_json(self) -> dict[str, Any]:
        """The document of any error, with each finding."""
        return {
            **super().to_json(),
            "type": IntegrityError.__name__,
            "findings": [
                {key: value for key, value in asdict(finding).items() if key != "outdated"} for finding in self.findings
            ],
        }


def compare(package: Package, manifest: Manifest, layout: Layout, stored: Stored) -> list[Finding]:
    """Everything in which the witnesses of a package differ.

    Args:
        package: the keys of the package.
        manifest: its members, as lock and code make them.
        layout: the archive of these members; not used with layout `prefix`.
        stored: what S3 holds.
    """
    one = _Comparison(package, manifest, layout, stored, Release.parse(stored.release))
    model = one.archive() if package.format is PackageFormat.ARCHIVE else one.files()
    return [*one.record(), *one.documents(), *model, *one.memory()]


@dataclass(frozen=True)
class _Comparison:
    package: Package
    manifest: Manifest
    layout: Layout
    stored: Stored
    release: Release | None

    def record(self) -> Iterator[Finding]:
        """The release record, by what lock and code make."""
        release, package = self.release, self.package
        if release is None:
            yield _unreadable(self.stored.record, self.stored.release, releases.VERSION)
            return
        size = self.layout.size if package.format is PackageFormat.ARCHIVE else self.manifest.size
        for what, found, expected in (
            ("the name", release.name, package.name),
            ("the layout", release.format.value, package.format.value),
            ("the manifest", release.manifest_digest, self.manifest.digest),
            ("the SHA-256 of manifest.json", release.documents["manifest.json"], self._manifest_json),
            ("the URI", release.uri, str(package.model_uri)),
            ("the size", release.size, size),
        ):
            yield from _differ(self.stored.record, what, found, expected, _SPEC)

    def documents(self) -> Iterator[Finding]:
        """The documents beside the package: the manifest by what lock and code make, the others by the release record."""
        for location, data in self.stored.documents.items():
            if data is None:
                yield _unreadable(location, None)
            elif location == self.package.manifest_uri:
                yield from _differ(location, "the SHA-256", Digest.sha256(data), self._manifest_json, _SPEC)
            elif self.release is not None:
                expected = self.release.documents[location.key.rpartition("/")[2]]
                yield from _differ(location, "the SHA-256", Digest.sha256(data), expected, _RELEASE)
        provenance = self.stored.documents[self.package.provenance_uri]
        if provenance is not None:
            found = subject(provenance)
            where = self.package.provenance_uri
            yield from _differ(where, "the SHA-256 of the manifest it is about", found, self._manifest_json, _SPEC)

    def archive(self) -> Iterator[Finding]:
        """The archive and its index."""
        head, release, model = self.stored.head, self.release, self.package.model_uri
        index = Index.parse(self.stored.documents[self.package.index_uri])
        yield from self._index(index)
        if head is None:
            yield _missing(model)
            return
        yield from _differ(model, "the size", head.size, self.layout.size, _SPEC)
        if release is not None:
            yield from _differ(model, "the ETag", head.etag, release.etag, _RELEASE)
            yield from _differ(model, "the version", head.version_id, release.version_id, _RELEASE)
            for name, value in (release.checksums or {}).items():
                yield from _differ(model, f"the {name}", head.checksums.get(name), value, _RELEASE)
        if index is not None and index.manifest == self.manifest:
            yield from _differ(model, "the ETag", head.etag, index.etag, _INDEX)
            # From the sums of the contents and the arithmetic of the layout, whatever the index says of the whole.
            whole = archive_sums(self.layout, index.sums, tar_crc(self.layout, [s.plain.crc32 for s in index.sums]))
            for name in (CRC64NVME, CRC32):
                said = index.whole.value(name)
                yield from _differ(self.package.index_uri, f"the {name}", said, whole.value(name), _CONTENTS)
            for name, value in head.checksums.items():
                yield from _differ(model, f"the {name}", value, whole.value(name), _CONTENTS)

    def files(self) -> Iterator[Finding]:
        """The objects of layout `prefix`, and the list of them."""
        files, model = Files.parse(self.stored.documents[self.package.index_uri]), self.package.model_uri
        yield from self._index(files)
        etags = {file.member.path: file.etag for file in files.files} if files else {}
        for member in self.manifest.members:
            location, listed = model.child(member.path), self.stored.objects.get(member.path)
            if listed is None:
                yield _missing(location)
                continue
            yield from _differ(location, "the size", listed.size, member.size, _SPEC)
            if member.path in etags:
                yield from _differ(location, "the ETag", listed.etag, etags[member.path], _INDEX)
        for path in sorted(self.stored.objects.keys() - {member.path for member in self.manifest.members}):
            yield Finding(
                str(self.stored.objects[path].location),
                "it is no file of the package, and SageMaker loads whatever lies under the prefix",
            )

    def memory(self) -> Iterator[Finding]:
        """The objects, by what this machine remembers of them: nobody who can write to S3 can write there."""
        head = self.stored.head
        etags = {listed.location: listed.etag for listed in self.stored.objects.values()}
        for location, etag in {**etags, **({self.package.model_uri: head.etag} if head else {})}.items():
            expected = self.stored.remembered.get(location.key, etag)
            yield from _differ(location, "the ETag", etag, expected, "the memory of this machine")

    def _index(self, index: Index | Files | None) -> Iterator[Finding]:
        data = self.stored.documents[self.package.index_uri]
        if index is not None:
            where, found = self.package.index_uri, index.manifest.digest
            yield from _differ(where, "the manifest", found, self.manifest.digest, _SPEC)
        elif data is not None:
            yield _unreadable(self.package.index_uri, data, indexes.VERSION)

    @cached_property
    def _manifest_json(self) -> Digest:
        return Digest.sha256(self.manifest.text().encode())


def _differ(where: S3Uri, what: str, found: object, expected: object, witness: str) -> Iterator[Finding]:
    if found != expected:
        yield Finding(str(where), f"{what} is {found or 'missing'}, by {witness} it is {expected or 'none'}")


def _missing(where: S3Uri) -> Finding:
    return Finding(str(where), "it is missing")


def _unreadable(where: S3Uri, data: bytes | None, version: int = 0) -> Finding:
    """What is wrong with a document that is not one of `version`."""
    if data is None:
        return Finding(str(where), "it is missing, or too large to be read")
    found = version_of(data)
    if found is not None and found < version:
        return Finding(
            str(where), f"it is of version {found}, which says too little; needed is {version}", outdated=True
        )
    return Finding(str(where), "it is damaged, or another program wrote it")
