"""Remove an endpoint and everything that was made for it, and nothing else.

What belongs to an endpoint is decided by tags for the endpoint itself; by tags and the form of their names for models and
configurations, and only if no other endpoint uses them; by names for what scales the endpoint, and for its alarms. Where AWS
denies to say whether another endpoint uses a model or a configuration, it stays: it costs nothing. Published packages stay in
S3: other releases may share their contents, and `gc` removes those that nobody needs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Literal

from sagepack.aws import autoscaling, sagemaker
from sagepack.deploy import hosted, scaling
from sagepack.deploy.drift import is_managed
from sagepack.deploy.error_hints import with_hints
from sagepack.deploy.manager import require_unmanaged
from sagepack.deploy.observe import observe_alarms, observe_scaling
from sagepack.deploy.overview import require_owned
from sagepack.deploy.waiter import WaiterConfig, settle, surviving, wait_until_stable
from sagepack.errors import RemoteError

if TYPE_CHECKING:
    from sagepack.aws.session import Aws
    from sagepack.deploy.deployment import Owner
    from sagepack.progress import Progress


_MANAGED_FIX = (
    "nothing was changed; let that tool remove what it made: delete the stack, `cdk destroy` or `terraform destroy`"
)


@dataclass(frozen=True)
class Resource:
    """Something that `destroy` removes.

    Attributes:
        kind: what it is.
        name: its name in AWS, or the resource id of a scalable target.
    """

    kind: Literal[
        "alarm", "scaling policy", "scheduled action", "scalable target", "endpoint", "endpoint configuration", "model"
    ]
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


@dataclass(frozen=True)
class Inventory:
    """What exists for an endpoint.

    Attributes:
        resources: what `destroy` removes, in the order in which it must be removed.
        kept: models and configurations that stay, and why.
        notes: what else is to be known before.
    """

    resources: tuple[Resource, ...]
    kept: dict[Resource, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def inventory(aws: Aws, owner: Owner) -> Inventory:
    """Everything that exists for `owner`. Changes nothing.

    Raises:
        UserError: the endpoint belongs to another spec, environment or tool.
    """
    name = owner.endpoint_name
    endpoint = sagemaker.describe_endpoint(aws, name)
    if endpoint is not None:
        tags = sagemaker.list_tags(aws, endpoint.endpoint_arn)
        require_owned(owner, tags)
        require_unmanaged(name, tags, _MANAGED_FIX)
    resources: list[Resource] = []
    live = observe_scaling(aws, name)
    # A policy or a scheduled action cannot exist without its endpoint, so whoever set it up, it is removed with the endpoint.
    if endpoint is not None or is_managed(name, live):
        resources += [Resource("alarm", alarm) for alarm in sorted(live.alarms)]
        resources += [Resource("scaling policy", policy) for policy in sorted(live.policies)]
        resources += [Resource("scheduled action", action) for action in sorted(live.actions)]
        if live.target is not None:
            resources.append(Resource("scalable target", scaling.resource_id(name)))
    resources += [Resource("alarm", alarm) for alarm in sorted(observe_alarms(aws, name))]
    notes: tuple[str, ...] = ()
    if endpoint is not None:
        resources.append(Resource("endpoint", name))
        routers, notes = hosted.routers_to(aws, endpoint.endpoint_arn)
        notes += tuple(f"inference router {router} sends requests to this endpoint" for router in routers)
    configs = hosted.owned(aws, owner, sagemaker.list_endpoint_configs(aws, owner.name_prefix))
    models = hosted.owned(aws, owner, sagemaker.list_models(aws, owner.name_prefix))
    kept: dict[Resource, str] = {}
    if configs or models:
        used = hosted.observe_hosted(aws, leave_out=name)
        for resource, others in (
            *((Resource("endpoint configuration", config), used.configs) for config in configs),
            *((Resource("model", model), used.models) for model in models),
        ):
            use = others.get(resource.name) or next(iter(used.unknown), None)
            if use:
                kept[resource] = use
            else:
                resources.append(resource)
    return Inventory(tuple(resources), kept, notes)


def destroy(aws: Aws, owner: Owner, progress: Progress, waiter: WaiterConfig | None = None) -> Inventory:
    """Remove the resources of the inventory, and return that. After an interruption the same call removes the rest.

    An outage of AWS, of the network or of the credentials that ends within `waiter.outage` does not end it: it goes on.

    Raises:
        UserError: the endpoint belongs to another spec, environment or tool.
        RemoteError: SageMaker does not delete the endpoint in time.
    """
    waiter = waiter or WaiterConfig()
    target = scaling.resource_id(owner.endpoint_name)
    with surviving(aws, progress, waiter), with_hints():
        found = inventory(aws, owner)
        for resource in found.resources:
            if resource.kind == "endpoint":
                delete = partial(_delete_endpoint, aws, resource.name, progress, waiter)
            else:
                progress.note(f"deleting {resource}")
                delete = partial(_delete, aws, resource, target)
            settle(delete, progress, waiter)
    return found


def _delete(aws: Aws, resource: Resource, target: str) -> None:
    """Delete anything but an endpoint.

    Args:
        aws: the session.
        resource: what is deleted.
        target: resource id of the scalable target.
    """
    if resource.kind == "alarm":
        autoscaling.delete_alarm(aws, resource.name)
    elif resource.kind == "scaling policy":
        autoscaling.delete_policy(aws, target, resource.name)
    elif resource.kind == "scheduled action":
        autoscaling.delete_scheduled_action(aws, target, resource.name)
    elif resource.kind == "scalable target":
        autoscaling.deregister_target(aws, target)
    elif resource.kind == "endpoint configuration":
        sagemaker.delete_endpoint_config(aws, resource.name)
    else:
        sagemaker.delete_model(aws, resource.name)


def _delete_endpoint(aws: Aws, name: str, progress: Progress, waiter: WaiterConfig) -> None:
    endpoint = sagemaker.describe_endpoint(aws, name)
    if endpoint is not None and endpoint.in_progress and endpoint.endpoint_status != "Deleting":
        progress.note(f"endpoint {name} is {endpoint.endpoint_status}: it can be deleted when that has ended")
        endpoint = wait_until_stable(aws, name, progress, waiter)
    if endpoint is not None and endpoint.endpoint_status != "Deleting":
        progress.note(f"deleting endpoint {name}")
        sagemaker.delete_endpoint(aws, name)
    if (left := wait_until_stable(aws, name, progress, waiter)) is not None:
        raise RemoteError(f"the endpoint was not deleted: it is {left.endpoint_status}", where=f"endpoint {name}")
