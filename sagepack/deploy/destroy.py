"""Remove an endpoint and everything that was made for it, and nothing else.

What belongs to an endpoint is decided by tags for the endpoint itself; by tags and the form of their names for models and
configurations, and only if no other endpoint uses them; by names for what scales the endpoint, and for its alarms. Published packages stay
in S3: other releases may share their contents, and `gc` removes those that nobody needs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

from sagepack.aws import autoscaling, sagemaker
from sagepack.deploy import scaling
from sagepack.deploy.drift import is_managed
from sagepack.deploy.error_hints import with_hints
from sagepack.deploy.observe import observe_alarms, observe_scaling
from sagepack.deploy.overview import require_owned
from sagepack.deploy.waiter import WaiterConfig, settle, surviving, wait_until_stable
from sagepack.errors import RemoteError

if TYPE_CHECKING:
    from sagepack.aws.session import Aws
    from sagepack.deploy.deployment import Owner
    from sagepack.progress import Progress


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


def inventory(aws: Aws, owner: Owner) -> tuple[Resource, ...]:
    """Everything that exists for `owner`, in the order in which it must be removed. Changes nothing.

    Raises:
        UserError: the endpoint belongs to another spec or environment.
    """
    name = owner.endpoint_name
    endpoint = sagemaker.describe_endpoint(aws, name)
    if endpoint is not None:
        require_owned(owner, endpoint, sagemaker.list_tags(aws, endpoint.endpoint_arn))
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
    if endpoint is not None:
        resources.append(Resource("endpoint", name))
    configs = _owned(aws, owner, sagemaker.list_endpoint_configs(aws, owner.name_prefix))
    models = _owned(aws, owner, sagemaker.list_models(aws, owner.name_prefix))
    if configs or models:
        used_configs, used_models = _used_by_others(aws, name)
        resources += [Resource("endpoint configuration", config) for config in configs if config not in used_configs]
        resources += [Resource("model", model) for model in models if model not in used_models]
    return tuple(resources)


def destroy(aws: Aws, owner: Owner, progress: Progress, waiter: WaiterConfig | None = None) -> tuple[Resource, ...]:
    """Remove everything that `inventory` lists, and return it. After an interruption the same call removes the rest.

    An outage of AWS, of the network or of the credentials that ends within `waiter.outage` does not end it: it goes on.

    Raises:
        UserError: the endpoint belongs to another spec or environment.
        RemoteError: SageMaker does not delete the endpoint in time.
    """
    waiter = waiter or WaiterConfig()
    target = scaling.resource_id(owner.endpoint_name)
    with surviving(aws, progress, waiter), with_hints():
        resources = inventory(aws, owner)
        for resource in resources:
            if resource.kind == "endpoint":
                delete = partial(_delete_endpoint, aws, resource.name, progress, waiter)
            else:
                progress.note(f"deleting {resource}")
                delete = partial(_delete, aws, resource, target)
            settle(delete, progress, waiter)
    return resources


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


def _owned(aws: Aws, owner: Owner, arns: dict[str, str]) -> list[str]:
    """Those names of models or configurations that belong to `owner`; tags are read only where the name fits."""
    return [
        name
        for name, arn in sorted(arns.items())
        if owner.matches_name(name) and owner.owns(sagemaker.list_tags(aws, arn))
    ]


def _used_by_others(aws: Aws, endpoint_name: str) -> tuple[set[str], set[str]]:
    """Names of the configurations and models that other endpoints of the account serve or are changing to."""
    configs: set[str] = set()
    for name in sagemaker.list_endpoints(aws):
        if name != endpoint_name and (endpoint := sagemaker.describe_endpoint(aws, name)) is not None:
            configs |= {endpoint.endpoint_config_name, endpoint.pending_endpoint_config_name or ""} - {""}
    models: set[str] = set()
    for name in configs:
        if (config := sagemaker.describe_endpoint_config(aws, name)) is not None:
            models |= config.model_names
    return configs, models


def _delete_endpoint(aws: Aws, name: str, progress: Progress, waiter: WaiterConfig) -> None:
    endpoint = sagemaker.describe_endpoint(aws, name)
    if endpoint is not None and endpoint.in_progress and endpoint.endpoint_status != "Deleting":
        progress.note(f"endpoint {name} is {endpoint.endpoint_status}: it can be deleted when that has ended")
        endpoint = wait_until_stable(aws, name, progress, waiter)
    if endpoint is not None and endpoint.endpoint_status != "Deleting":
        progress.note(f"deleting endpoint {name}")
        sagemaker.delete_endpoint(aws, name)
    if (left := wait_until_stable(aws, name, progress, waiter)) is not None:
        raise RemoteError(f"the endpoint was not deleted: it is {left.endpoint_status}", where=left.endpoint_arn)
