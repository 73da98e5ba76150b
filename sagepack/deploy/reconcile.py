"""From what is live to what should be: create or update the endpoint, wait, and judge what came of it.

Every call looks first and does only what is missing, so the same call goes on after any interruption.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sagepack.aws import autoscaling, sagemaker
from sagepack.aws.logs import group_of
from sagepack.deploy import scaling
from sagepack.deploy.deployment import tag_list
from sagepack.deploy.error_hints import hint_for, with_hints
from sagepack.deploy.observe import (
    IN_PROGRESS,
    Change,
    EndpointState,
    differences,
    extra,
    observe,
    observe_scaling,
    scaling_differences,
)
from sagepack.deploy.waiter import WaiterConfig, wait_until_stable
from sagepack.errors import RemoteError, UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagepack.aws.session import Aws
    from sagepack.deploy.deployment import Deployment
    from sagepack.progress import Progress

_TRIES = 6  # SageMaker's reads are eventually consistent: a configuration just made may not be found at once


@dataclass(frozen=True)
class Deployed:
    """What a reconciliation came to.

    Attributes:
        endpoint, arn: the endpoint, in service.
        config, model: names of what serves.
        changes: what was done; empty if nothing had to be.
    """

    endpoint: str
    arn: str
    config: str
    model: str
    changes: tuple[Change, ...]


def reconcile(aws: Aws, deployment: Deployment, progress: Progress, pace: WaiterConfig | None = None) -> Deployed:
    """Make the endpoint what `deployment` says, and return once it is.

    Raises:
        UserError: the endpoint is somebody else's, or SageMaker refused what the spec says (data, role, image, quota).
        RemoteError: the endpoint failed, went back to its old configuration, or took too long.
    """
    pace = pace or WaiterConfig()
    observed = observe(aws, deployment.owner)
    changes = differences(deployment, observed)
    for change in changes:
        if change.kind == "foreign":
            fix = "choose another endpoint.name; to take the endpoint over, give it this spec's tags first"
            raise UserError(change.reason, where=observed.arn, fix=fix)
    if changes:
        observed = _finish_pending(aws, deployment, observed, progress, pace)
        _converge(aws, deployment, observed, progress, pace)
    arn = observed.arn or _live(aws, deployment).endpoint_arn
    return Deployed(deployment.name, arn, deployment.config_name, deployment.model_name, tuple(changes))


def _finish_pending(
    aws: Aws, deployment: Deployment, observed: EndpointState, progress: Progress, pace: WaiterConfig
) -> EndpointState:
    """Wait for a deployment that is under way, and judge it if it is the one asked for."""
    if observed.status not in IN_PROGRESS:
        return observed
    aim = observed.pending or observed.config_name
    live = wait_until_stable(aws, deployment.name, progress, pace)
    if observed.status != "Deleting" and aim == deployment.config_name:
        _refuse_another(deployment, live, observed.config_name)
        _judge(deployment, live)
    elif live is not None and live.failure_reason:
        progress.note(f"what was under way ended as {live.endpoint_status}: {live.failure_reason}")
    return observe(aws, deployment.owner)


def _converge(
    aws: Aws, deployment: Deployment, observed: EndpointState, progress: Progress, pace: WaiterConfig
) -> None:
    kinds = {change.kind for change in differences(deployment, observed)}
    if kinds & {"create", "recreate", "update"}:
        with with_hints():
            _ensure_parts(aws, deployment, progress, pace)
            if "recreate" in kinds:
                _remove_failed(aws, deployment, observed, progress, pace)
            _start(aws, deployment, observed, pace, fresh="update" not in kinds)
        live = wait_until_stable(aws, deployment.name, progress, pace)
        _refuse_another(deployment, live, observed.config_name)
        if live is not None and live.endpoint_status == "InService":
            # Before the judgement: also an endpoint that went back to its old configuration must keep scaling.
            _converge_scaling(aws, deployment, progress)
        _judge(deployment, live)
    else:
        _converge_scaling(aws, deployment, progress)
    _converge_tags(aws, deployment)


def _ensure_parts(aws: Aws, deployment: Deployment, progress: Progress, pace: WaiterConfig) -> None:
    """Make the model first: SageMaker checks its data, image and role on the spot and charges nothing for it."""
    if sagemaker.describe_model(aws, deployment.model_name) is None:
        progress.note(f"creating model {deployment.model_name}")
        sagemaker.create_model(aws, deployment.model)
    if sagemaker.describe_config(aws, deployment.config_name) is None:
        progress.note(f"creating endpoint configuration {deployment.config_name}")
        _patiently(lambda: sagemaker.create_config(aws, deployment.config), 'Could not find model "', pace)
        for _ in range(_TRIES):
            if sagemaker.describe_config(aws, deployment.config_name) is not None:
                break
            pace.sleep(pace.poll)


def _remove_failed(
    aws: Aws, deployment: Deployment, observed: EndpointState, progress: Progress, pace: WaiterConfig
) -> None:
    progress.note(f"deleting endpoint {deployment.name}, which is {observed.status}, to create it again")
    remove_scaling(aws, deployment.name)
    sagemaker.delete_endpoint(aws, deployment.name)
    wait_until_stable(aws, deployment.name, progress, pace)


def _start(aws: Aws, deployment: Deployment, observed: EndpointState, pace: WaiterConfig, *, fresh: bool) -> None:
    if fresh:
        call: Callable[[], None] = lambda: sagemaker.create_endpoint(aws, deployment.request)  # noqa: E731
    else:
        retyped = _instance_type(observed) != deployment.endpoint.instance_type
        if retyped and observed.scaling.target is not None:
            # SageMaker refuses to change the type of a variant that is registered for scaling.
            autoscaling.deregister_target(aws, scaling.resource_id(deployment.name))
        request = deployment.update(retain=not retyped and _retains(deployment, observed))
        call = lambda: sagemaker.update_endpoint(aws, request)  # noqa: E731
    _patiently(call, "Could not find endpoint configuration", pace)


def _retains(deployment: Deployment, observed: EndpointState) -> bool:
    """Whether an update keeps the number of instances that automatic scaling chose.

    A fleet that sleeps is started anyway: with no instance the new container would never be tried.
    """
    return bool(observed.scaling.target and deployment.endpoint.scaling and observed.instances)


def _instance_type(observed: EndpointState) -> str | None:
    variants = observed.config.get("ProductionVariants") if observed.config else None
    return variants[0].get("InstanceType") if variants else None


def _patiently(call: Callable[[], None], while_told: str, pace: WaiterConfig) -> None:
    """Call, and again while SageMaker does not yet know what it just confirmed."""
    for _ in range(_TRIES - 1):
        if _done(call, unless=while_told):
            return
        pace.sleep(pace.poll)
    call()


def _done(call: Callable[[], None], unless: str) -> bool:
    try:
        call()
    except RemoteError as error:
        if unless in error.message:
            return False
        raise
    return True


def _refuse_another(deployment: Deployment, live: sagemaker.Endpoint | None, before: str | None) -> None:
    """See that what serves is what was requested or what served before, to which SageMaker rolls back.

    Args:
        deployment: what was requested.
        live: the endpoint, settled.
        before: the configuration that served before.

    Raises:
        RemoteError: it is neither: another machine has deployed meanwhile.
    """
    if live is None or live.failure_reason or live.endpoint_config_name in {deployment.config_name, before}:
        return
    raise RemoteError(
        f"another deployment won: the endpoint serves {live.endpoint_config_name}, not {deployment.config_name}, "
        "which this command requested",
        where=live.endpoint_arn,
        fix="agree on one spec and code for this endpoint; the same command replaces what serves now",
    )


def _judge(deployment: Deployment, live: sagemaker.Endpoint | None) -> None:
    """Hold a settled endpoint against what was requested: after a silent roll-back it is InService, as it was before.

    Raises:
        RemoteError: it does not serve the configuration that was requested.
    """
    if live is None:
        raise RemoteError("the endpoint was deleted while it was being deployed", where=f"endpoint {deployment.name}")
    serving, reason = live.endpoint_config_name, live.failure_reason or "SageMaker gives no reason"
    known = hint_for(reason)
    fix = known.fix if known else "read the container's log"
    log = [f"log group: {group_of(deployment.name)}"]
    if live.endpoint_status != "InService":
        raise RemoteError(
            f"endpoint is {live.endpoint_status}: {reason}", where=live.endpoint_arn, fix=fix, details=log
        )
    if serving != deployment.config_name:
        message = f"the update failed and SageMaker rolled back to {serving}, which serves: {reason}"
        raise RemoteError(message, where=live.endpoint_arn, fix=fix, details=log)


def _live(aws: Aws, deployment: Deployment) -> sagemaker.Endpoint:
    live = sagemaker.describe_endpoint(aws, deployment.name)
    if live is None:
        raise RemoteError("the endpoint was deleted after it was deployed", where=f"endpoint {deployment.name}")
    return live


def _converge_scaling(aws: Aws, deployment: Deployment, progress: Progress) -> None:
    asked, live = scaling.wanted(deployment), observe_scaling(aws, deployment.name)
    if not scaling_differences(deployment, live):
        return
    if asked == scaling.NONE:
        progress.note("removing automatic scaling")
        remove_scaling(aws, deployment.name)
        return
    resource, wake = scaling.resource_id(deployment.name), scaling.names(deployment.name)[1]
    if asked.target is not None:
        autoscaling.register_target(aws, resource, asked.target)
    arns = {name: autoscaling.put_policy(aws, resource, name, policy) for name, policy in asked.policies.items()}
    for name, alarm in asked.alarms.items():
        autoscaling.put_alarm(aws, name, alarm, arns[wake], tag_list(deployment.tags))
    for name in extra(deployment.name, asked, live):
        if name in live.alarms:
            autoscaling.delete_alarms(aws, [name])
        else:
            autoscaling.delete_policy(aws, resource, name)
    progress.note(f"automatic scaling: {asked.target}, policies {', '.join(asked.policies)}")


def remove_scaling(aws: Aws, endpoint: str) -> None:
    """Take away our alarm, all policies and the scalable target of `endpoint`, in that order; twice is no error."""
    resource, live = scaling.resource_id(endpoint), observe_scaling(aws, endpoint)
    if live.alarms:
        autoscaling.delete_alarms(aws, sorted(live.alarms))
    for name in live.policies:
        autoscaling.delete_policy(aws, resource, name)
    if live.target is not None:
        autoscaling.deregister_target(aws, resource)


def _converge_tags(aws: Aws, deployment: Deployment) -> None:
    arn = _live(aws, deployment).endpoint_arn
    live = sagemaker.list_tags(aws, arn)
    if changed := {key: value for key, value in deployment.tags.items() if live.get(key) != value}:
        sagemaker.add_tags(aws, arn, tag_list(changed))
