"""Is the artifact what it should be: against its manifest, and against a rebuild from nothing."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from sagepack.engine import executor
from sagepack.engine.contents import doubt_model_files
from sagepack.engine.steps import tar
from sagepack.errors import IntegrityError, UserError
from sagepack.files import holds
from sagepack.package.archive import reader
from sagepack.package.archive.layout import Layout
from sagepack.package.archive.reader import ArchiveError
from sagepack.package.manifest import Manifest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagepack.engine.context import BuildContext
    from sagepack.package.archive.reader import Verified


def verify_local(context: BuildContext) -> Verified:
    """Check every byte of `dist/<name>/<env>/model.tar.gz` against the manifest and the sum beside it.

    Raises:
        UserError: there is no artifact.
        IntegrityError: naming the first member and offset that differ.
    """
    with executor.exclusive(context), _doubted(context):
        found = reader.verify(
            context.work.archive_path, _manifest(context), name=_archive_name(context), progress=context.progress
        )
        _check_sum(context, found.sha256.value)
        return found


def verify_rebuild(context: BuildContext) -> Verified:
    """Check the artifact, then build it again from nothing (downloads included) and compare the bytes.

    Raises:
        UserError: there is no artifact, or the spec has changed since it was made.
        IntegrityError: naming the first member and offset that differ.
    """
    found = verify_local(context)
    if _manifest(context).digest != context.manifest.digest:
        raise UserError(
            "lock or code have changed since the artifact was made",
            where=_archive_name(context),
            fix="run `invoke package` first",
        )
    folder = context.work.root / "build"
    with tempfile.TemporaryDirectory(prefix="rebuild-", dir=folder) as name:
        again = replace(
            context,
            work=replace(context.work, output=Path(name)),
            hub_cache=Path(name) / "huggingface" / "hub",
            keep_lock=True,
        )
        executor.run(again)
        difference = reader.compare(
            context.work.archive_path, again.work.archive_path, Layout.of(context.manifest.members)
        )
    with _doubted(context):
        if difference:
            raise IntegrityError(f"artifact and rebuild: {difference}", where=_archive_name(context))
    return found


@contextmanager
def _doubted(context: BuildContext) -> Iterator[None]:
    """Where verifying fails, forget what it disproves: the next `package` makes all of it again.

    That is the record of the archive and, where its bytes are wrong, what is remembered of the model's files: it may have
    been written from wrong bytes in the cache.
    """
    try:
        yield
    except IntegrityError as error:
        context.records.forget("tar")
        fix = "run `invoke package`: it writes the artifact again"
        if isinstance(error, ArchiveError):
            with suppress(UserError):  # without a lock nothing of the cache is trusted either
                paths = doubt_model_files(context)
                named = paths.get(error.member or "", context.model_files.folder)
                fix += f", after it has checked the model's files ({named})"
        raise error.with_context(fix=fix) from error


def _check_sum(context: BuildContext, sha256: str) -> None:
    """Check that the file next to the archive is what `sha256sum` writes for it, the name included, and `sha256sum -c` accepts it."""
    path, expected = context.work.archive_sha256_path, tar.sum_line(context, sha256)
    if holds(path, expected):
        return
    try:
        found = ascii(path.read_bytes()[:200].decode(errors="replace").strip())
    except OSError as error:
        found = error.strerror or "nothing"
    raise IntegrityError(f"the file says {found}, the archive is {expected.strip()!r}", where=context.display(path))


def _manifest(context: BuildContext) -> Manifest:
    path = context.work.dist_manifest_path
    try:
        return Manifest.parse(path.read_bytes())
    except FileNotFoundError as error:
        raise UserError(
            "there is no artifact", where=context.display(path), fix="run `invoke package` first"
        ) from error
    except (OSError, UserError) as error:
        raise IntegrityError(f"cannot read the manifest: {error}", where=context.display(path)) from error


def _archive_name(context: BuildContext) -> str:
    return context.display(context.work.archive_path)
