"""The files of a package that is run on this machine, wherever it comes from: links to what is on this disk, no copies of weights."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import tarfile
import tempfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sagepack.api import history
from sagepack.aws.s3 import ChangedError, ObjectRef, S3Uri
from sagepack.deploy import recorded
from sagepack.digest import fingerprint
from sagepack.engine import contents, executor, signed
from sagepack.errors import UserError
from sagepack.files import disk_errors, unreadable
from sagepack.package.requirements import listing
from sagepack.spec.code_tree import CODE, REQUIREMENTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sagepack.engine.context import BuildContext
    from sagepack.errors import Diagnostic
    from sagepack.spec.code_tree import CodeTree

_COPIED = 16 << 20  # bytes of a file that is copied although a link would do, so that later edits do not reach it


@dataclass(frozen=True)
class ServedPackage:
    """What is served.

    Attributes:
        shown: what messages call it.
        files: where each file lies, or what it holds, by its path in the package.
        environment: environment variables of the container.
        places: the files of the code as messages name them, by their path in the package.
        provided: packages that the requirements name and that the image has, as far as the lock says.
        warnings: what is wrong with the code, but not wrong enough to refuse it; of what was built before, nothing is said.
    """

    shown: str
    files: Mapping[str, Path | bytes]
    environment: Mapping[str, str]
    places: Mapping[str, str] = field(default_factory=dict)
    provided: frozenset[str] = frozenset()
    warnings: tuple[Diagnostic, ...] = ()

    @property
    def code(self) -> dict[str, Path | bytes]:
        """The files below `code/`, by their path in it."""
        return {path.removeprefix(CODE): source for path, source in self.files.items() if path.startswith(CODE)}

    @property
    def requirements(self) -> Path | bytes | None:
        """What the container installs."""
        return self.files.get(REQUIREMENTS)

    @property
    def folders(self) -> set[Path]:
        """The folders that links to files of the package lead into, at every step."""
        paths = [path.absolute() for path in self.files.values() if isinstance(path, Path)]
        parents = {str(place.parent) for path in paths for place in (path, path.resolve())}
        return {Path(os.path.commonpath(parents))} if parents else set()

    def put_model(self, folder: Path) -> None:
        """Make links to all files but those of the code."""
        for path, source in self.files.items():
            if not path.startswith(CODE):
                _put(source, folder / path, copied=0)

    def put_code(self, folder: Path) -> None:
        """Write the code: the server's programs find it as it is now, whatever is edited later."""
        folder.mkdir(parents=True)
        for path, source in self.code.items():
            _put(source, folder / path, copied=_COPIED)


def _put(source: Path | bytes, target: Path, *, copied: int) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(source, bytes):
        target.write_bytes(source)
    elif source.stat().st_size <= copied:
        shutil.copyfile(source, target)
    else:
        target.symlink_to(source.absolute())


def of_tree(context: BuildContext) -> ServedPackage:
    """The package of the working tree: its code, and the model's files in the cache. Fetches what is missing there.

    Args:
        context: of the goal `download`.

    Raises:
        SpecError: the code cannot serve, as far as that is known without running it.
        UserError, RemoteError, IntegrityError: as the steps `lock` and `download` do.
    """
    if context.current_lock or not context.spec.code.requirements:
        context.code  # noqa: B018 - what is wrong with it is told before anything is fetched
    context, _ = executor.run(context)
    return of_code(context, contents.cache_paths(context), context.code)


def of_code(context: BuildContext, others: Mapping[str, Path | bytes], tree: CodeTree) -> ServedPackage:
    """The package of code and of other files: those of the model, and wheels."""
    places = {
        file.path: context.display(file.source)
        for file in tree.files
        if isinstance(file.source, Path) and file.source.is_relative_to(context.work.root)
    }
    files = {**others, **{file.path: file.source for file in tree.files}}
    lock = context.required_lock()
    asked = {listing.name_of(line) for line in lock.requirements}
    provided = frozenset(each.name for each in lock.packages if each.in_image and each.name not in asked)
    warnings = context.code_warnings
    return ServedPackage(context.spec.code.path, files, context.spec.environment, places, provided, warnings)


def of_name(context: BuildContext, name: str, folder: Path) -> ServedPackage:
    """A package that was built before.

    Args:
        context: of the spec that declares how it is served.
        name: the path of an archive, an address in S3 of an archive or of a prefix, or a release as `history.find` takes it.
        folder: where its files are kept; those of another package there are removed.

    Raises:
        UserError: there is no such package, it cannot be read or extracted, or it is not signed and has to be.
        IntegrityError: it is not what was signed.
        RemoteError: S3 failed after retries.
    """
    if name.startswith("s3://"):
        return _of_address(context, S3Uri.parse(name), folder, name, context.spec.environment)
    path = Path(name).expanduser()
    if path.exists() or "/" in name or name.endswith((".gz", ".tar")):
        return _of_archive(context, path, folder)
    release = history.find(context, name, "--package")
    shown = f"release {release.number} of {context.spec.env}"
    try:
        environment = recorded.of_record(context.clients.aws, release.record).environment
    except UserError as error:
        context.progress.note(f"the environment is that of the spec: {error.message}")
        environment = dict(context.spec.environment)
    return _of_address(context, S3Uri.parse(release.record.package), folder, shown, environment)


def _of_archive(context: BuildContext, path: Path, folder: Path) -> ServedPackage:
    try:
        status = path.stat()
        if not path.is_file():
            raise UserError("this is no archive", where=str(path), fix="name the model.tar.gz, not its folder")
    except OSError as error:
        message, fix = unreadable(error)
        raise UserError(message, where=str(path), fix=fix) from error

    def fill(target: Path, advance: Callable[[int], None]) -> None:
        with path.open("rb") as file:
            _extract(iter(lambda: file.read(1 << 20), b""), target, str(path), advance)

    identity = [str(path.absolute()), status.st_size, status.st_mtime_ns]
    files = _kept(context, folder, identity, status.st_size, fill)
    return ServedPackage(context.display(path.absolute()), files, context.spec.environment)


def _of_address(
    context: BuildContext, uri: S3Uri, folder: Path, shown: str, environment: Mapping[str, str]
) -> ServedPackage:
    store, etags = context.clients.s3, signed.require_signed_package(context, uri)
    if uri.key.endswith("/") or not uri.key:
        objects = [each for each in store.list(uri) if not each.location.key.endswith("/")]
        if not objects:
            raise UserError("there is nothing below this address", where=str(uri), fix="`invoke releases` shows others")
        _require_same({each.location.key: each.etag for each in objects}, etags, uri)

        def fill(target: Path, advance: Callable[[int], None]) -> None:
            for each in objects:
                path = target / _inside(each.location.key.removeprefix(uri.key), str(each.location))
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("wb") as file:
                    for piece in store.open(ObjectRef(each.location, each.etag), 0, each.size):
                        file.write(piece)
                        advance(len(piece))

        size, identity = sum(each.size for each in objects), [[str(each.location), each.etag] for each in objects]
    else:
        head = store.head(uri)
        if head is None:
            fix = "check the address, and the environment with --env; an address of files ends with /"
            raise UserError("there is no such object", where=str(uri), fix=fix)
        _require_same({uri.key: head.etag}, etags, uri)
        seen = ObjectRef(uri, head.etag)

        def fill(target: Path, advance: Callable[[int], None]) -> None:
            _extract(store.open(seen, 0, head.size), target, str(uri), advance)

        size, identity = head.size, [[str(uri), head.etag]]
    return ServedPackage(shown, _kept(context, folder, identity, size, fill), environment)


def _require_same(seen: Mapping[str, str], signed_etags: Mapping[str, str] | None, where: S3Uri) -> None:
    """Check that objects are those that were just verified, if they had to be.

    Raises:
        ChangedError: they were replaced, or there are others.
    """
    if signed_etags is not None and seen != signed_etags:
        raise ChangedError("it was replaced after it was verified", where)


def _inside(path: str, where: str) -> str:
    if {"", ".", ".."} & set(path.split("/")):
        raise UserError("the key leaves the folder of the package", where=where)
    return path


def _kept(
    context: BuildContext,
    folder: Path,
    identity: object,
    size: int,
    fill: Callable[[Path, Callable[[int], None]], None],
) -> dict[str, Path | bytes]:
    """The files of a package, written by `fill` unless the same was written last."""
    kept = folder / fingerprint(identity).short
    if not kept.is_dir():
        shutil.rmtree(folder, ignore_errors=True)
        with disk_errors(folder, size), context.progress.bar("unpacking", size) as advance:
            folder.mkdir(parents=True)
            fresh = Path(tempfile.mkdtemp(prefix=".new-", dir=folder))
            fill(fresh, advance)
            fresh.rename(kept)
    return {path.relative_to(kept).as_posix(): path for path in sorted(kept.rglob("*")) if path.is_file()}


class _Stream(io.RawIOBase):
    """Pieces of bytes as a file."""

    def __init__(self, pieces: Iterator[bytes], advance: Callable[[int], None]) -> None:
        self._pieces, self._advance = pieces, advance
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if not self._rest:
            self._rest = next(self._pieces, b"")
            self._advance(len(self._rest))
        count = min(len(buffer), len(self._rest))
        buffer[:count], self._rest = self._rest[:count], self._rest[count:]
        return count


def _extract(pieces: Iterator[bytes], target: Path, where: str, advance: Callable[[int], None]) -> None:
    """Extract an archive as SageMaker does.

    Raises:
        UserError: it is none, or damaged, or would write outside of the folder.
    """
    try:
        with gzip.open(io.BufferedReader(_Stream(pieces, advance), 1 << 20)) as unpacked:
            with tarfile.open(fileobj=unpacked, mode="r|") as archive:
                archive.extractall(target, filter="data")
            while unpacked.read(1 << 20):  # the checksum of all bytes is at the end, behind the archive's own
                pass
    except (tarfile.TarError, EOFError, gzip.BadGzipFile, zlib.error) as error:
        fix = "build it again with `invoke package`; an endpoint could not extract it either"
        raise UserError(f"failed to extract the archive: {error}", where=where, fix=fix) from error
