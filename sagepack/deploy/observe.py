"""What is live, and how it differs from what should be: the facts and the reasons that `plan` and `reconcile` go by."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sagepack.aws import autoscaling, sagemaker
from sagepack.deploy import scaling
from sagepack.deploy.deployment import VARIANT, Deployment
from sagepack.deploy.scaling import Scaling
from sagepack.spec.secrets import names, values

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sagepack.aws.session import Aws
    from sagepack.deploy.deployment import Owner

IN_PROGRESS = frozenset({"Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting"})
# Keys that a request leaves out to say "none"; elsewhere SageMaker answers with defaults that nobody asked for.
_OPTIONAL = frozenset({"VolumeSizeInGB", "InferenceAmiVersion", "NotificationConfig", "SuccessTopic", "ErrorTopic"})


@dataclass(frozen=True)
class EndpointState:
    """An endpoint as SageMaker describes it.

    Attributes:
        status: EndpointStatus; None means there is no endpoint.
        arn: the endpoint's ARN.
        config_name: configuration that serves.
        pending: configuration of the deployment in progress, if there is one.
        failure: FailureReason.
        instances: desired number of instances.
        model_name: model that serves.
        model, config: DescribeModel and DescribeEndpointConfig of what serves; None if they were deleted.
        tags: tags of the endpoint.
        scaling: automatic scaling of the endpoint.
    """

    status: str | None = None
    arn: str | None = None
    config_name: str | None = None
    pending: str | None = None
    failure: str | None = None
    instances: int | None = None
    model_name: str | None = None
    model: dict[str, Any] | None = None
    config: dict[str, Any] | None = None
    tags: dict[str, str] = field(default_factory=dict)
    scaling: Scaling = scaling.NONE


@dataclass(frozen=True)
class Change:
    """One thing to do, and why.

    Attributes:
        kind: `create`, `recreate`, `update`, `wait`, `scaling`, `tags`; `foreign` means that the endpoint is somebody
            else's and must not be touched.
        reason: the difference in the words of the API.
    """

    kind: str
    reason: str


def observe(aws: Aws, owner: Owner) -> EndpointState:
    """Describe the endpoint of `owner` with its configuration, model, tags and scaling. Changes nothing."""
    live = sagemaker.describe_endpoint(aws, owner.endpoint)
    if live is None:
        return EndpointState()
    config = sagemaker.describe_config(aws, live.endpoint_config_name) if live.endpoint_config_name else None
    variants = config.get("ProductionVariants") if config else None
    model_name = variants[0].get("ModelName") if variants else None
    return EndpointState(
        status=live.endpoint_status,
        arn=live.endpoint_arn,
        config_name=live.endpoint_config_name,
        pending=live.pending,
        failure=live.failure_reason,
        instances=_instances(live),
        model_name=model_name,
        model=sagemaker.describe_model(aws, model_name) if model_name else None,
        config=config,
        tags=sagemaker.list_tags(aws, live.endpoint_arn),
        scaling=observe_scaling(aws, owner.endpoint),
    )


def observe_scaling(aws: Aws, endpoint: str) -> Scaling:
    """The scalable target of `endpoint`, all its policies, and the alarm that is ours by name."""
    resource = scaling.resource_id(endpoint)
    return Scaling(
        autoscaling.describe_target(aws, resource),
        autoscaling.describe_policies(aws, resource),
        autoscaling.describe_alarms(aws, [scaling.names(endpoint)[2]]),
    )


def _instances(live: sagemaker.Endpoint) -> int | None:
    return next((v.desired_instance_count for v in live.production_variants if v.variant_name == VARIANT), None)


def differences(deployment: Deployment, observed: EndpointState) -> list[Change]:
    """What must be done to make `observed` into `deployment`; nothing if they are the same. Pure."""
    if observed.status is None:
        return [Change("create", f"endpoint {deployment.name} does not exist")]
    if not deployment.owner.owns(observed.tags):
        return [Change("foreign", _foreign(deployment, observed))]
    return [
        *_of_endpoint(deployment, observed),
        *scaling_differences(deployment, observed.scaling),
        *_of_tags(deployment, observed),
    ]


def _foreign(deployment: Deployment, observed: EndpointState) -> str:
    marks = {key: value for key, value in observed.tags.items() if key.startswith("sagepack:")}
    whose = ", ".join(f"{key}={value}" for key, value in sorted(marks.items())) or "no sagepack tags"
    return f"endpoint {deployment.name} exists and is not of this spec and environment: it has {whose}"


def _of_endpoint(deployment: Deployment, observed: EndpointState) -> list[Change]:
    status, same = observed.status, observed.config_name == deployment.config_name
    if status == "Failed":
        return [Change("recreate", f"endpoint is Failed, which only a new one mends: {observed.failure}")]
    if status in {"OutOfService", "UpdateRollbackFailed"} and same:
        return [Change("recreate", f"endpoint is {status}: {observed.failure}")]
    changes = [Change("wait", f"endpoint is {status}")] if status in IN_PROGRESS else []
    if not same and observed.pending != deployment.config_name:
        changes += [Change("update", reason) for reason in _reasons(deployment, observed)]
    return changes


def _reasons(deployment: Deployment, observed: EndpointState) -> list[str]:
    model = list(diff(deployment.model, observed.model, ignore={"ModelName", "Tags"}))
    config = list(
        diff(deployment.config, observed.config, ignore={"EndpointConfigName", "ModelName", "Tags", "MetricsConfig"})
    )
    return model + config or [f"EndpointConfigName: {observed.config_name} -> {deployment.config_name}"]


def scaling_differences(deployment: Deployment, live: Scaling) -> list[Change]:
    """What must be done to make the scaling `live` into what `deployment` asks for. Pure."""
    asked, name = scaling.wanted(deployment), deployment.name
    if asked == scaling.NONE:
        return [Change("scaling", f"scalable target {live.target} is not asked for")] if is_managed(name, live) else []
    if live.target is None:
        return [Change("scaling", f"no scalable target is registered; asked: {asked.target}")]
    reasons = [
        *diff(asked.target, live.target, "ScalableTarget"),
        *diff(asked.policies, live.policies, "ScalingPolicy"),
        *diff(asked.alarms, live.alarms, "Alarm"),
        *(f"ScalingPolicy.{policy} is not asked for" for policy in extra(name, asked, live)),
    ]
    return [Change("scaling", reason) for reason in reasons or _idle_alarms(name, asked, live)]


def _idle_alarms(endpoint: str, asked: Scaling, live: Scaling) -> list[str]:
    """Alarms that are as asked and start nothing, since the policy they knew was made again."""
    policy = live.policies.get(scaling.names(endpoint)[1], {}).get("PolicyARN")
    return [
        f"Alarm.{name}.AlarmActions: {live.alarms[name].get('AlarmActions')} -> {[policy]}"
        for name in asked.alarms
        if policy not in live.alarms[name].get("AlarmActions", [])
    ]


def is_managed(endpoint: str, live: Scaling) -> bool:
    """Whether the scaling of `endpoint` was set up here; a target with nothing but a stranger's policies was not."""
    known = set(scaling.names(endpoint))
    return bool(live.alarms or known & live.policies.keys() or (live.target and not live.policies))


def extra(endpoint: str, asked: Scaling, live: Scaling) -> list[str]:
    """Our policies and alarms that are live and no longer asked for."""
    present = live.policies.keys() | live.alarms.keys()
    return [name for name in scaling.names(endpoint) if name in present - asked.policies.keys() - asked.alarms.keys()]


def _of_tags(deployment: Deployment, observed: EndpointState) -> list[Change]:
    return [
        Change("tags", f"Tags.{key}: {_shown(key, observed.tags.get(key), repr)} -> {_shown(key, value, repr)}")
        for key, value in sorted(deployment.tags.items())
        if observed.tags.get(key) != value
    ]


def diff(asked: Any, live: Any, path: str = "", ignore: frozenset[str] | set[str] = frozenset()) -> Iterator[str]:
    """The places where a described document is not as asked, each as `Path: live -> asked`.

    Only what is asked is compared, since services add defaults; entries of `Environment` are compared both ways.
    """
    if isinstance(asked, dict) and isinstance(live, dict):
        for key in _keys(asked, live, path):
            if key not in ignore:
                yield from diff(asked.get(key), live.get(key), f"{path}.{key}" if path else key, ignore)
    elif isinstance(asked, list) and isinstance(live, list) and len(asked) == len(live):
        for number, (one, other) in enumerate(zip(asked, live, strict=True)):
            yield from diff(one, other, path if len(asked) == 1 else f"{path}[{number}]", ignore)
    elif asked != live:
        yield f"{path}: {_shown(path, live)} -> {_shown(path, asked)}"


def _keys(asked: dict[str, Any], live: dict[str, Any], path: str) -> list[str]:
    both_ways = path.endswith("Environment")
    extra = [key for key in live if key not in asked and (both_ways or key in _OPTIONAL)]
    return [*asked, *sorted(extra)]


def _shown(path: str, value: Any, form: Callable[[Any], str] = str) -> str:
    if value is None:
        return "none"
    return "(not shown)" if _holds_secret(path.rpartition(".")[2], value) else form(value)


def _holds_secret(name: str, value: Any) -> bool:
    """Whether a value, whoever set it, is a secret by its form or its name."""
    if isinstance(value, dict):
        return any(_holds_secret(key, item) for key, item in value.items())
    if isinstance(value, list):
        return any(_holds_secret(name, item) for item in value)
    return isinstance(value, str) and bool(names.confidence(name) or values.kind_of(value))
