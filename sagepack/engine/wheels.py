"""The wheels of a package that carries them: which are needed on this disk, which are there, and fetching the others."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from sagepack.engine import lazy
from sagepack.files import backdate_mtime, disk_errors, exclusive
from sagepack.package.requirements import listing
from sagepack.text import counted
from sagepack.workers import worker_pool

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagepack.engine.context import BuildContext
    from sagepack.package.lock import LockedPackage
    from sagepack.package.requirements import index as indexes
    from sagepack.package.requirements import resolve
    from sagepack.package.requirements import wheels as fetching
else:
    fetching = lazy.module("package.requirements.wheels")
    indexes = lazy.module("package.requirements.index")
    resolve = lazy.module("package.requirements.resolve")

_CONNECTIONS = 4


def paths(context: BuildContext) -> dict[str, Path]:
    """Where each wheel of the package lies on this disk, whether or not it is there, by its path in the package."""
    if not context.spec.code.vendor:
        return {}
    wheels = listing.wheels(context.required_lock())
    return {path: _path(context, package) for path, package in wheels.items()}


def required(context: BuildContext) -> tuple[LockedPackage, ...]:
    """The wheels that the steps of the goal read from this disk: all for an archive, and what S3 lacks for an upload from here."""
    if not context.spec.code.vendor or context.promotion or context.remote:
        return ()
    goals = {step.name for step in context.steps}
    wheels = listing.wheels(context.required_lock())
    if wheels and "upload" in goals and "tar" not in goals:
        missing = {member.path for member in context.publication.upload_plan.missing}
        return tuple(package for path, package in wheels.items() if path in missing)
    return tuple(wheels.values())


def missing(context: BuildContext, packages: Sequence[LockedPackage]) -> tuple[LockedPackage, ...]:
    """Those of some wheels that are not on this disk, or not as they were when they were checked."""
    return tuple(each for each in packages if context.hash_cache.get(_path(context, each)) != each.digest)


def fetch(context: BuildContext, packages: Sequence[LockedPackage]) -> None:
    """Get wheels: a file that is there is read, and fetched from the package index if it is not what the lock says.

    Raises:
        RemoteError: the index does not answer, or has the wheel no more.
        IntegrityError: it sends other bytes than those of the lock.
        UserError: the disk is full.
    """
    if not missing(context, packages):
        return
    folder = context.work.wheels_path
    with exclusive(folder.with_suffix(".lock"), context.progress.activity):
        absent = [each for each in missing(context, packages) if not _is_right(context, each)]
        if absent:
            with disk_errors(folder, sum(each.size for each in absent)):
                folder.mkdir(parents=True, exist_ok=True)
            _fetch(context, absent)
    context.hash_cache.save()


def _fetch(context: BuildContext, packages: Sequence[LockedPackage]) -> None:
    index = indexes.PackageIndex.of(os.environ, Path.cwd())
    with context.progress.activity("asking the package index for wheels"):
        urls = resolve.locate(packages, context.spec.image.tag, index)
    label, size = f"fetching {counted(len(packages), 'wheel')}", sum(each.size for each in packages)
    with context.progress.bar(label, size) as advance, worker_pool(_CONNECTIONS, "wheels") as pool:

        def one(package: LockedPackage) -> None:
            path = _path(context, package)
            fetching.fetch(package, urls[package.file], index, path, advance)
            backdate_mtime(path)
            context.hash_cache.put(path, package.digest, path.stat())

        list(pool.map(one, packages))


def _is_right(context: BuildContext, package: LockedPackage) -> bool:
    path = _path(context, package)
    return path.is_file() and context.hash_cache.digest(path) == package.digest


def _path(context: BuildContext, package: LockedPackage) -> Path:
    return context.work.wheels_path / package.digest.value
