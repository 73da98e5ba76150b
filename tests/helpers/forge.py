"""What an attacker puts into S3: packages whose documents name genuine digests beside other bytes."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from sagepack.package.archive import framing
from sagepack.package.archive.crc32 import crc32, tar_crc
from sagepack.publish.checksums import Checksums, ContentChecksum, FramedChecksums
from sagepack.publish.documents import Files, Index, Pointer, StoredFile
from sagepack.publish.keys import Package, PackageFormat, pointer_uri

if TYPE_CHECKING:
    from sagepack.aws.s3 import S3, S3Uri
    from tests.helpers.publishing import Tree

_POINTED = 5 << 20


def content_sums(data: bytes) -> FramedChecksums:
    """The true sums of a content."""
    return FramedChecksums(Checksums.of(framing.frame(data)), ContentChecksum(crc32(data), len(data)))


def archive_bytes(tree: Tree, contents: dict[str, bytes]) -> bytes:
    """The archive of a tree with other contents of the same sizes."""
    members = tree.manifest.members

    def opener(index: int, offset: int, length: int) -> list[bytes]:
        return [contents[members[index].path][offset : offset + length]]

    crc = tar_crc(tree.layout, [crc32(contents[member.path]) for member in members])
    return b"".join(bytes(piece) for piece in tree.layout.read(0, tree.layout.size, opener, crc))


def forge_archive(
    store: S3, target: S3Uri, name: str, tree: Tree, forged: dict[str, bytes], *, data: bytes | None = None
) -> Package:
    """An archive with `forged` contents under a manifest, index and pointers that name those of the tree.

    Args:
        store: S3.
        target: the attacker's target, or one that he shares.
        name: the attacker's name.
        tree: the genuine package.
        forged: other bytes of the same size, by path; the index has their true checksums.
        data: the bytes of the archive, if they are not those.
    """
    contents = {**tree.files, **forged}
    package = Package(target, name, tree.manifest.digest)
    archive = archive_bytes(tree, contents) if data is None else data
    store.put(package.model_uri, archive)
    head = store.head(package.model_uri)
    assert head is not None
    sums = tuple(content_sums(contents[member.path]) for member in tree.manifest.members)
    store.put(package.index_uri, Index(tree.manifest, sums, head.etag, Checksums.of(archive)).text())
    _announce(store, package, tree)
    return package


def forge_files(store: S3, target: S3Uri, name: str, tree: Tree, forged: dict[str, bytes]) -> Package:
    """The same as files of layout `prefix`."""
    package = Package(target, name, tree.manifest.digest, PackageFormat.PREFIX)
    files = []
    for member in tree.manifest.members:
        data = {**tree.files, **forged}[member.path]
        store.put(package.model_uri.child(member.path), data)
        head = store.head(package.model_uri.child(member.path))
        assert head is not None
        files.append(StoredFile(member, head.etag, Checksums.of(data)))
    store.put(package.index_uri, Files(tuple(files)).text())
    _announce(store, package, tree)
    return package


def _announce(store: S3, package: Package, tree: Tree) -> None:
    store.put(package.manifest_uri, tree.manifest.text().encode())
    for member in tree.manifest.members:
        if member.size >= _POINTED:
            found = pointer_uri(package.target, member.digest, package.format)
            store.put(found, Pointer(member.digest, package.path).text())
    store.put(package.release_uri(datetime(2030, 1, 1, tzinfo=timezone.utc)), b"{}")


def lie(store: S3, package: Package, path: str, sums: FramedChecksums) -> None:
    """Make the index of a package say other sums of one content."""
    index = Index.parse(store.read(package.index_uri))
    assert index is not None
    members = index.manifest.members
    changed = tuple(sums if m.path == path else s for m, s in zip(members, index.sums, strict=True))
    store.put(package.index_uri, replace(index, sums=changed).text())
