"""Is the artifact what it should be: against its manifest, and against a rebuild from nothing."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sagepack import run
from sagepack.archive import reader
from sagepack.archive.layout import Layout
from sagepack.build import Build
from sagepack.errors import IntegrityError, UserError
from sagepack.manifest import Manifest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagepack.archive.reader import Verified


def verify_local(build: Build) -> Verified:
    """Check every byte of `dist/<name>/<env>/model.tar.gz` against the manifest and the sum beside it.

    Raises:
        UserError: there is no artifact.
        IntegrityError: naming the first member and offset that differ.
    """
    with run.alone(build), _doubted(build):
        found = reader.verify(build.work.archive, _manifest(build), name=_shown(build), progress=build.progress)
        noted = _noted(build)
        if noted != found.sha256.value:
            raise IntegrityError(
                f"the archive has sha256 {found.sha256.value}, the file beside it says {noted!r}",
                where=build.shown(build.work.archive_sha256),
            )
        return found


def verify_rebuild(build: Build) -> Verified:
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
        again = Build(
            build.spec,
            replace(build.work, output=Path(name)),
            "package",
            build.connect,
            Path(name) / "huggingface" / "hub",
            build.progress,
            locked=True,
        )
        run.run(again)
        difference = reader.compare(build.work.archive, again.work.archive, Layout.of(build.manifest.members))
    with _doubted(build):
        if difference:
            raise IntegrityError(f"artifact and rebuild: {difference}", where=_shown(build))
    return found


@contextmanager
def _doubted(build: Build) -> Iterator[None]:
    """An artifact that is not what it should be loses its record, so that `package` makes all of it anew."""
    try:
        yield
    except IntegrityError as error:
        build.records.forget("tar")
        error.fix = "run `invoke package`: it writes the artifact anew"
        raise


def _noted(build: Build) -> str:
    """The sum in the file beside the archive; empty if there is none."""
    try:
        text = build.work.archive_sha256.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return text.partition(" ")[0].strip()


def _manifest(build: Build) -> Manifest:
    path = build.work.dist_manifest
    try:
        return Manifest.parse(path.read_bytes())
    except FileNotFoundError as error:
        raise UserError("there is no artifact", where=build.shown(path), fix="run `invoke package` first") from error
    except (OSError, ValueError, UserError) as error:
        raise IntegrityError(f"cannot read the manifest: {error}", where=build.shown(path)) from error


def _shown(build: Build) -> str:
    return build.shown(build.work.archive)
