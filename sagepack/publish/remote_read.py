"""Whether a package in S3 is what it should be: a few small requests, or every byte of it. Reads only.

The first way costs as much for a package of any size; what it can see and what it cannot is said in `remote_check`. The
second reads what SageMaker would load, from the objects whose ETags were seen, and hashes it.
"""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

from sagepack.aws.s3 import ObjectRef
from sagepack.errors import UserError
from sagepack.package.archive import reader
from sagepack.package.archive.layout import Layout
from sagepack.publish.keys import PackageFormat, released_package, releases_uri
from sagepack.publish.remote_check import Finding, PackageError, Stored, compare

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from threading import Event

    from sagepack.aws.s3 import S3, ObjectInfo, ObjectSummary, S3Uri
    from sagepack.package.manifest import Manifest, Member
    from sagepack.progress import Progress
    from sagepack.publish.keys import Package
    from sagepack.publish.verified import VerifiedObjects

_THREADS = 8
_PAGE = 1000  # keys in an answer to ListObjectsV2
_FIX = "find out who wrote there; then delete what is named above and run `invoke upload`, which writes it again"
_OUTDATED = "`invoke verify --remote --deep` reads the package instead; or delete the record and run `invoke upload`"


@dataclass(frozen=True)
class Checked:
    """What was checked of a package that is as it should be.

    Attributes:
        record: the release record.
        deep: whether every byte was read.
        notes: documents of older versions that were not compared.
        requests: that were sent, retries aside.
        bytes_read: of documents and objects.
    """

    record: S3Uri
    deep: bool
    notes: tuple[str, ...]
    requests: int
    bytes_read: int


def verify(
    store: S3,
    package: Package,
    manifest: Manifest,
    progress: Progress,
    *,
    verified: VerifiedObjects | None = None,
    deep: bool = False,
) -> Checked:
    """Check what S3 holds of a package.

    Args:
        store: S3, as the spec wants it used.
        package: the keys of the package.
        manifest: its members, as lock and code make them.
        progress: told of bytes of the model.
        verified: what this machine knows of objects in S3.
        deep: read and hash every byte of the model, too.

    Raises:
        UserError: the package is not published.
        PackageError: it is not what it should be: all that differs.
        ChangedError: an object was replaced while it was read.
    """
    layout = Layout.of(manifest.members)
    stored, requests = look(store, package, manifest)
    if verified is not None and not deep:  # reading the bytes says more than remembering an ETag
        known = verified.of(package.folder)
        stored = replace(stored, remembered={key: value.etag for key, value in known.items()})
    findings = compare(package, manifest, layout, stored)
    bytes_read = sum(len(data) for data in (stored.release, *stored.documents.values()) if data)
    if deep:
        reading = _Reading(store, package, manifest, stored, progress)
        findings += reading.run()
        requests, bytes_read = requests + reading.requests, bytes_read + reading.bytes_read
    outdated = [finding for finding in findings if finding.outdated]
    # An old document says too little to compare anything with it; the bytes themselves were compared.
    wrong = [finding for finding in findings if not (deep and finding.outdated)]
    if wrong:
        raise PackageError(wrong, fix=_OUTDATED if len(wrong) == len(outdated) else _FIX)
    return Checked(stored.record, deep, tuple(map(str, outdated)), requests, bytes_read)


def look(store: S3, package: Package, manifest: Manifest) -> tuple[Stored, int]:
    """What S3 holds of a package, in two rounds of requests, and how many they were.

    Raises:
        UserError: no release record names the package.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        records = pool.submit(_records, store, package)
        objects = pool.submit(_objects, store, package, len(manifest.members) + _PAGE)
        head = pool.submit(store.head, package.model_uri) if package.format is PackageFormat.ARCHIVE else None
        read = {
            at: pool.submit(store.read, at) for at in (package.index_uri, package.manifest_uri, package.provenance_uri)
        }
        record, pages = records.result()
        if record is None:
            raise UserError("the package is not published", where=str(package.model_uri), fix="run `invoke upload`")
        release = store.read(record)
        documents = {location: future.result() for location, future in read.items()}
        stored = Stored(record, release, documents, head.result() if head else None, objects.result())
    pages += -(-len(stored.objects) // _PAGE)
    return stored, pages + len(documents) + (head is not None) + 1


def _records(store: S3, package: Package) -> tuple[S3Uri | None, int]:
    """The latest release record of a package, and the requests that it took to find it."""
    count, latest = 0, None
    for listed in store.list(releases_uri(package.target, package.name).child("")):  # in the order of time
        count += 1
        if released_package(listed.location, package.format) == package.digest.short:
            latest = listed.location
    return latest, max(1, -(-count // _PAGE))


def _objects(store: S3, package: Package, most: int) -> dict[str, ObjectSummary]:
    """The first `most` objects under the prefix of a package of layout `prefix`, by path."""
    if package.format is PackageFormat.ARCHIVE:
        return {}
    found = islice(store.list(package.model_uri), most)
    return {listed.location.key.removeprefix(package.model_uri.key): listed for listed in found}


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


@dataclass
class _Reading:
    """One pass over all bytes of a model."""

    store: S3
    package: Package
    manifest: Manifest
    stored: Stored
    progress: Progress
    requests: int = 0
    bytes_read: int = 0

    def run(self) -> list[Finding]:
        """What is not as the manifest says: the first place in an archive, or every file that has another content."""
        if self.package.format is PackageFormat.PREFIX:
            return self._files()
        return self._archive(self.stored.head) if self.stored.head else []

    def _archive(self, head: ObjectInfo) -> list[Finding]:
        stream = _Stream(self.store.open(ObjectRef(self.package.model_uri, head.etag), 0, head.size))
        try:
            reader.verify(stream, self.manifest, progress=self.progress)
        except reader.ArchiveError as error:
            return [Finding(str(self.package.model_uri), error.message, error.member, error.offset)]
        finally:
            self.requests, self.bytes_read = 1, stream.bytes_read
        return []

    def _files(self) -> list[Finding]:
        # A file of another size is known to be wrong already.
        objects = [(member, self.stored.objects.get(member.path)) for member in self.manifest.members]
        there = [(member, one) for member, one in objects if one is not None and one.size == member.size]
        self.requests, self.bytes_read = len(there), sum(member.size for member, _ in there)
        stopped = threading.Event()
        with self.progress.bar("verify", self.bytes_read) as add, ThreadPoolExecutor(_THREADS) as pool:
            try:
                found = pool.map(lambda one: self._file(one[0], one[1], add, stopped), there)
                return [finding for finding in found if finding is not None]
            except BaseException:
                stopped.set()
                raise

    def _file(
        self, member: Member, listed: ObjectSummary, add: Callable[[int], None], stopped: Event
    ) -> Finding | None:
        digest = hashlib.sha256()
        for piece in self.store.open(ObjectRef(listed.location, listed.etag), 0, listed.size):
            if stopped.is_set():
                return None
            digest.update(piece)
            add(len(piece))
        if digest.hexdigest() == member.digest.value:
            return None
        message = f"the content has sha256:{digest.hexdigest()}, the manifest says {member.digest}"
        return Finding(str(listed.location), message, member.path)
