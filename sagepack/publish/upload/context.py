"""What everything that uploads shares, and what an upload comes to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sagepack.aws.s3 import CRC32, CRC64NVME

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sagepack.aws.s3 import S3, ObjectInfo
    from sagepack.progress import Progress
    from sagepack.publish.upload.sources import Source
    from sagepack.publish.verified import VerifiedObjects


@dataclass(frozen=True)
class UploadContext:
    """What every upload of a publication shares.

    Attributes:
        store: S3.
        sources: where contents come from that S3 does not copy, the best first.
        journal_dir: folder of the journals of the package.
        verified: what this machine knows of objects in S3; what an upload learns is added.
        progress: is notified of every byte that is in its place.
        workers: parts, or small files, at a time.
        algorithms: checksums to try, the best first.
    """

    store: S3
    sources: Sequence[Source]
    journal_dir: Path
    verified: VerifiedObjects
    progress: Progress
    workers: int = 8
    algorithms: tuple[str, ...] = (CRC64NVME, CRC32)


@dataclass(frozen=True)
class Uploaded:
    """A model that is completely in S3, without the documents next to it.

    Attributes:
        index: the document that says what it holds, not written yet.
        archive: what S3 says of it; None for a prefix.
        sent, copied: bytes that this run sent, and had S3 copy.
    """

    index: bytes
    archive: ObjectInfo | None
    sent: int
    copied: int
