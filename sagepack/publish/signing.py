"""Signing a package that is published already, with permission to read it and to write its signatures, and no more.

Whoever signs vouches for every byte and every document, so all of them are compared with lock and code first: the documents with
each other and with what S3 says; the bytes by what this machine remembers of them, by a signature that counts, or by reading them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sagepack.aws.s3 import ObjectRef
from sagepack.package.archive.crc32 import tar_crc
from sagepack.package.attest import provenance, sbom
from sagepack.publish.checksums import FramedChecksums, archive_sums
from sagepack.publish.documents import Files, Index, StoredFile
from sagepack.publish.remote_check import ArchiveComparison, Finding, PackageError, PrefixComparison
from sagepack.publish.remote_read import FIX, UnsignedError, verify
from sagepack.publish.signatures import sign
from sagepack.publish.upload.proof import read_archive, read_file
from sagepack.workers import worker_pool

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from sagepack.aws.s3 import S3
    from sagepack.digest import Digest
    from sagepack.package.attest.dsse import Signer, Verifier
    from sagepack.package.manifest import Manifest, Member
    from sagepack.progress import Progress
    from sagepack.publish.keys import Package
    from sagepack.publish.remote_check import Comparison
    from sagepack.publish.remote_read import Checked, Signature
    from sagepack.publish.verified import VerifiedObjects

_THREADS = 8


@dataclass(frozen=True)
class SignedPackage:
    """A package that is signed.

    Attributes:
        before: who had signed it; None if nobody had who counts.
        changed: whether it was signed now, and not before by the same key.
        bytes_read: of the model, to be sure of it.
    """

    before: Signature | None
    changed: bool
    bytes_read: int = 0


@dataclass(frozen=True)
class PackageSigner:
    """Signs one package.

    Attributes:
        store: S3.
        package: its keys.
        manifest: its files, as lock and code make them.
        provenance: the document about how it was made, as lock and code make it.
        sbom: the bill of materials, likewise.
        verified: what this machine knows of objects in S3.
        progress: is told what is read.
    """

    store: S3
    package: Package
    manifest: Manifest
    provenance: bytes
    sbom: bytes
    verified: VerifiedObjects
    progress: Progress

    def sign(self, signer: Signer, keys: Sequence[Verifier], now: datetime) -> SignedPackage:
        """Sign the package, unless this signer has.

        Args:
            signer: signs.
            keys: what one of them has signed is believed.
            now: the time (UTC).

        Raises:
            NotPublishedError: there is nothing to sign.
            PackageError: the package is not what lock and code make; nothing was signed.
            UserError, RemoteError: the key cannot be used, or S3 does not let this caller read or write.
        """
        signed, size = self._signed_by(keys), 0
        before = signed.signature if signed else None
        if before is not None and before.hint == signer.public.hint:
            return SignedPackage(before, changed=False)
        if signed is not None and signed.comparison.signed is not None:
            # What was verified is signed, and not what S3 holds a moment later.
            comparison, release = signed.comparison, signed.comparison.signed.release
        else:
            # What this machine knows of an earlier upload contradicts nothing here: the bytes of another one are read.
            comparison = verify(self.store, self.package, self.manifest, self.progress).comparison
            size = self._prove(comparison)
            if comparison.release is None:
                raise TypeError("a release record that can be used was just compared")
            release = comparison.release
        document = comparison.documents[self.package.provenance_uri] or b""
        for location, data in sign(self.package, self.manifest, release, document, signer, now).items():
            if not self.store.put(location, data, if_absent=True):
                self.store.put(location, data)
        return SignedPackage(before, changed=True, bytes_read=size)

    def _signed_by(self, keys: Sequence[Verifier]) -> Checked | None:
        """What was compared of a package that somebody who counts has signed as it is; None if nobody has."""
        try:
            return verify(self.store, self.package, self.manifest, self.progress, keys=keys)
        except (UnsignedError, PackageError):
            return None

    def _prove(self, comparison: Comparison) -> int:
        """Compare index, provenance and bill of materials with what they should be, and the bytes with their digests; returns how many were read.

        Raises:
            PackageError: something differs.
        """
        match comparison:
            case ArchiveComparison():
                index, size = self._archive_index(comparison)
            case PrefixComparison():
                index, size = self._prefix_index(comparison)
            case _:
                raise TypeError(type(comparison))
        found = []
        if comparison.documents[self.package.index_uri] != index:
            message = "its checksums are not those of the bytes"
            found.append(Finding(str(self.package.index_uri), message))
        if not provenance.same_build(comparison.documents[self.package.provenance_uri] or b"", self.provenance):
            message = "it tells of another build than lock and code make"
            found.append(Finding(str(self.package.provenance_uri), message))
        bill = comparison.documents[self.package.sbom_uri]
        if bill is not None and not sbom.same_contents(bill, self.sbom):
            found.append(Finding(str(self.package.sbom_uri), "it lists something else than lock and code make"))
        if found:
            raise PackageError(found, fix=FIX)
        return size

    def _archive_index(self, comparison: ArchiveComparison) -> tuple[bytes, int]:
        """The index of the archive, from what this machine knows of its bytes, or from reading them; and how many were read."""
        location, head, layout, size = self.package.model_uri, comparison.archive, comparison.layout, 0
        if head is None:
            raise TypeError("an archive that is there was just compared")
        known = self.verified.of(self.package.folder).get(location.key)
        sums: Mapping[Digest, FramedChecksums]
        if (
            known
            and (known.etag, known.manifest_digest) == (head.etag, self.manifest.digest)
            and not known.missing(0, head.size)
        ):
            sums = known.sums
        else:
            size, seen = head.size, ObjectRef(location, head.etag)
            with self.progress.bar("reading what is to be signed", size) as add:
                sums = read_archive(self.store, seen, layout, self.manifest, ((0, size),), add)
        ordered = tuple(sums.get(member.digest, FramedChecksums()) for member in self.manifest.members)
        whole = archive_sums(layout, ordered, tar_crc(layout, [each.plain.crc32 for each in ordered]))
        return Index(self.manifest, ordered, head.etag, whole).text(), size

    def _prefix_index(self, comparison: PrefixComparison) -> tuple[bytes, int]:
        """The list of the files, likewise."""
        known, read = self.verified.of(self.package.folder), []

        def stored(member: Member) -> StoredFile:
            seen = comparison.objects[member.path]
            remembered = known.get(seen.location.key)
            if remembered and remembered.etag == seen.etag and member.digest in remembered.sums:
                return StoredFile(member, seen.etag, remembered.sums[member.digest].framed)
            read.append(member.size)
            return StoredFile(member, seen.etag, read_file(self.store, ObjectRef(seen.location, seen.etag), member))

        with worker_pool(_THREADS, "read") as pool, self.progress.activity("reading what is to be signed"):
            files = Files(tuple(pool.map(stored, self.manifest.members)))
        return files.text(), sum(read)
