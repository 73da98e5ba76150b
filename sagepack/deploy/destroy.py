"""Removing an endpoint and all that was made for it, and nothing else.

What counts as ours: the endpoint by its tags; models and configurations by the pattern of their names and by their tags, and
only if no other endpoint uses them; scaling policies and the alarm by their names. Published packages stay in S3, where other
releases may share their contents; removing those is the business of `gc`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sagepack.aws import sagemaker
from sagepack.deploy import scaling
from sagepack.deploy.error_hints import with_hints
from sagepack.deploy.observe import IN_PROGRESS, is_managed, observe_scaling
from sagepack.deploy.reconcile import remove_scaling
from sagepack.deploy.waiter import WaiterConfig, wait_until_stable
from sagepack.errors import RemoteError, UserError

if TYPE_CHECKING:
    from sagepack.aws.session import Aws
    from sagepack.deploy.deployment import Owner
    from sagepack.progress import Progress


@dataclass(frozen=True)
class Resource:
    """Something that `destroy` removes.

    Attributes:
        kind: `alarm`, `scaling policy`, `scalable target`, `endpoint`, `endpoint configuration` or `model`.
        name: its name in AWS.
    """

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def inventory(aws: Aws, owner: Owner) -> tuple[Resource, ...]:
    """All that exists for `owner`, in the order in which it has to go. Changes nothing.

    Raises:
        UserError: an endpoint of that name exists and is somebody else's.
    """
    live = sagemaker.describe_endpoint(aws, owner.endpoint)
    if live is not None:
        _require_ours(aws, owner, live.endpoint_arn)
    endpoint = (Resource("endpoint", owner.endpoint),) if live is not None else ()
    return (*_scaling(aws, owner, alone=live is None), *endpoint, *_parts(aws, owner))


def destroy(aws: Aws, owner: Owner, progress: Progress, pace: WaiterConfig | None = None) -> tuple[Resource, ...]:
    """Remove all that `inventory` lists and return it. After an interruption the same call removes the rest.

    Raises:
        UserError: an endpoint of that name exists and is somebody else's.
        RemoteError: the endpoint does not go away.
    """
    pace = pace or WaiterConfig()
    found = inventory(aws, owner)
    kinds = {resource.kind for resource in found}
    with with_hints():
        if kinds & {"alarm", "scaling policy", "scalable target"}:
            progress.note("removing automatic scaling")
            remove_scaling(aws, owner.endpoint)
        if "endpoint" in kinds:
            _remove_endpoint(aws, owner.endpoint, progress, pace)
        for resource in found:
            if resource.kind == "endpoint configuration":
                progress.note(f"deleting {resource}")
                sagemaker.delete_config(aws, resource.name)
            elif resource.kind == "model":
                progress.note(f"deleting {resource}")
                sagemaker.delete_model(aws, resource.name)
    return found


def _require_ours(aws: Aws, owner: Owner, arn: str) -> None:
    tags = sagemaker.list_tags(aws, arn)
    if not owner.owns(tags):
        marks = ", ".join(f"{key}={value}" for key, value in sorted(tags.items()) if key.startswith("sagepack:"))
        raise UserError(
            f"endpoint {owner.endpoint} is not of {owner.name}/{owner.env}: it has {marks or 'no sagepack tags'}",
            where=arn,
            fix="nothing was removed; choose the right --config and --env, or remove it by hand",
        )


def _scaling(aws: Aws, owner: Owner, *, alone: bool) -> list[Resource]:
    live = observe_scaling(aws, owner.endpoint)
    if alone and not is_managed(owner.endpoint, live):
        return []
    # With the endpoint goes its scaling, whoever set it up: a policy cannot outlive its target.
    target = [Resource("scalable target", scaling.resource_id(owner.endpoint))] if live.target is not None else []
    return [
        *(Resource("alarm", name) for name in sorted(live.alarms)),
        *(Resource("scaling policy", name) for name in sorted(live.policies)),
        *target,
    ]


def _parts(aws: Aws, owner: Owner) -> list[Resource]:
    configs = _owned(aws, owner, sagemaker.list_configs(aws, owner.base))
    models = _owned(aws, owner, sagemaker.list_models(aws, owner.base))
    if not configs and not models:
        return []
    used_configs, used_models = _used_elsewhere(aws, owner.endpoint)
    return [
        *(Resource("endpoint configuration", name) for name in configs if name not in used_configs),
        *(Resource("model", name) for name in models if name not in used_models),
    ]


def _owned(aws: Aws, owner: Owner, arns: dict[str, str]) -> list[str]:
    return [
        name for name, arn in sorted(arns.items()) if owner.names(name) and owner.owns(sagemaker.list_tags(aws, arn))
    ]


def _used_elsewhere(aws: Aws, endpoint: str) -> tuple[set[str], set[str]]:
    """Configurations and models that other endpoints of the account serve from."""
    configs: set[str] = set()
    for name in sagemaker.list_endpoints(aws):
        if name != endpoint and (live := sagemaker.describe_endpoint(aws, name)) is not None:
            configs |= {name for name in (live.endpoint_config_name, live.pending) if name}
    models: set[str] = set()
    for name in configs:
        document = sagemaker.describe_config(aws, name) or {}
        models |= {str(variant.get("ModelName")) for variant in document.get("ProductionVariants") or []}
    return configs, models


def _remove_endpoint(aws: Aws, name: str, progress: Progress, pace: WaiterConfig) -> None:
    live = sagemaker.describe_endpoint(aws, name)
    if live is not None and live.endpoint_status in IN_PROGRESS - {"Deleting"}:
        progress.note(f"endpoint {name} is {live.endpoint_status}: it can be deleted once that is over")
        live = wait_until_stable(aws, name, progress, pace)
    if live is not None and live.endpoint_status != "Deleting":
        progress.note(f"deleting endpoint {name}")
        sagemaker.delete_endpoint(aws, name)
    if (left := wait_until_stable(aws, name, progress, pace)) is not None:
        raise RemoteError(f"the endpoint did not go away: it is {left.endpoint_status}", where=left.endpoint_arn)
