"""What `Project` says about the removal of an endpoint, and about what that leaves."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from sagepack.api import results
from sagepack.api.costs import Costs, total
from sagepack.aws import logs
from sagepack.aws.s3 import S3Uri
from sagepack.aws.session import AccessDeniedError
from sagepack.deploy import destroy as destroying
from sagepack.deploy import exchanged
from sagepack.deploy.deployment import Owner
from sagepack.deploy.waiter import WaiterConfig
from sagepack.errors import RemoteError
from sagepack.publish import stored
from sagepack.publish.keys import packages_uri
from sagepack.workers import worker_pool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sagepack.deploy.destroy import Inventory
    from sagepack.engine.context import BuildContext


def look(context: BuildContext) -> results.ToDestroy:
    """What would be removed, and what would be left. Changes nothing."""
    with worker_pool(1, "left") as pool:
        asked = pool.submit(_left, context)
        found = destroying.inventory(context.clients.aws, Owner.of(context.spec))
        left, notes = asked.result()
    return results.ToDestroy(context.spec.endpoint.name, _resources(found), _kept(found), left, (*found.notes, *notes))


def destroy(context: BuildContext) -> results.Destroyed:
    """Remove the endpoint, and say what that leaves."""
    spec, aws = context.spec, context.clients.aws
    found = destroying.destroy(aws, Owner.of(spec), context.progress, WaiterConfig.of(spec))
    left, notes = _left(context)
    return results.Destroyed(
        endpoint=spec.endpoint.name,
        removed=_resources(found),
        kept=_kept(found),
        left=left,
        cost_per_month=total([each.cost_per_month for each in left]),
        notes=(*found.notes, *notes),
    )


def _resources(found: Inventory) -> tuple[results.Resource, ...]:
    return tuple(results.Resource(resource.kind, resource.name) for resource in found.resources)


def _kept(found: Inventory) -> tuple[results.KeptResource, ...]:
    return tuple(results.KeptResource(each.kind, each.name, reason) for each, reason in found.kept.items())


def _left(context: BuildContext) -> tuple[tuple[results.Left, ...], tuple[str, ...]]:
    """What stays, and what is not known of it. A look that fails or is denied ends no removal."""
    costs, notes, left = Costs(context), list[str](), list[results.Left]()
    for ask in (_published, _exchanged, _logged, _topics):
        left += _asked(partial(ask, context, costs), notes)
    return tuple(left), (*notes, *costs.notes)


def _asked(ask: Callable[[], Iterator[results.Left]], notes: list[str]) -> list[results.Left]:
    try:
        return list(ask())
    except (AccessDeniedError, RemoteError) as error:
        notes.append(f"not known: {error.message}")
        return []


def _published(context: BuildContext, costs: Costs) -> Iterator[results.Left]:
    """The packages of the spec's name, of all environments, and the records beside them."""
    spec, s3 = context.spec, context.clients.s3
    target, below = S3Uri.parse(spec.artifact.target), packages_uri(spec)
    objects = list(s3.list(below.child("")))
    folders = stored.folders(target, spec.name, objects, ())
    size = sum(folder.size for folder in folders)
    if folders:
        yield results.Left(
            "packages", f"{below}/", size, costs.stored(size), "`invoke gc` removes those that nobody needs"
        )
    records = sum(each.size for each in objects) - size
    if records:
        remove = "needed for `invoke releases`; they say which packages `invoke gc` keeps"
        yield results.Left("records", f"{below}/deployments/", records, costs.stored(records), remove)


def _exchanged(context: BuildContext, costs: Costs) -> Iterator[results.Left]:
    """Requests, answers and failures of the endpoint."""
    endpoint = context.spec.endpoint
    size = sum(each.size for each in exchanged.exchanged(context.clients.s3, endpoint))
    if size:
        remove = "`invoke gc` removes old ones"
        place = endpoint.asynchronous.s3_output_path
        yield results.Left("requests and answers", place, size, costs.standard(size), remove)


def _logged(context: BuildContext, costs: Costs) -> Iterator[results.Left]:
    """The log of the endpoint."""
    group = logs.describe_log_group(context.clients.aws, context.spec.endpoint.name)
    if group:
        days = group.retention_in_days
        kept = f"it is kept for {days} days" if days else "it is kept for ever"
        remove = f"{kept}; `aws logs delete-log-group --log-group-name {group.log_group_name}`"
        cost = costs.logged(group.stored_bytes)
        yield results.Left("log group", group.log_group_name, group.stored_bytes, cost, remove)


def _topics(context: BuildContext, _costs: Costs) -> Iterator[results.Left]:
    """The topics of the spec, which were there before."""
    endpoint = context.spec.endpoint
    named = {endpoint.asynchronous.success_topic, endpoint.asynchronous.error_topic}
    named |= set(endpoint.alarms.topics if endpoint.alarms else ())
    for topic in sorted(filter(None, named)):
        yield results.Left("topic", topic, None, 0.0, "it was there before")
