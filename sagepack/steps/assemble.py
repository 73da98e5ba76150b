"""assemble: what goes beside the model is staged, so that an edit during the build cannot mix two states."""

from __future__ import annotations

import io
import shutil
from typing import TYPE_CHECKING

from sagepack import files
from sagepack.assembly import in_words
from sagepack.digest import hash_file
from sagepack.errors import UserError
from sagepack.plan import Fact
from sagepack.store import Record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sagepack.assembly import Part
    from sagepack.build import Build

VERSION = 1


def fact(build: Build) -> Fact:
    """The stage holds the code as it is now: read, not remembered, since archive and bucket take it from there."""
    trouble = tuple(f"{build.shown(path)} is missing or was changed" for path in _changed(build))
    return Fact(VERSION, dict(build.assembly.inputs), build.records.load("assemble"), trouble[:3])


def run(build: Build) -> None:
    """Stage a copy of every part and check that it is what was planned.

    Raises:
        UserError: a file changed while it was copied.
    """
    assembly = build.assembly
    fresh = build.work.build / "stage.new"
    shutil.rmtree(fresh, ignore_errors=True)
    for part in assembly.parts:
        _stage(part, fresh / part.member.path, build.spec.code.path)
    # The old stage goes first: between the two lines there is none, and the next run makes it again.
    shutil.rmtree(build.work.stage, ignore_errors=True)
    fresh.mkdir(parents=True, exist_ok=True)
    fresh.rename(build.work.stage)
    if assembly.left_out:
        build.progress.note(f"assemble: {in_words(assembly.left_out)}")
    build.records.save(Record("assemble", VERSION, dict(assembly.inputs), {"bytes": assembly.size}))


def staged(build: Build) -> dict[str, Path]:
    """The staged files by their place in the package, each as the manifest says.

    Raises:
        UserError: something else than this program changed one since it was staged.
    """
    for path in _changed(build):
        raise UserError("the staged file is missing or was changed", where=build.shown(path), fix="run it again")
    return {part.member.path: build.work.stage / part.member.path for part in build.assembly.parts}


def _changed(build: Build) -> Iterator[Path]:
    for part in build.assembly.parts:
        path = build.work.stage / part.member.path
        try:
            if hash_file(path) != part.member.digest:
                yield path
        except OSError:
            yield path


def _stage(part: Part, target: Path, folder: str) -> None:
    where = f"{folder}: {part.member.path}"
    try:
        source = part.file.open("rb") if part.file else io.BytesIO(part.text or b"")
    except OSError as error:
        raise UserError(f"cannot read it: {error.strerror}", where=where) from error
    with source, files.writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as output:
            shutil.copyfileobj(source, output)
    if hash_file(target) != part.member.digest:
        raise UserError("the file changed during the build", where=where, fix="run it again")
