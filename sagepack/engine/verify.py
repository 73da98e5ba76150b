"""Is the artifact what it should be: against its manifest, and against a rebuild from nothing."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sagepack.engine import executor
from sagepack.engine.context import BuildContext
from sagepack.engine.steps import tar
from sagepack.errors import IntegrityError, UserError
from sagepack.files import holds
from sagepack.package.archive import reader
from sagepack.package.archive.layout import Layout
from sagepack.package.archive.reader import ArchiveError
from sagepack.package.manifest import Manifest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagepack.package.archive.reader import Verified


def verify_local(build: BuildContext) -> Verified:
    """Check every byte of `dist/<name>/<env>/model.tar.gz` against the manifest and the sum beside it.

    Raises:
        UserError: there is no artifact.
        IntegrityError: naming the first member and offset that differ.
    """
    with executor.alone(build), _doubted(build):
        found = reader.verify(build.work.archive, _manifest(build), name=_shown(build), progress=build.progress)
        _check_sum(build, found.sha256.value)
        return found


def verify_rebuild(build: BuildContext) -> Verified:
    """Check the artifact, then build it again from nothing (downloads included) and compare the bytes.

    Raises:
        UserError: there is no artifact, or the spec has changed since it was made.
        IntegrityError: naming the first member and offset that differ.
    """
    found = verify_local(build)
    if _manifest(build).digest != build.manifest.digest:
        raise UserError(
            "lock or code have changed since the artifact was made",
            where=_shown(build),
            fix="run `invoke package` first",
        )
    folder = build.work.root / "build"
    with tempfile.TemporaryDirectory(prefix="rebuild-", dir=folder) as name:
        again = BuildContext(
            build.spec,
            replace(build.work, output=Path(name)),
            "package",
            build.connect,
            Path(name) / "huggingface" / "hub",
            build.progress,
            locked=True,
        )
        executor.run(again)
        difference = reader.compare(build.work.archive, again.work.archive, Layout.of(build.manifest.members))
    with _doubted(build):
        if difference:
            raise IntegrityError(f"artifact and rebuild: {difference}", where=_shown(build))
    return found


@contextmanager
def _doubted(build: BuildContext) -> Iterator[None]:
    """What is not as it should be is no longer believed: the next `package` makes all of it anew.

    That is the record of the archive and, where its bytes are wrong, what is remembered of the model's files: it may have
    been written from wrong bytes in the cache.
    """
    try:
        yield
    except IntegrityError as error:
        build.records.forget("tar")
        fix = "run `invoke package`: it writes the artifact anew"
        if isinstance(error, ArchiveError):
            with suppress(UserError):  # without a lock nothing of the cache is believed either
                files = tar.doubt_files(build)
                named = files.get(error.member or "", build.cache.folder)
                fix += f", after it checked the model's files in the cache ({named})"
        raise error.with_context(fix=fix) from error


def _check_sum(build: BuildContext, sha256: str) -> None:
    """The file beside the archive is what `sha256sum` writes for it, the name included, and `sha256sum -c` accepts it."""
    path, wanted = build.work.archive_sha256, tar.sum_line(build, sha256)
    if holds(path, wanted):
        return
    try:
        found = ascii(path.read_bytes()[:200].decode(errors="replace").strip())
    except OSError as error:
        found = error.strerror or "nothing"
    raise IntegrityError(f"the file says {found}, the archive is {wanted.strip()!r}", where=build.shown(path))


def _manifest(build: BuildContext) -> Manifest:
    path = build.work.dist_manifest
    try:
        return Manifest.parse(path.read_bytes())
    except FileNotFoundError as error:
        raise UserError("there is no artifact", where=build.shown(path), fix="run `invoke package` first") from error
    except (OSError, UserError) as error:
        raise IntegrityError(f"cannot read the manifest: {error}", where=build.shown(path)) from error


def _shown(build: BuildContext) -> str:
    return build.shown(build.work.archive)
