"""What a large package costs before a byte moves, for n files beside n/2: twice the files should take twice as long.

Two kinds of repository: many small files (200 KB each), and shards of 70 MB that come to 700 GB, planned and not moved. The seconds
are the processor's, so that what else the machine does counts little.
"""

from __future__ import annotations

import hashlib
import statistics
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from benchmarks.publish import serving
from benchmarks.timing import table
from sagepack.aws.s3 import S3, ObjectRef, S3Uri
from sagepack.aws.session import Aws, AwsConnection
from sagepack.digest import Digest, hash_file
from sagepack.hub.cache import RepoCache
from sagepack.hub.cache_status import scan_cache
from sagepack.hub.hash_cache import HashCache
from sagepack.package.archive.layout import Layout
from sagepack.package.lock import Lock, LockedFile
from sagepack.package.manifest import Manifest, Member
from sagepack.package.revision import Revision
from sagepack.progress import Silent
from sagepack.publish.archive_plan import plan_archive
from sagepack.publish.checksums import Checksums, ContentChecksum, FramedChecksums
from sagepack.publish.delta.parts import Copy, Limits, SentPart
from sagepack.publish.documents import Index
from sagepack.publish.keys import Package
from sagepack.publish.observation import ArchiveObservation, Binding, StoredArchive
from sagepack.publish.publisher import publish
from sagepack.publish.upload.sources import LocalFiles
from sagepack.publish.verified import Verified
from sagepack.workers import memory_share

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

REPOSITORIES = {"20,000 files of 200 KB": (20_000, 200_000), "10,000 shards of 70 MB": (10_000, 70_000_000)}
TARGET = S3Uri("bench", "models")
COPY_MS = 300  # how long S3 takes for a copy, a guess


def bench(folder: Path, sizes: Sequence[int], runs: int) -> str:  # noqa: ARG001 - the sizes are above
    """Seconds of each thing, and how many times as long it takes as for half of the files."""
    rows = [["", *(f"{name}{unit}" for name in REPOSITORIES for unit in (", s", "; times half"))]]
    halves = {name: _median(folder, count // 2, size, runs) for name, (count, size) in REPOSITORIES.items()}
    wholes = {name: _median(folder, count, size, runs) for name, (count, size) in REPOSITORIES.items()}
    for step in next(iter(wholes.values())):
        cells = [
            text
            for name, whole in wholes.items()
            for text in (f"{whole[step]:.2f}", f"{whole[step] / halves[name][step]:.1f}")
        ]
        rows.append([step, *cells])
    notes = [f"{name}: {_parts(count, size)}.\n" for name, (count, size) in REPOSITORIES.items()]
    shards = "10,000 shards of 70 MB"
    notes.append(f"{shards}, an edit of the code: {_copies(folder, *REPOSITORIES[shards])}.\n")
    return f"### Growth\n\n{table(rows)}\n\n{''.join(notes)}"


def _median(folder: Path, count: int, size: int, runs: int) -> dict[str, float]:
    taken = [_measure(folder, count, size) for _ in range(runs)]
    return {step: statistics.median(seconds[step] for seconds in taken) for step in taken[0]}


def _measure(folder: Path, count: int, size: int) -> dict[str, float]:
    """Seconds of each step for `count` files of `size` bytes."""
    seconds: dict[str, float] = {}

    def timed(step: str, work: Callable[[], Any]) -> Any:
        begun = time.process_time()
        value = work()
        seconds[step] = time.process_time() - begun
        return value

    found = members(count, size)
    manifest = timed("manifest and its digest", lambda: _digested(Manifest.of(found)))
    timed("layout of the archive", lambda: Layout.of(manifest.members))
    text = timed("lock, written", lambda: _lock(found).text().encode())
    timed("lock, read", lambda: Lock.parse(text, "lock"))
    files, cache = _lock(found).files, RepoCache(folder, Revision("owner/large", "0" * 40))
    timed("survey of an empty cache", lambda: scan_cache(cache, files, HashCache(folder / "hashes")))
    index = _index(manifest)
    document = timed("index, written", index.text)
    timed("index, read", lambda: Index.parse(document))
    nothing = ArchiveObservation(Package(TARGET, "large", manifest.digest))
    timed("plan, nothing in S3", lambda: plan_archive(nothing, manifest, Limits()))
    half = replace(nothing, sources=(_with_every_second(found),))
    timed("plan, every second file in S3", lambda: plan_archive(half, manifest, Limits()))
    unread = replace(nothing, sources=(replace(half.sources[0], binding=Binding.NONE),))
    timed("the same, to be read before it is copied", lambda: plan_archive(unread, manifest, Limits()))
    return seconds


def _parts(count: int, size: int) -> str:
    """The parts when every second file is in S3, in words."""
    found = members(count, size)
    manifest = Manifest.of(found)
    package = Package(TARGET, "large", manifest.digest)
    plan = plan_archive(ArchiveObservation(package, sources=(_with_every_second(found),)), manifest, Limits())
    largest = max(part.length for part in plan.parts if isinstance(part, SentPart))
    return (
        f"every second file in S3 gives {len(plan.parts):,} parts; the largest that is sent has {largest / (1 << 20):.0f} MiB, of which "
        f"a quarter of this memory holds {memory_share() // largest:,}"
    )


def _copies(folder: Path, count: int, size: int) -> str:
    """How long it takes to copy all but the code within S3 where each copy takes its time, in words."""
    with serving(folder / f"copies-{count}") as server:
        code = server.folder / "inference.py"
        code.write_text("# edited\n")
        found = members(count, size)
        manifest, before = (
            Manifest.of([*found, Member("code/inference.py", code.stat().st_size, digest)])
            for digest in (hash_file(code), _digest(0, 2))
        )
        package = Package(TARGET, "large", manifest.digest)
        pointers = frozenset(member.digest for member in manifest.members)
        seen = ArchiveObservation(package, sources=(_stored(before),), indexed=pointers)
        plan = plan_archive(seen, manifest, Limits())
        files = LocalFiles({hash_file(code): code})
        copies = sum(isinstance(part, Copy) for part in plan.parts)
        server.ask(f"/latency/{COPY_MS}", "PUT")
        begun = time.perf_counter()
        store = S3(Aws(AwsConnection("us-east-1", None, server.url, "a", "b")).client("s3"))
        publish(store, plan, [files], server.folder / "journal", provenance=b"{}", progress=Silent())
        taken = time.perf_counter() - begun
    ratio = copies * COPY_MS / 1000 / taken
    return f"{copies:,} copies, {COPY_MS} ms each, in {taken:.1f} s; one after the other they would take {ratio:.0f} times as long"


def members(count: int, size: int, salt: int = 0) -> list[Member]:
    """So many files of that size; another salt, other contents."""
    return [
        Member(f"shards/{number % 97:02}/model-{number:06}.safetensors", size, _digest(number, salt))
        for number in range(count)
    ]


def _digest(number: int, salt: int) -> Digest:
    return Digest("sha256", hashlib.sha256(f"{number} {salt}".encode()).hexdigest())


def _digested(manifest: Manifest) -> Manifest:
    """The manifest, with its digest computed and kept."""
    _ = manifest.digest
    return manifest


def _lock(members: Sequence[Member]) -> Lock:
    files = tuple(LockedFile(member.path, member.size, member.digest, member.digest.value) for member in members)
    revision, registry = Revision("owner/large", "0" * 40), "763104351884.dkr.ecr.us-east-1.amazonaws.com"
    return Lock(_digest(0, 1), revision, files, (0, 0), "huggingface-pytorch-inference:tag", _digest(0, 2), registry)


def _index(manifest: Manifest) -> Index:
    """An index of an archive; the checksums in it mean nothing."""
    entries = Layout.of(manifest.members).entries
    sums = [FramedChecksums(Checksums(1, 2, e.content_length), ContentChecksum(3, e.size)) for e in entries]
    return Index(manifest, tuple(sums), '"e"', Checksums(1, 2, 3))


def _with_every_second(found: Sequence[Member]) -> StoredArchive:
    """An archive in S3 that has every second of the files, and others for the rest: as many copies as there can be."""
    other = members(len(found), found[0].size, salt=1)
    return _stored(Manifest.of(other[number] if number % 2 else member for number, member in enumerate(found)))


def _stored(stored: Manifest) -> StoredArchive:
    """The archive of a manifest, in S3."""
    location = Package(TARGET, "large", stored.digest).model_uri
    return StoredArchive(ObjectRef(location, '"e"'), _index(stored), Binding.NAME, Verified('"e"'))
