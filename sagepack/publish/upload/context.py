"""What everything that uploads shares, and what an upload comes to."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sagepack.aws.s3 import CRC32, CRC64NVME
from sagepack.package.archive.layout import FORMAT
from sagepack.publish.upload.sources import Tally
from sagepack.publish.upload.unit_text import VERSION, UnitMember, UnitTask
from sagepack.version import __version__
from sagepack.workers import worker_pool

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Executor
    from contextlib import AbstractContextManager
    from pathlib import Path

    from sagepack.aws.s3 import S3, MultipartHandle, ObjectInfo, ObjectRef, S3Uri
    from sagepack.digest import Digest
    from sagepack.package.manifest import Member
    from sagepack.progress import Progress
    from sagepack.publish.checksums import FramedChecksums
    from sagepack.publish.sealed import Algorithm
    from sagepack.publish.upload.sources import Source
    from sagepack.publish.upload.unit_text import Services
    from sagepack.publish.upload.units import Unit
    from sagepack.publish.verified import VerifiedObjects

_BUFFERS = 160 << 20  # bytes that a worker holds of parts, if two parts are not more


def parts_at_a_time(most: int, largest: int) -> int:
    """How many parts a worker makes at a time, all of which it holds: fewer than `most` where the largest has many bytes."""
    return max(min(most, 2), min(most, _BUFFERS // largest))


@dataclass(frozen=True)
class UnitWorkers:
    """Processes, here or on other machines, that make the units of an upload (`units`).

    Attributes:
        executor: opens whatever runs the work. It is called only where there is a unit to make. A unit may be made twice,
            at once or one after the other, anywhere and in any order.
        make: the importable function of text to text that a worker runs.
        services: how a worker reaches S3 and the Hub.
        hub: path in the model's repository of each content that workers can fetch.
        files: where contents lie, for workers on this machine.
        count: units that are made at a time, if that is known.
        connections: parts that a worker makes at a time, fewer where they are large.
        fetched: counts bytes that workers fetched from the Hub.
    """

    executor: Callable[[], AbstractContextManager[Executor]]
    make: Callable[[str], str]
    services: Services
    hub: Mapping[Digest, str]
    files: Mapping[Digest, Path] = field(default_factory=dict)
    count: int | None = None
    connections: int = 4
    fetched: Tally = field(default_factory=Tally)

    @property
    def readable(self) -> frozenset[Digest]:
        """The contents that workers can read by themselves."""
        return frozenset(self.hub) | frozenset(self.files)

    def content(
        self, member: Member, stored: tuple[ObjectRef, int] | None = None, known: FramedChecksums | None = None
    ) -> UnitMember:
        """A file as a worker gets it.

        Args:
            member: the file.
            stored: where its content lies in S3.
            known: its checksums, if S3 copies the rest of it.
        """
        file, hub = self.files.get(member.digest), self.hub.get(member.digest)
        return UnitMember.of(member, file=file, stored=stored, hub=hub, known=known)

    def task(
        self,
        unit: Unit,
        upload: MultipartHandle,
        record: S3Uri,
        algorithm: Algorithm,
        members: Sequence[UnitMember],
        *,
        origin: int = 0,
        is_file: bool = False,
    ) -> UnitTask:
        """A unit as a worker gets it; the arguments are the attributes of `UnitTask`."""
        lengths = tuple(part.length for part in unit.parts)
        return UnitTask(
            version=VERSION,
            sagepack=__version__,
            archive=FORMAT,
            services=self.services,
            upload=(upload.location.bucket, upload.location.key, upload.id),
            record=record.key,
            algorithm=algorithm,
            connections=parts_at_a_time(self.connections, max(lengths)),
            first=unit.first,
            offset=unit.offset,
            lengths=lengths,
            origin=origin,
            members=tuple(members),
            is_file=is_file,
        )


@dataclass(frozen=True)
class UploadContext:
    """What every upload of a publication shares.

    Attributes:
        store: S3.
        sources: where contents come from that S3 does not copy, the best first.
        journal_dir: folder of the journals of the package.
        verified: what this machine knows of objects in S3; what an upload learns is added.
        progress: is notified of every byte that is in its place.
        documents: what is written with the index, as soon as the model is there.
        workers: parts, or small files, at a time.
        units: who makes the units of an archive; None: all of it is made by threads of this process.
        must_prove: whether somebody is about to sign what is uploaded: an object that is not known to be right from what this run sent
            and had S3 copy is read first.
        serves: whether a document that is at an address already serves as well as the one that would be written there.
        algorithms: checksums to try, the best first.
        overwritten: what somebody else had written and this upload wrote again.
    """

    store: S3
    sources: Sequence[Source]
    journal_dir: Path
    verified: VerifiedObjects
    progress: Progress
    documents: Mapping[S3Uri, bytes]
    workers: int = 8
    units: UnitWorkers | None = None
    must_prove: bool = False
    serves: Callable[[S3Uri, bytes], bool] = lambda _location, _there: False
    algorithms: tuple[str, ...] = (CRC64NVME, CRC32)
    overwritten: list[S3Uri] = field(default_factory=list)

    def write(self, documents: Mapping[S3Uri, bytes]) -> dict[S3Uri, bytes]:
        """Write documents, all at the same time, overwrite those that are outdated or damaged, and return what is there then."""
        with worker_pool(self.workers, "documents") as pool:
            return dict(zip(documents, pool.map(self._write, documents, documents.values()), strict=True))

    def _write(self, location: S3Uri, document: bytes) -> bytes:
        """Write a document. The first request is conditional, because the bucket's policy may allow only conditional writes."""
        if self.store.put(location, document, if_absent=True):
            return document
        there = self.store.read(location)
        if there is not None and (there == document or self.serves(location, there)):
            return there
        self.store.put(location, document)
        self.overwritten.append(location)
        return document


@dataclass(frozen=True)
class Uploaded:
    """A model that is completely in S3, with its index and the documents of the context.

    Attributes:
        documents: what is beside it now, its index among them.
        archive: what S3 says of it; None for a prefix.
        sent, copied: bytes that this run sent, and had S3 copy.
    """

    documents: Mapping[S3Uri, bytes]
    archive: ObjectInfo | None
    sent: int
    copied: int
