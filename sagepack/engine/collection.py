"""Removes garbage: what `garbage.judge` found, unless somebody has begun to use it since."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from sagepack.aws import sagemaker
from sagepack.aws.s3 import ChangedError, S3Uri
from sagepack.engine import garbage
from sagepack.publish import removal, stored
from sagepack.text import counted
from sagepack.workers import worker_pool

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sagepack.engine.context import BuildContext
    from sagepack.engine.garbage import Facts, Garbage, Rules
    from sagepack.publish.removal import Withdrawn
    from sagepack.publish.stored import StoredFolder

_Kind = TypeVar("_Kind")
_THREADS = 16


@dataclass(frozen=True)
class Collected:
    """What was removed.

    Attributes:
        removed: of the garbage, what is gone now.
        found: the packages that were garbage.
        spared: path of a package that was kept in the last moment -> why.
        versions_stay: whether the bucket keeps earlier versions of the objects, which cost as before.
    """

    removed: Garbage
    found: tuple[StoredFolder, ...]
    spared: dict[str, str] = field(default_factory=dict)
    versions_stay: bool = False


def collect(context: BuildContext, rules: Rules) -> Collected:
    """Remove what nobody needs. After an interruption the same call removes the rest.

    Nothing is removed that another command began to use since the packages were looked at: their release records go first, and
    then endpoints, models and records are looked at once more.

    Raises:
        UserError: AWS denies to remove it.
        RemoteError: AWS failed after retries.
    """
    facts = garbage.observe(context, rules)
    found, aws, s3, progress = garbage.judge(facts, rules), context.clients.aws, context.clients.s3, context.progress
    for upload, _ in found.uploads:
        s3.abort(upload)
    # A model that serves nothing may go before the package; a configuration before its model.
    for config in found.configs:
        sagemaker.delete_endpoint_config(aws, config)
    for model in found.models:
        sagemaker.delete_model(aws, model)
    removed, spared, versions = _remove_packages(context, facts, found.packages, rules)
    if found.exchanged:
        progress.note(f"deleting {counted(len(found.exchanged), 'old object')} of requests and answers")
        with worker_pool(_THREADS, "delete") as pool:
            versions |= any(list(pool.map(lambda each: s3.delete(each.location), found.exchanged)))
    if left := (*found.notes, *found.job_inputs):
        with worker_pool(_THREADS, "delete") as pool:
            versions |= any(list(pool.map(lambda each: s3.delete(each.location), left)))
    return Collected(replace(found, packages=removed), found.packages, spared, versions)


def _remove_packages(
    context: BuildContext, facts: Facts, packages: Sequence[StoredFolder], rules: Rules
) -> tuple[tuple[StoredFolder, ...], dict[str, str], bool]:
    """The packages that were removed, those that were spared and why, and whether earlier versions of them stay."""
    if not packages:
        return (), {}, False
    spec, s3 = context.spec, context.clients.s3
    target, spared = S3Uri.parse(spec.artifact.target), dict[str, str]()
    withdrawn: list[Withdrawn] = []
    for folder in packages:
        withdrawn += _unless_changed(partial(removal.withdraw, s3, folder), folder, spared)
    try:
        still = _still_garbage(context, withdrawn, rules, spared)
    except BaseException:
        for each in withdrawn:
            removal.restore(s3, each)
        raise
    going = {each.folder.path for each in still} | {folder.path for folder in packages}
    remaining = removal.Remaining(s3, [folder for folder in facts.folders if folder.path not in going])
    removed, versions = [], False
    for each in still:
        context.progress.note(f"removing package {each.folder.path}")
        erase = partial(removal.erase, s3, target, each.folder, remaining)
        for keeps_versions in _unless_changed(erase, each.folder, spared):
            versions |= keeps_versions
            removed.append(each.folder)
    _withdraw_hollow(context, removed)
    return tuple(removed), spared, versions


def _unless_changed(work: Callable[[], _Kind], folder: StoredFolder, spared: dict[str, str]) -> list[_Kind]:
    """What comes of some work on a package; nothing if somebody else changes it, which `spared` then says."""
    try:
        return [work()]
    except ChangedError as error:
        spared[folder.path] = error.message
        return []


def _still_garbage(
    context: BuildContext, withdrawn: Sequence[Withdrawn], rules: Rules, spared: dict[str, str]
) -> list[Withdrawn]:
    """Those packages that nobody began to use since; the release records of the others are back, and `spared` says why."""
    facts = garbage.observe(context, rules)
    now, verdict = {folder.path: folder for folder in facts.folders}, garbage.judge(facts, rules)
    still = []
    for each in withdrawn:
        folder, seen = each.folder, now.get(each.folder.path)
        reason = verdict.kept.get(folder.path) or next(iter(verdict.unknown), None)
        if reason is None and seen is not None and (seen.objects, seen.uploads) != (folder.objects, folder.uploads):
            reason = "it is being published again"
        if reason:
            removal.restore(context.clients.s3, each)
            spared[folder.path] = reason
        else:
            still.append(each)
    return still


def _withdraw_hollow(context: BuildContext, removed: Sequence[StoredFolder]) -> None:
    """Delete release records that another publisher wrote for a package while it was removed: its model is gone."""
    paths, spec, s3 = {folder.path for folder in removed}, context.spec, context.clients.s3
    for folder in stored.look(s3, S3Uri.parse(spec.artifact.target), spec.name):
        if folder.path in paths and folder.releases and not folder.has_model:
            removal.withdraw(s3, folder)
