"""Whether a package in S3 is what it should be: by a few small requests, or by reading every byte of it. Only reads.

The first way costs the same for a package of any size; `remote_check` says what it can find and what it cannot. The second
reads what SageMaker would load, from the objects whose ETags were seen, and hashes it.
"""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from sagepack.aws.s3 import ObjectRef
from sagepack.errors import UserError
from sagepack.package.archive import reader
from sagepack.publish.keys import PackageFormat, released_package, releases_uri
from sagepack.publish.remote_check import ArchiveComparison, Finding, PackageError, PrefixComparison, Signatures
from sagepack.workers import worker_pool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime
    from threading import Event

    from sagepack.aws.s3 import S3, ObjectSummary, S3Uri
    from sagepack.package.attest.dsse import Verifier
    from sagepack.package.manifest import Manifest, Member
    from sagepack.progress import Progress
    from sagepack.publish.keys import Package
    from sagepack.publish.remote_check import Comparison
    from sagepack.publish.verified import VerifiedObjects

_THREADS = 8
_PAGE = 1000  # keys in an answer to ListObjectsV2
FIX = "find out who wrote there; then delete what is named above and run `invoke upload`, which writes it again"
_SIGN = "`invoke sign` reads every byte of it and signs it; or remove trust.verify, and nobody asks for signatures"
SIGN_AGAIN = (
    "find out who signed there; `invoke sign` compares all of it with lock and code, and signs it again. If this key or "
    "identity may sign, add it to trust.verify"
)
_OUTDATED = "`invoke verify --remote --deep` reads the package instead; or delete the record and run `invoke upload`"


class NotPublishedError(UserError):
    """No release record names the package."""


class UnsignedError(UserError):
    """Nothing is wrong with a package but that nobody has signed it."""


@dataclass(frozen=True)
class Signature:
    """Who signed the release of a package.

    Attributes:
        key: the file of the public key, or of the certificate that counts.
        hint: SHA-256 of the signer's certificate if it signed with one, or else of the PEM text of the public key; in hex.
        signed: when, UTC, as the signer says.
    """

    key: str
    hint: str
    signed: datetime


@dataclass(frozen=True)
class Checked:
    """What was checked of a package in which no difference was found.

    Attributes:
        record: URI of the release record.
        deep: whether every byte was read.
        notes: documents of older versions that were not compared.
        requests: that were sent, without retries.
        bytes_read: of documents and objects.
        signature: who signed it; None if that does not matter, since there are no keys that count.
        comparison: what was compared.
    """

    record: S3Uri
    deep: bool
    notes: tuple[str, ...]
    requests: int
    bytes_read: int
    signature: Signature | None
    comparison: Comparison


def verify(
    store: S3,
    package: Package,
    manifest: Manifest,
    progress: Progress,
    *,
    verified: VerifiedObjects | None = None,
    keys: Sequence[Verifier] = (),
    deep: bool = False,
) -> Checked:
    """Check what S3 holds of a package.

    Args:
        store: S3, with the write options of the spec.
        package: the keys of the package.
        manifest: its members, as lock and code make them.
        progress: is notified of bytes of the model.
        verified: what this machine knows of objects in S3.
        keys: if there are any, one of them must have signed the package.
        deep: also read and hash every byte of the model.

    Raises:
        NotPublishedError: the package is not published.
        UnsignedError: it must be signed and is not; nothing else is wrong with it.
        PackageError: it is not what it should be; with all differences.
        ChangedError: an object was replaced while it was read.
    """
    known: dict[str, str] = {}
    if verified is not None and not deep:  # reading the bytes proves more than a known ETag
        known = {key: value.etag for key, value in verified.of(package.folder).items()}
    comparison, requests = _look(store, package, manifest, known, tuple(keys))
    findings, signatures = comparison.findings(), comparison.signatures
    texts = (comparison.record, *comparison.documents.values(), *signatures.texts)
    bytes_read = sum(len(data) for data in texts if data)
    if deep:
        if isinstance(comparison, ArchiveComparison):
            reading = _read_archive(store, comparison, progress)
        else:
            reading = _read_files(store, comparison, progress)
        findings += reading.findings
        requests, bytes_read = requests + reading.requests, bytes_read + reading.bytes_read
    outdated = [finding for finding in findings if finding.outdated]
    # An outdated document says too little to compare anything with it; the bytes themselves were compared.
    wrong = [finding for finding in findings if not (deep and finding.outdated)]
    where = {finding.where for finding in wrong}
    of_signatures = set(map(str, package.signature_uris))
    if keys and signatures.are_missing and where == of_signatures:
        raise UnsignedError("the package is not signed", where=str(package.model_uri), fix=_SIGN)
    if wrong:
        fix = _OUTDATED if len(wrong) == len(outdated) else SIGN_AGAIN if where <= of_signatures else FIX
        raise PackageError(wrong, fix=fix)
    notes = tuple(map(str, outdated))
    signed = comparison.signed
    signature = Signature(signed.key.name, signed.key.hint, signed.signed) if signed else None
    return Checked(comparison.record_uri, deep, notes, requests, bytes_read, signature, comparison)


def _look(
    store: S3,
    package: Package,
    manifest: Manifest,
    known_etags: Mapping[str, str],
    keys: tuple[Verifier, ...],
) -> tuple[ArchiveComparison | PrefixComparison, int]:
    """Look at what S3 holds of a package, in two rounds of requests; also returns how many requests these were.

    Raises:
        NotPublishedError: no release record names the package.
    """
    with worker_pool(_THREADS, "verify") as pool:
        records = pool.submit(_latest_record, store, package)
        head = objects = None
        if package.format is PackageFormat.ARCHIVE:
            head = pool.submit(store.head, package.model_uri)
        else:
            objects = pool.submit(objects_below, store, package, len(manifest.members) + _PAGE)
        uris = (package.index_uri, package.manifest_uri, package.provenance_uri, package.sbom_uri)
        signature_uris = package.signature_uris if keys else ()
        read = {uri: pool.submit(store.read, uri) for uri in (*uris, *signature_uris)}
        record_uri, requests = records.result()
        if record_uri is None:
            where = str(package.model_uri)
            raise NotPublishedError("the package is not published", where=where, fix="run `invoke upload`")
        record = store.read(record_uri)
        requests += 1 + len(read)
        documents = {uri: future.result() for uri, future in read.items()}
        signatures = Signatures(keys, *(documents.pop(uri) for uri in signature_uris))
        witnesses = (record_uri, record, documents, known_etags, signatures)
        if objects is not None:
            found = objects.result()
            requests += -(-len(found) // _PAGE)
            return PrefixComparison(package, manifest, *witnesses, found), requests
        archive = head.result() if head else None
        return ArchiveComparison(package, manifest, *witnesses, archive), requests + 1


def _latest_record(store: S3, package: Package) -> tuple[S3Uri | None, int]:
    """The latest release record of a package, and the number of requests that finding it took."""
    count, latest = 0, None
    for listed in store.list(releases_uri(package.target, package.name).child("")):  # in the order of time
        count += 1
        if released_package(listed.location, package.format) == package.digest.short:
            latest = listed.location
    return latest, max(1, -(-count // _PAGE))


def objects_below(store: S3, package: Package, most: int) -> dict[str, ObjectSummary]:
    """The first `most` objects under the prefix of a package, by path."""
    found = islice(store.list(package.model_uri), most)
    return {listed.location.key.removeprefix(package.model_uri.key): listed for listed in found}


@dataclass(frozen=True)
class _Reading:
    """What reading all bytes of a model found, and what it cost."""

    findings: list[Finding]
    requests: int = 0
    bytes_read: int = 0


def _read_archive(store: S3, comparison: ArchiveComparison, progress: Progress) -> _Reading:
    """Read an archive up to the first place that is not as the manifest says."""
    archive, uri = comparison.archive, comparison.package.model_uri
    if archive is None:
        return _Reading([])
    stream, findings = _Stream(store.open(ObjectRef(uri, archive.etag), 0, archive.size)), []
    try:
        reader.verify(stream, comparison.manifest, progress=progress)
    except reader.ArchiveError as error:
        findings = [Finding(str(uri), error.message, error.member, error.offset)]
    return _Reading(findings, 1, stream.bytes_read)


class _Stream:
    """The pieces of an object as a stream that can be read (`reader.Readable`)."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")
        self.bytes_read = 0

    def read(self, size: int, /) -> bytes:
        """Up to `size` bytes; none at the end."""
        if not self._rest:
            self._rest = memoryview(next(self._pieces, b""))
            self.bytes_read += len(self._rest)
        piece, self._rest = self._rest[:size], self._rest[size:]
        return bytes(piece)


def _read_files(store: S3, comparison: PrefixComparison, progress: Progress) -> _Reading:
    """Read all files of a prefix that have the right size; others are known to be wrong already."""
    listed = ((member, comparison.objects.get(member.path)) for member in comparison.manifest.members)
    files = [(member, stored) for member, stored in listed if stored is not None and stored.size == member.size]
    size, stopped = sum(member.size for member, _ in files), threading.Event()
    with progress.bar("checking", size) as add, worker_pool(_THREADS, "verify") as pool:
        try:
            found = list(pool.map(lambda file: _read_file(store, file[0], file[1], add, stopped), files))
        except BaseException:
            stopped.set()
            raise
    return _Reading([finding for finding in found if finding is not None], len(files), size)


def _read_file(
    store: S3, member: Member, listed: ObjectSummary, add: Callable[[int], None], stopped: Event
) -> Finding | None:
    digest = hashlib.sha256()
    for piece in store.open(ObjectRef(listed.location, listed.etag), 0, listed.size):
        if stopped.is_set():
            return None
        digest.update(piece)
        add(len(piece))
    if digest.hexdigest() == member.digest.value:
        return None
    message = f"the content has sha256:{digest.hexdigest()}, the manifest says {member.digest}"
    return Finding(str(listed.location), message, member.path)
