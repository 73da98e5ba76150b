"""The content of a lock for a model in a folder, and what in the folder is not as locked."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from sagepack.decoding import MalformedError, Value
from sagepack.errors import SpecError, UserError
from sagepack.files import GRANULARITY_NS
from sagepack.hub import selection
from sagepack.hub.responses import MODEL_INDEX, MODEL_INDEX_BYTES, model_index_of
from sagepack.package.contents import check_model_paths
from sagepack.package.lock import LockedFile
from sagepack.workers import worker_pool

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from sagepack.hub.folder import FolderFile, ModelFolder
    from sagepack.hub.hash_cache import HashCache
    from sagepack.progress import Progress
    from sagepack.spec.inspection import Inspection
    from sagepack.spec.model import ModelSource

_SHOWN = 3
_LARGE = 256 << 20  # bytes of a file that takes longer to hash than to wait for


class FolderContent(Value, frozen=True):
    """What a lock says of a model in a folder.

    Attributes:
        files: the chosen files, sorted by path.
        excluded: number and bytes of the others.
        reason: what decided, in one sentence.
    """

    files: tuple[LockedFile, ...]
    excluded: tuple[int, int]
    reason: str


def read(
    folder: ModelFolder, source: ModelSource, hash_cache: HashCache, inspection: Inspection, progress: Progress
) -> FolderContent:
    """Choose the files of a package as from a repository, and hash those whose digests are not known.

    Raises:
        UserError: the folder holds no file, a pattern matches nothing, or a file changed while it was read.
        SpecError: a chosen file holds a secret, or cannot be packaged: a link out of the folder, a special file.
    """
    listed = folder.files()
    if not listed:
        fix = "put the model's files there (config.json, model.safetensors, ...), or correct model.path"
        raise UserError("the folder of the model holds no file", where=folder.name, fix=fix)
    chosen = selection.choose(listed, source.include, source.exclude, source.variant, _index(folder, listed, source))
    by_path = {file.path: file for file in listed}
    files = [by_path[path] for path in chosen.chosen]
    for file in files:
        _judge_names(folder, file, inspection)
    _refuse(inspection)
    check_model_paths([file.path for file in files])
    locked = _hashed(folder, files, hash_cache, progress)
    for entry in locked:
        inspection.examine(folder.snapshot(entry.path), folder.display(entry.path), entry.digest)
    _refuse(inspection)
    return FolderContent(tuple(locked), chosen.excluded, chosen.reason)


def changes(folder: ModelFolder, locked: Sequence[LockedFile], now: Sequence[LockedFile]) -> tuple[str, ...]:
    """What in the folder is not as locked, in words."""
    before, after = ({file.path: file.digest for file in files} for files in (locked, now))
    words = {
        **{path: "changed" for path in before.keys() & after.keys() if before[path] != after[path]},
        **dict.fromkeys(after.keys() - before.keys(), "is new"),
        **dict.fromkeys(before.keys() - after.keys(), "is gone"),
    }
    shown = [f"{folder.display(path)} {words[path]}" for path in sorted(words)]
    return (*shown[:_SHOWN], *([f"and {len(shown) - _SHOWN} more files"] if len(shown) > _SHOWN else []))


def confirm(folder: ModelFolder, files: Sequence[LockedFile], hash_cache: HashCache) -> None:
    """Check the files of a lock, each of which is read unless its digest is known.

    Raises:
        UserError: a file is missing, or is not as locked.
    """
    for file in files:
        path, where = folder.snapshot(file.path), folder.display(file.path)
        if not path.is_file():
            fix = f"put the model's folder at {folder.folder}, or run the command where it is"
            raise UserError(
                "the file is not on this machine, and what the command makes needs it", where=where, fix=fix
            )
        if hash_cache.digest(path) != file.digest:
            fix = "run the same command again, when nothing writes to the folder"
            raise UserError("the file changed while the command ran", where=where, fix=fix)
    _keep(hash_cache)


def _index(folder: ModelFolder, listed: Sequence[FolderFile], source: ModelSource) -> Mapping[str, Any] | None:
    """The content of `model_index.json`, if the layout decides what is taken and the folder has one."""
    found = next((file for file in listed if file.path == MODEL_INDEX), None)
    if source.include or found is None or found.problem:
        return None
    try:
        with folder.snapshot(MODEL_INDEX).open("rb") as file:
            return model_index_of(file.read(MODEL_INDEX_BYTES + 1))
    except MalformedError as error:
        where = folder.display(MODEL_INDEX)
        raise UserError(f"not an index of a pipeline: {error}", where=where, fix="write model.include") from error
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}", where=folder.display(MODEL_INDEX)) from error


def _judge_names(folder: ModelFolder, file: FolderFile, inspection: Inspection) -> None:
    """Report what of a chosen file is seen without reading it."""
    shown = folder.display(file.path)
    if file.problem:
        message, fix = file.problem
        inspection.report(shown, message, f"{fix}, or leave it out with model.exclude")
    *parents, _ = file.path.split("/")
    for depth, name in enumerate(parents, start=1):
        inspection.allows_folder(name, folder.display("/".join(parents[:depth])))


def _hashed(
    folder: ModelFolder, files: Sequence[FolderFile], hash_cache: HashCache, progress: Progress
) -> list[LockedFile]:
    unknown = [file for file in files if hash_cache.get(folder.snapshot(file.path)) is None]
    if unknown:
        _let_settle([folder.snapshot(file.path) for file in unknown if file.size >= _LARGE])

    def lock(file: FolderFile) -> LockedFile:
        path = folder.snapshot(file.path)
        try:
            digest, size = hash_cache.digest(path), path.stat().st_size
        except OSError as error:
            raise UserError(f"cannot be read: {error.strerror}", where=folder.display(file.path)) from error
        if size != file.size:
            fix = "run the command again, when nothing writes to the folder"
            raise UserError("the file changed while it was read", where=folder.display(file.path), fix=fix)
        return LockedFile(file.path, size, digest, digest.value)

    if not unknown:  # a run with nothing to do starts no threads
        return [lock(file) for file in files]
    to_hash, locked = {file.path for file in unknown}, list[LockedFile]()
    try:
        with (
            progress.bar(f"hashing {folder.name}", sum(file.size for file in unknown)) as add,
            worker_pool(os.cpu_count() or 1, "hash") as pool,
        ):
            for file in pool.map(lock, files):
                locked.append(file)
                add(file.size if file.path in to_hash else 0)
    finally:
        _keep(hash_cache)
    return locked


def _keep(hash_cache: HashCache) -> None:
    """Save the digests, which spare a later command the reading, if they can be: `plan` works where nothing may be written."""
    with suppress(OSError, UserError):
        hash_cache.save()


def _let_settle(paths: Sequence[Path]) -> None:
    """Wait until large files are old enough for their digests to be kept (`HashCache`), at most two seconds.

    A file that a training has just written would be hashed more than once in this run, and again in the next.
    """
    newest = max((path.stat().st_mtime_ns for path in paths), default=0)
    wait = newest + GRANULARITY_NS - time.time_ns()
    if 0 < wait <= GRANULARITY_NS:
        time.sleep(wait / 1e9)


def _refuse(inspection: Inspection) -> None:
    if inspection.diagnostics:
        raise SpecError(inspection.diagnostics, "the files of the model")
