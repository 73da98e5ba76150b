"""Whether a signed package may serve: what whoever deploys, wakes, copies, exports or runs it asks before. Only reads.

A signed release has the ETag of the archive and the SHA-256 of every document and signature beside it. S3 tells both without
sending the object (HeadObject): it has compared the checksum with the bytes when they were written, and gives one that somebody claims
to no other bytes. So the release is read, the rest is asked about, and the answer costs the same for a package of any number of
files. Only of a prefix the list of its files is read as well, which has the ETag of each.

This says "all is as it was signed", or nothing: then `remote_read.verify` reads everything and tells what differs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sagepack.aws.s3_types import ChangedError
from sagepack.progress import Silent
from sagepack.publish import remote_read
from sagepack.publish.documents import MOST_FILES, Files
from sagepack.publish.keys import SBOM, PackageFormat
from sagepack.publish.release import Release
from sagepack.publish.remote_check import PackageError
from sagepack.publish.signatures import known_release
from sagepack.workers import worker_pool

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sagepack.aws.s3 import S3, ObjectInfo, ObjectSummary, S3Uri
    from sagepack.package.attest.dsse import Verifier
    from sagepack.package.manifest import Manifest
    from sagepack.publish.keys import Package
    from sagepack.publish.signatures import SignedRelease
    from sagepack.publish.verified import VerifiedObjects

_THREADS = 10  # so many requests are independent of each other


def require_signed(
    store: S3,
    package: Package,
    manifest: Callable[[], Manifest],
    keys: Sequence[Verifier],
    verified: VerifiedObjects | None = None,
) -> SignedRelease:
    """The release that a key that counts has signed, and that everything in S3 is as it says.

    Args:
        store: S3.
        package: the keys of the package, with the digest that its manifest must have.
        manifest: gives the files; asked for only if something is not as it was signed.
        keys: those that count.
        verified: what this machine knows of objects in S3, which counts where no signature does.

    Raises:
        NotPublishedError: the package is not published.
        UnsignedError: it is not signed.
        PackageError: it is not what was signed; with all differences.
    """
    if not keys:
        raise ValueError("without a key that counts nothing can be verified")
    signed = _signed_as_it_is(store, package, keys)
    if signed is None:
        # Something differs; or a document was written by a program that sends S3 no SHA-256, or by two signers at once.
        checked = remote_read.verify(store, package, manifest(), Silent(), verified=verified, keys=keys)
        signed = checked.comparison.signed
    if signed is None:
        raise TypeError("a signed release was just verified")
    return signed


def is_signed(store: S3, package: Package, manifest: Callable[[], Manifest], keys: Sequence[Verifier]) -> bool:
    """Whether a key that counts has signed the package as it is. Arguments as for `require_signed`."""
    try:
        require_signed(store, package, manifest, keys)
    except (remote_read.NotPublishedError, remote_read.UnsignedError, PackageError):
        return False
    return True


def signed_etags(store: S3, package: Package, release: Release) -> dict[str, str]:
    """The ETags of the objects of the model, by key, as a release that was just verified has them.

    Raises:
        ChangedError: the list of its files was replaced since.
    """
    if release.etag is not None:
        return {package.model_uri.key: release.etag}
    index = store.read(package.index_uri)
    files = Files.parse(index)
    if files is None or not release.lists(index or b""):
        raise ChangedError("it was replaced after it was verified", package.index_uri)
    return {package.model_uri.child(file.member.path).key: file.etag for file in files.files}


def _signed_as_it_is(store: S3, package: Package, keys: Sequence[Verifier]) -> SignedRelease | None:
    """The signed release, if everything in S3 is as it says; None otherwise."""
    with worker_pool(_THREADS, "verify") as pool:
        signature = pool.submit(store.read, package.release_signature_uri)
        beside = {uri: pool.submit(store.head, uri) for uri in _beside(package)}
        looked = pool.submit(_look_at_model, store, package)
        signed = known_release(signature.result(), keys)
        if signed is None:
            return None
        record = pool.submit(store.read, package.release_uri(signed.release.released))
        heads = {uri.key.rpartition("/")[2]: head.result() for uri, head in beside.items()}
        is_whole = all(_is_signed(name, head, signed) for name, head in heads.items())
        as_signed = is_whole and _is_of(signed.release, package) and looked.result().is_as_signed(signed)
        return signed if as_signed and Release.parse(record.result()) == signed.release else None


def _beside(package: Package) -> tuple[S3Uri, ...]:
    """The documents and signatures that S3 is asked about, and that need not be read."""
    index = (package.index_uri,) if package.format is PackageFormat.ARCHIVE else ()
    documents = (*index, package.manifest_uri, package.provenance_uri, package.sbom_uri)
    return (*documents, package.files_signature_uri, package.provenance_signature_uri)


def _is_signed(name: str, head: ObjectInfo | None, signed: SignedRelease) -> bool:
    """Whether an object beside the model has the bytes that were signed; only the bill of materials may be missing."""
    expected = signed.beside.get(name)
    if head is None:
        return name == SBOM and expected is None
    return head.sha256 is not None and head.sha256 == expected


def _is_of(release: Release, package: Package) -> bool:
    """Whether a release is of this package, at this address."""
    said = release.name, release.format, release.manifest_digest, release.uri
    return said == (package.name, package.format, package.digest, str(package.model_uri))


@dataclass(frozen=True)
class _Archive:
    """What S3 says of an archive.

    Attributes:
        head: the answer; None if there is no archive.
    """

    head: ObjectInfo | None

    def is_as_signed(self, signed: SignedRelease) -> bool:
        """Whether it is the archive that was signed."""
        head, release = self.head, signed.release
        if head is None:
            return False
        said, found = (
            (release.size, release.etag, release.version_id),
            (head.size, head.etag, head.version_id),
        )
        sums = (release.checksums or {}).items()
        return said == found and all(head.checksums.get(name) == value for name, value in sums)


@dataclass(frozen=True)
class _Prefix:
    """What S3 holds under a prefix.

    Attributes:
        package: the keys.
        index: the bytes of the list of files; None if it is missing.
        objects: everything under the prefix, by path.
    """

    package: Package
    index: bytes | None
    objects: Mapping[str, ObjectSummary]

    def is_as_signed(self, signed: SignedRelease) -> bool:
        """Whether these are the files that were signed, no more and no less."""
        files = Files.parse(self.index)
        if files is None or not signed.release.lists(self.index or b"") or files.manifest.digest != self.package.digest:
            return False
        said = {file.member.path: (file.member.size, file.etag) for file in files.files}
        found = {path: (listed.size, listed.etag) for path, listed in self.objects.items()}
        return said == found


def _look_at_model(store: S3, package: Package) -> _Archive | _Prefix:
    """Ask S3 about the model."""
    if package.format is PackageFormat.ARCHIVE:
        return _Archive(store.head(package.model_uri))
    with worker_pool(1, "index") as pool:
        index = pool.submit(store.read, package.index_uri)
        objects = remote_read.objects_below(store, package, MOST_FILES + 1)
        return _Prefix(package, index.result(), objects)
