"""What `Project` says about garbage, and its removal."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from sagepack.api import results
from sagepack.api.costs import Costs, total
from sagepack.engine import collection, garbage
from sagepack.engine.garbage import Rules

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sagepack.aws.s3 import ObjectSummary, S3Uri
    from sagepack.engine.context import BuildContext
    from sagepack.engine.garbage import Garbage


def rules(keep: int, hours: int, answer_days: int) -> Rules:
    """The rules as of now.

    Args:
        keep: how many deployments of each environment are kept.
        hours: how old anything must be to be removed.
        answer_days: how old requests and answers must be.
    """
    now = datetime.now(timezone.utc)
    return Rules(keep, now - timedelta(hours=hours), now - timedelta(days=answer_days))


def look(context: BuildContext, rules: Rules) -> results.Garbage:
    """What could be removed, and why the rest is kept. Changes nothing."""
    facts = garbage.observe(context, rules)
    found, costs = garbage.judge(facts, rules), Costs(context)
    removable = tuple(_removable(found, costs))
    kept = tuple(
        results.KeptPackage(str(folder.location), folder.size, found.kept[folder.path])
        for folder in facts.folders
        if folder.path in found.kept
    )
    return results.Garbage(
        target=context.spec.artifact.target,
        removable=removable,
        size=sum(each.size for each in removable),
        cost_per_month=total([each.cost_per_month for each in removable]),
        kept=kept,
        unknown=found.unknown,
        notes=costs.notes,
    )


def collect(context: BuildContext, rules: Rules) -> results.Collected:
    """Remove what nobody needs."""
    done = collection.collect(context, rules)
    costs = Costs(context)
    removed = tuple(_removable(done.removed, costs))
    return results.Collected(
        target=context.spec.artifact.target,
        removed=removed,
        size=sum(each.size for each in removed),
        cost_per_month=total([each.cost_per_month for each in removed]),
        spared=tuple(
            results.KeptPackage(str(folder.location), folder.size, done.spared[folder.path])
            for folder in done.found
            if folder.path in done.spared
        ),
        versions_stay=done.versions_stay,
        unknown=done.removed.unknown,
        notes=costs.notes,
    )


def _removable(found: Garbage, costs: Costs) -> Iterator[results.Removable]:
    for folder in found.packages:
        when = f"published {folder.published:%Y-%m-%d %H:%M}" if folder.published else "never published whole"
        reason = f"no endpoint, model or kept deployment needs it; {when}"
        yield results.Removable("package", str(folder.location), folder.size, costs.stored(folder.size), reason)
    for name in found.configs:
        yield results.Removable("endpoint configuration", name, 0, 0.0, "no endpoint or kept deployment needs it")
    for name in found.models:
        yield results.Removable("model", name, 0, 0.0, "no endpoint or kept deployment needs it")
    for upload, size in found.uploads:
        begun = f"begun {upload.initiated:%Y-%m-%d %H:%M}" if upload.initiated else "begun at an unknown time"
        yield results.Removable("unfinished upload", str(upload.location), size, costs.stored(size), begun)
    for place, objects, size in _by_folder(found.notes):
        reason = "the upload that workers made is complete"
        yield results.Removable("notes of an upload", place, size, costs.stored(size), reason, len(objects))
    for place, objects, size in _by_folder(found.job_inputs):
        reason = "a job in the region that was killed left it"
        yield results.Removable("input of a job", place, size, costs.stored(size), reason, len(objects))
    for place, objects, size in _by_folder(found.exchanged):
        oldest = min(each.modified for each in objects)
        reason = f"requests, answers or failures, the oldest of {oldest:%Y-%m-%d}"
        cost = costs.standard(size)
        yield results.Removable("requests and answers", place, size, cost, reason, len(objects))


def _by_folder(found: Iterable[ObjectSummary]) -> Iterator[tuple[str, list[ObjectSummary], int]]:
    """Objects by the folder that they lie in: its address, the objects, and their bytes."""
    folders: defaultdict[S3Uri, list[ObjectSummary]] = defaultdict(list)
    for each in found:
        folders[each.location.parent].append(each)
    for place, objects in sorted(folders.items()):
        yield f"{place}/", objects, sum(each.size for each in objects)
