"""The scan of a model's files within a run: where their bytes are, what is known already, and what the spec refuses."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from msgspec import structs

from sagepack.decoding import Value, convert
from sagepack.engine.verdicts import Verdicts
from sagepack.errors import Diagnostic, IntegrityError, SpecError, UserError
from sagepack.hub.cache import RepoCache
from sagepack.scan import judge as judging
from sagepack.scan.callables import HARMLESS, is_allowed
from sagepack.scan.finding import Finding, Kind
from sagepack.text import counted, did_you_mean, format_bytes
from sagepack.workers import worker_pool

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from sagepack.engine.context import BuildContext
    from sagepack.errors import Severity
    from sagepack.hub.client import Hub
    from sagepack.hub.folder import ModelFolder
    from sagepack.hub.hash_cache import HashCache
    from sagepack.package.lock import LockedFile
    from sagepack.package.revision import Revision
    from sagepack.scan.ranges import Read
    from sagepack.spec.model import Trust

_ACCEPTED = 400  # characters that a lock keeps of a finding


class Place(Value, frozen=True, eq=False):
    """Where the bytes of the model's files are: on this disk, if they are known to be as their digests say, else at the Hub.

    Attributes:
        folder: the cache, or the model's folder.
        revision: the repository and its commit; None where all bytes are on this disk.
        hash_cache: the known digests of files.
        connect: gives the Hub, when it is needed.
    """

    folder: RepoCache | ModelFolder
    revision: Revision | None
    hash_cache: HashCache
    connect: Callable[[], Hub]

    @classmethod
    def of(cls, context: BuildContext, revision: Revision | None) -> Place:
        """For the files of a run."""
        folder = RepoCache(context.hub_cache, revision) if revision else context.model_folder
        return cls(folder, revision, context.hash_cache, lambda: context.clients.hub)

    def read(self, file: LockedFile) -> Read:
        """What gives bytes of a file."""
        for path in self.folder.places(file):
            if self.hash_cache.get(path) == file.digest:
                return partial(_from_disk, path)
        if self.revision is None:
            return partial(_from_disk, self.folder.snapshot(file.path))
        return partial(_from_hub, self.connect(), self.revision, file.path)


def _from_disk(path: Path, offset: int, length: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(length)


def _from_hub(hub: Hub, revision: Revision, path: str, offset: int, length: int) -> bytes:
    return b"".join(hub.open(revision, path, offset, length))


def judge(
    context: BuildContext, files: Sequence[LockedFile], place: Place, texts: Mapping[str, bytes] | None = None
) -> tuple[Finding, ...]:
    """What is wrong with some files: of those that are not judged yet, ranges are read, of many at the same time.

    What is found is remembered, whatever the spec says about it.

    Args:
        context: the run.
        files: the files.
        place: where they are.
        texts: content of files that were read already, by path.

    Raises:
        UserError, RemoteError, IntegrityError: as `Hub.open`; or a file of the model's folder cannot be read.
    """
    if context.spec.trust.scan == "off":
        return ()
    verdicts = Verdicts.load(context.records)
    unknown = verdicts.unknown(files)
    if unknown:
        read = judge_anew(context, unknown, place, texts or {})
        if read.looked_at:
            told = counted(len(read.findings), "finding") if read.findings else "nothing found"
            size = format_bytes(read.bytes_read)
            context.progress.note(f"scanned {counted(len(read.looked_at), 'file')}: {told} ({size} read)")
        verdicts = Verdicts.load(context.records)
    return known(verdicts, files)


def judge_locked(context: BuildContext, files: Sequence[LockedFile]) -> None:
    """Judge files of the lock that are not judged yet, before they are fetched or sent.

    Raises:
        UserError, IntegrityError: the spec does not allow what was found.
        RemoteError: the Hub failed after retries.
    """
    lock = context.required_lock()
    place = Place.of(context, lock.revision)
    _hash_present(context, place, files)
    enforce(context, refused(context.spec.trust, lock.files, judge(context, files, place)))


def _hash_present(context: BuildContext, place: Place, files: Sequence[LockedFile]) -> None:
    """Hash what lies on this disk and is not known: it would be read anyway, and then nothing is asked of the Hub."""
    present = context.cache_status(files).present
    if not present:
        return

    def hashed(file: LockedFile) -> int:
        path = next((path for path in place.folder.places(file) if path.is_file()), None)
        if path is not None:
            context.hash_cache.digest(path)
        return file.size

    total = sum(file.size for file in present)
    with context.progress.bar("hashing the cache", total) as add, worker_pool(os.cpu_count() or 1, "hash") as pool:
        for size in pool.map(hashed, present):
            add(size)


def judge_fetched(context: BuildContext, files: Sequence[LockedFile]) -> None:
    """Judge files whose bytes have just been compared with the lock, in the cache.

    What was judged before are ranges that the Hub sent, and nothing compares these with a digest.

    Raises:
        UserError, IntegrityError: the spec does not allow what was found, which is more than was found before.
    """
    lock = context.required_lock()
    if context.spec.trust.scan == "off" or lock.revision is None:
        return
    before = set(known(Verdicts.load(context.records), files))
    cache = Place(RepoCache(context.hub_cache, lock.revision), None, context.hash_cache, lambda: context.clients.hub)
    if new := [each for each in judge_anew(context, files, cache, {}).findings if each not in before]:
        enforce(context, refused(context.spec.trust, lock.files, new))


def remembered(context: BuildContext) -> tuple[Finding, ...]:
    """What the spec does not allow of what is known of the locked files. Nothing is read."""
    files = context.required_lock().files
    return refused(context.spec.trust, files, known(context.verdicts, files))


def known(verdicts: Verdicts, files: Iterable[LockedFile]) -> tuple[Finding, ...]:
    """What is known to be wrong with some files."""
    return convert(verdicts.about(files), tuple[Finding, ...])


class Judged(NamedTuple):
    """What was found in some files.

    Attributes:
        findings: by file.
        looked_at: the paths of the files whose content matters.
        bytes_read: of them, from the Hub or from this disk.
    """

    findings: tuple[Finding, ...]
    looked_at: frozenset[str]
    bytes_read: int


def judge_anew(context: BuildContext, files: Sequence[LockedFile], place: Place, texts: Mapping[str, bytes]) -> Judged:
    """Read what has to be read of some files, judge them, and remember what is found; arguments and errors as for `judge`."""
    looked_at = [file for file in files if judging.needs_look(file.path)]
    read_bytes: list[int] = []

    def one(file: LockedFile) -> tuple[Finding, ...]:
        data = texts.get(file.path)
        read = place.read(file) if data is None else lambda offset, length: data[offset : offset + length]

        def counting(offset: int, length: int) -> bytes:
            read_bytes.append(0 if data is not None else length)
            return read(offset, length)

        try:
            return judging.scan(file.path, file.size, counting)
        except OSError as error:
            raise UserError(f"cannot be read: {error.strerror}", where=file.path) from error

    found: tuple[Finding, ...] = ()
    if looked_at:
        with (
            context.progress.activity(f"scanning {counted(len(looked_at), 'file')}"),
            worker_pool(context.connections, "scan") as pool,
        ):
            found = tuple(finding for findings in pool.map(one, looked_at) for finding in findings)
    Verdicts.load(context.records).with_new(files, map(msgspec.to_builtins, found)).save(context.records)
    return Judged(found, frozenset(file.path for file in looked_at), sum(read_bytes))


def refused(trust: Trust, files: Iterable[LockedFile], found: Iterable[Finding]) -> tuple[Finding, ...]:
    """What the spec does not allow of what was found, sorted by path.

    Args:
        trust: `trust` of the spec.
        files: all files of the package.
        found: in them.
    """
    if trust.scan == "off":
        return ()
    by_path = {file.path: file for file in files}
    left = [each for each in (_left(trust, by_path.keys(), finding) for finding in found) if each]
    left += [_of_hub(file) for file in by_path.values() if file.hub_scan == "unsafe"]
    return tuple(sorted(left, key=lambda finding: finding.path))


def _left(trust: Trust, paths: Collection[str], finding: Finding) -> Finding | None:
    """A finding without what the spec allows; None if nothing is left."""
    names = finding.names
    if finding.kind is Kind.CALLS:
        names = tuple(name for name in names if not is_allowed(name, trust.allow))
    elif finding.kind is Kind.CODE:  # a file that is not in the package is not run
        names = () if trust.remote_code == "allow" else tuple(name for name in names if name in paths)
    else:
        return finding
    return structs.replace(finding, names=names) if names else None


def _of_hub(file: LockedFile) -> Finding:
    return Finding(file.path, Kind.HUB, "is unsafe, says the Hub's own scan")


def enforce(context: BuildContext, findings: Sequence[Finding]) -> None:
    """Refuse findings, or report them where the spec says `warn`.

    Raises:
        IntegrityError: a file is damaged, or was made to look like another.
        SpecError: a file could do harm; all findings are in it.
    """
    if not findings:
        return
    if context.spec.trust.scan == "warn":
        for each in findings:
            context.progress.warn(diagnostic(each, "warning"))
        return
    diagnostics = [diagnostic(finding) for finding in findings]
    damage = next((finding for finding in findings if finding.is_damage), None)
    if damage is None:
        raise SpecError(diagnostics, "the model's files")
    if len(findings) == 1:
        raise IntegrityError(damage.message, where=damage.path, fix=damage.fix)
    message = f"{len(findings)} problems in the model's files, of which {damage.path} is damaged"
    raise IntegrityError(message, details=[line for each in diagnostics for line in each.lines()])


def diagnostic(finding: Finding, severity: Severity = "error") -> Diagnostic:
    """A finding as what is wrong with a file."""
    return Diagnostic((), finding.message, finding.fix, severity, finding.path)


def warn_of_unused(context: BuildContext, found: Iterable[Finding]) -> None:
    """Tell which entries of `trust.allow` allow nothing: a spelling mistake, or what an earlier file called.

    Args:
        context: of the run.
        found: in all files of the model, whatever the spec says about it.
    """
    trust, found = context.spec.trust, tuple(found)
    if trust.scan == "off" or any(finding.kind is Kind.UNREADABLE for finding in found):
        return  # what a file calls may be unknown
    called = {name for finding in found if finding.kind is Kind.CALLS for name in finding.names}
    for number, entry in enumerate(trust.allow):
        if any(is_allowed(name, (entry,)) for name in called):
            continue
        path = ("trust", "allow", number)
        known = called | {f"{name.rpartition('.')[0]}.*" for name in called}
        fix = "it rebuilds tensors, so it is allowed anyway" if entry in HARMLESS else did_you_mean(entry, known)
        message = f"{entry!r} allows nothing: no file of the model calls it"
        where = context.where(path)
        context.progress.warn(Diagnostic(path, message, fix or "remove it, or correct its spelling", "warning", where))


def accepted(files: Iterable[LockedFile], found: Iterable[Finding], refused: Collection[Finding]) -> list[Finding]:
    """What was found and is not refused; code that is not in the package is not even found.

    Args:
        files: all files of the package.
        found: in them.
        refused: what of it is.
    """
    paths = {file.path for file in files}
    places = {(finding.path, finding.kind, finding.at) for finding in refused}
    return [
        finding
        for finding in found
        if (finding.path, finding.kind, finding.at) not in places
        and (finding.kind is not Kind.CODE or not paths.isdisjoint(finding.names))
    ]


def with_accepted(files: Sequence[LockedFile], found: Sequence[Finding]) -> tuple[LockedFile, ...]:
    """The files, each with what was found in it, for the lock of files that are not refused."""
    texts: dict[str, tuple[str, ...]] = {}
    for finding in accepted(files, found, ()):
        texts[finding.path] = (*texts.get(finding.path, ()), finding.message[:_ACCEPTED])
    return tuple(structs.replace(file, accepted=texts.get(file.path, ())) for file in files)
