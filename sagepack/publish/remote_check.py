"""What S3 holds of a package, compared with what it should be, without the bytes of the model. Pure.

The witnesses are the manifest that follows from lock and code, the release record, the documents next to the model, and what
S3 says of the objects. Each is compared with the others, and every difference is reported. Against a person the strongest
witness is the ETag in the release record: making other bytes with the same CRCs takes a second, but nobody knows how to make
some with the same ETag. Who can write all keys of a package, however, can also write all of its documents again, so that
they agree with each other and not with what was published. Reading the bytes (`remote_read`), a witness that is stored elsewhere,
or a signature detects that: a signed release is compared with everything else in place of the record, which anybody may write.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sagepack.aws.s3 import CRC32, CRC64NVME
from sagepack.digest import Digest
from sagepack.errors import IntegrityError
from sagepack.package.archive.crc32 import tar_crc
from sagepack.package.archive.layout import Layout
from sagepack.package.attest import dsse, oms, provenance, sbom
from sagepack.package.attest.dsse import SignatureError
from sagepack.publish import documents as indexes
from sagepack.publish import release as releases
from sagepack.publish.checksums import archive_sums
from sagepack.publish.documents import Files, Index
from sagepack.publish.release import Release
from sagepack.publish.sealed import version_of
from sagepack.publish.signatures import known_release, signed_release

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sagepack.aws.s3 import ObjectInfo, ObjectSummary, S3Uri
    from sagepack.package.attest.dsse import Verifier
    from sagepack.package.manifest import Manifest
    from sagepack.publish.keys import Package
    from sagepack.publish.signatures import SignedRelease

_INTERNAL = frozenset({"outdated", "missing"})
_SHOWN = 50  # findings in a message; the JSON document has all
_RELEASE, _INDEX, _CONTENTS, _SPEC = "the release record", "the index", "the checksums of the contents", "lock and code"
_SIGNED = "the signed release"


@dataclass(frozen=True)
class Finding:
    """A difference between two witnesses, or something that is missing.

    Attributes:
        where: URI of the object.
        message: what is wrong, with both values.
        member: the file of the package, if it is about one.
        offset: in the archive, of the first wrong byte, or of the wrong content.
        outdated: the document is of an older version of its format: it was not compared, and may be right.
        missing: there is no such object, which the next upload writes.
    """

    where: str
    message: str
    member: str | None = None
    offset: int | None = None
    outdated: bool = False
    missing: bool = False

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


class PackageError(IntegrityError):
    """A package in S3 differs from what it should be; the error has all findings."""

    def __init__(self, findings: Sequence[Finding], *, fix: str) -> None:
        self.findings = tuple(findings)
        head = "1 finding" if len(findings) == 1 else f"{len(findings)} findings"
        lines = [str(finding) for finding in findings[:_SHOWN]]
        more = [f"and {len(findings) - _SHOWN} more, which --json shows"] if len(findings) > _SHOWN else []
        super().__init__(f"the package in S3 is not as it should be: {head}", fix=fix, details=[*lines, *more])

    def to_json(self) -> dict[str, Any]:
        """The JSON document of any error, with all findings."""
        return {
            **super().to_json(),
            "type": IntegrityError.__name__,
            "findings": [
                {key: value for key, value in asdict(finding).items() if key not in _INTERNAL}
                for finding in self.findings
            ],
        }


@dataclass(frozen=True)
class Signatures:
    """The signatures beside a package.

    Attributes:
        keys: those that count; without any, nothing is verified.
        files: the bytes of `model.sig`; None if it is missing.
        release: the bytes of `release.sig`, likewise.
        provenance: the bytes of `provenance.sigstore.json`, likewise.
    """

    keys: tuple[Verifier, ...] = ()
    files: bytes | None = None
    release: bytes | None = None
    provenance: bytes | None = None

    @property
    def texts(self) -> tuple[bytes | None, ...]:
        """All of them."""
        return self.files, self.release, self.provenance

    @property
    def are_missing(self) -> bool:
        """Whether nobody has signed the package."""
        return not any(self.texts)


@dataclass(frozen=True)
class Comparison(ABC):
    """What S3 holds of a package, and what lock and code make of it.

    Attributes:
        package: the keys of the package.
        manifest: its members, as lock and code make them.
        record_uri: the latest release record of the package.
        record: its bytes; None if it is too large to be a document.
        documents: the bytes of index, manifest, provenance and bill of materials; None for one that is missing or too large to be a
            document. A release may be without a bill of materials.
        known_etags: ETags that this machine knows of objects of the package, by key (`verified`).
        signatures: what is beside the package of them.
    """

    package: Package
    manifest: Manifest
    record_uri: S3Uri
    record: bytes | None
    documents: Mapping[S3Uri, bytes | None]
    known_etags: Mapping[str, str]
    signatures: Signatures

    @property
    @abstractmethod
    def size(self) -> int:
        """Bytes that the model should have."""

    @property
    @abstractmethod
    def etags(self) -> Mapping[S3Uri, str]:
        """The ETags of the objects of the model, as S3 gives them."""

    @abstractmethod
    def _check_model(self) -> Iterator[Finding]:
        """The objects of the model and the index, by each other and by the other witnesses."""

    def findings(self) -> list[Finding]:
        """Everything in which the witnesses differ."""
        return [
            *self._check_signatures(),
            *self._check_record(),
            *self._check_documents(),
            *self._check_model(),
            *self._check_known_etags(),
        ]

    @cached_property
    def release(self) -> Release | None:
        """The release record; None if it cannot be used."""
        return Release.parse(self.record)

    @cached_property
    def signed(self) -> SignedRelease | None:
        """The release that a key that counts has signed; None if there is none."""
        return known_release(self.signatures.release, self.signatures.keys)

    @property
    def witness(self) -> tuple[Release | None, str]:
        """The release that objects are compared with, the signed one if there is one, and what it is called."""
        return (self.signed.release, _SIGNED) if self.signed else (self.release, _RELEASE)

    def _check_signatures(self) -> Iterator[Finding]:
        """The signatures, by the keys that count, and what they say, by lock and code, and by the document that is signed."""
        if not self.signatures.keys:
            return
        checks = (self._check_signed_files, self._check_signed_release, self._check_signed_provenance)
        for location, data, check in zip(self.package.signature_uris, self.signatures.texts, checks, strict=True):
            if data is None:
                yield _missing(location)
                continue
            try:
                yield from check(location, data)
            except SignatureError as error:
                yield Finding(str(location), str(error))

    def _check_signed_files(self, where: S3Uri, data: bytes) -> Iterator[Finding]:
        signed, _ = oms.signed_files(data, self.signatures.keys)
        expected = {member.path: member.digest.value for member in self.manifest.members}
        for line in oms.differences(signed, expected):
            yield Finding(str(where), line)

    def _check_signed_release(self, where: S3Uri, data: bytes) -> Iterator[Finding]:
        yield from self._check_release(where, signed_release(data, self.signatures.keys).release)

    def _check_signed_provenance(self, where: S3Uri, data: bytes) -> Iterator[Finding]:
        signed, _ = dsse.opened_text(data, self.signatures.keys)
        if signed != self.documents[self.package.provenance_uri]:
            yield Finding(str(where), "what is signed is another document than the provenance.json beside it")

    def _check_record(self) -> Iterator[Finding]:
        """The release record, by lock and code."""
        if self.release is None:
            yield _unreadable(self.record_uri, self.record, releases.VERSION)
            return
        yield from self._check_release(self.record_uri, self.release)
        if self.signed is not None:
            found, expected = self.release, self.signed.release
            yield from _differ(self.record_uri, "the ETag", found.etag, expected.etag, _SIGNED)
            yield from _differ(self.record_uri, "the version", found.version_id, expected.version_id, _SIGNED)

    def _check_release(self, where: S3Uri, release: Release) -> Iterator[Finding]:
        """What a release says of the package, by lock and code."""
        package = self.package
        for what, found, expected in (
            ("the name", release.name, package.name),
            ("the layout", release.format.value, package.format.value),
            ("the manifest", release.manifest_digest, self.manifest.digest),
            ("the SHA-256 of manifest.json", release.documents["manifest.json"], self._manifest_json_digest),
            ("the URI", release.uri, str(package.model_uri)),
            ("the size", release.size, self.size),
        ):
            yield from _differ(where, what, found, expected, _SPEC)

    def _check_documents(self) -> Iterator[Finding]:
        """The documents next to the model: the manifest by lock and code, the others by the release, the signed one if there is one."""
        release, by = self.witness
        for location, data in self.documents.items():
            listed = release.documents.get(location.key.rpartition("/")[2]) if release else None
            if data is None:
                if listed or location != self.package.sbom_uri:
                    yield _unreadable(location, None)
            elif location == self.package.manifest_uri:
                yield from _differ(location, "the SHA-256", Digest.sha256(data), self._manifest_json_digest, _SPEC)
            elif release is not None:
                yield from _differ(location, "the SHA-256", Digest.sha256(data), listed, by)
        yield from self._check_provenance(self.package.provenance_uri)
        yield from self._check_sbom(self.package.sbom_uri)

    def _check_provenance(self, where: S3Uri) -> Iterator[Finding]:
        """What the package was made from, by lock and code."""
        data = self.documents[where]
        if data is None:
            return
        what = "the SHA-256 of the manifest it is about"
        yield from _differ(where, what, provenance.subject(data), self._manifest_json_digest, _SPEC)
        for path in provenance.other_files(data, self.manifest):
            yield Finding(str(where), f"it tells of another {path} than the manifest", path)

    def _check_sbom(self, where: S3Uri) -> Iterator[Finding]:
        """The files that the bill of materials lists, by lock and code."""
        data = self.documents[where]
        if data is None:
            return
        yield from _differ(where, "the manifest it is of", sbom.subject(data), str(self.manifest.digest), _SPEC)

    def _check_index(self, index: Index | Files | None) -> Iterator[Finding]:
        """The manifest in the index, by lock and code."""
        where = self.package.index_uri
        data = self.documents[where]
        if index is not None:
            yield from _differ(where, "the manifest", index.manifest.digest, self.manifest.digest, _SPEC)
        elif data is not None:
            yield _unreadable(where, data, indexes.VERSION)

    def _check_known_etags(self) -> Iterator[Finding]:
        """The objects, by what this machine knows of them: nobody who can write to S3 can write there.

        A signature says more: the package may have been published again since, by another machine.
        """
        if self.signed is not None:
            return
        for location, etag in self.etags.items():
            expected = self.known_etags.get(location.key, etag)
            yield from _differ(location, "the ETag", etag, expected, "the memory of this machine")

    @cached_property
    def _manifest_json_digest(self) -> Digest:
        return Digest.sha256(self.manifest.text().encode())


@dataclass(frozen=True)
class ArchiveComparison(Comparison):
    """What S3 holds of a package that is one archive.

    Attributes:
        archive: what S3 says of the archive; None if it is missing.
    """

    archive: ObjectInfo | None

    @cached_property
    def layout(self) -> Layout:
        """The offsets of everything in the archive as it should be."""
        return Layout.of(self.manifest.members)

    @property
    def size(self) -> int:
        """Bytes of the archive as it should be."""
        return self.layout.size

    @property
    def etags(self) -> Mapping[S3Uri, str]:
        """The ETag of the archive."""
        return {self.package.model_uri: self.archive.etag} if self.archive else {}

    def _check_model(self) -> Iterator[Finding]:
        archive, model_uri = self.archive, self.package.model_uri
        release, by = self.witness
        index = Index.parse(self.documents[self.package.index_uri])
        yield from self._check_index(index)
        if archive is None:
            yield _missing(model_uri)
            return
        yield from _differ(model_uri, "the size", archive.size, self.size, _SPEC)
        if release is not None:
            yield from _differ(model_uri, "the ETag", archive.etag, release.etag, by)
            yield from _differ(model_uri, "the version", archive.version_id, release.version_id, by)
            for name, value in (release.checksums or {}).items():
                yield from _differ(model_uri, f"the {name}", archive.checksums.get(name), value, by)
        if index is not None and index.manifest == self.manifest:
            yield from _differ(model_uri, "the ETag", archive.etag, index.etag, _INDEX)
            # From the checksums of the contents and the arithmetic of the layout, whatever the index says of the whole.
            whole = archive_sums(self.layout, index.sums, tar_crc(self.layout, [s.plain.crc32 for s in index.sums]))
            for name in (CRC64NVME, CRC32):
                claimed = index.whole.value(name)
                yield from _differ(self.package.index_uri, f"the {name}", claimed, whole.value(name), _CONTENTS)
            for name, value in archive.checksums.items():
                yield from _differ(model_uri, f"the {name}", value, whole.value(name), _CONTENTS)


@dataclass(frozen=True)
class PrefixComparison(Comparison):
    """What S3 holds of a package that is one object per file.

    Attributes:
        objects: all objects under the prefix, by path.
    """

    objects: Mapping[str, ObjectSummary]

    @property
    def size(self) -> int:
        """Bytes of all files as they should be."""
        return self.manifest.size

    @property
    def etags(self) -> Mapping[S3Uri, str]:
        """The ETags of all objects under the prefix."""
        return {listed.location: listed.etag for listed in self.objects.values()}

    def _check_model(self) -> Iterator[Finding]:
        files, model_uri = Files.parse(self.documents[self.package.index_uri]), self.package.model_uri
        yield from self._check_index(files)
        etags = {file.member.path: file.etag for file in files.files} if files else {}
        for member in self.manifest.members:
            location, listed = model_uri.child(member.path), self.objects.get(member.path)
            if listed is None:
                yield _missing(location)
                continue
            yield from _differ(location, "the size", listed.size, member.size, _SPEC)
            if member.path in etags:
                yield from _differ(location, "the ETag", listed.etag, etags[member.path], _INDEX)
        for path in sorted(self.objects.keys() - {member.path for member in self.manifest.members}):
            yield Finding(
                str(self.objects[path].location),
                "it is no file of the package, and SageMaker loads whatever lies under the prefix",
            )


def _differ(where: S3Uri, what: str, found: object, expected: object, witness: str) -> Iterator[Finding]:
    if found != expected:
        yield Finding(str(where), f"{what} is {found or 'missing'}, by {witness} it is {expected or 'none'}")


def _missing(where: S3Uri) -> Finding:
    return Finding(str(where), "it is missing", missing=True)


def _unreadable(where: S3Uri, data: bytes | None, version: int = 0) -> Finding:
    """What is wrong with a document that is not one of `version`."""
    if data is None:
        return Finding(str(where), "it is missing, or too large to be read", missing=True)
    found = version_of(data)
    if found is not None and found < version:
        return Finding(
            str(where), f"it is of version {found}, which says too little; needed is {version}", outdated=True
        )
    return Finding(str(where), "it is damaged, or another program wrote it")
