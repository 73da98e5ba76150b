"""The automatic scaling of endpoints, as callers have set it up in moto, which itself scales nothing.

moto is imported inside functions: each of its services takes a large part of a second to import, some of them seconds.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, NamedTuple

from sagepack.sandbox.aws.wsgi import AwsError
from sagepack.sandbox.identity import ACCOUNT
from sagepack.spec import schedules

if TYPE_CHECKING:
    from sagepack.sandbox.aws.wsgi import JsonObject

_MOST_TIMES = 1000  # that an action runs between two requests to the sandbox
DIMENSION = "sagemaker:variant:DesiredInstanceCount"
"""The ScalableDimension of endpoints."""


class WakePolicy(NamedTuple):
    """A step scaling policy that an alarm on HasBacklogWithoutCapacity starts."""

    name: str
    alarm: str
    adjustment: int


class TrackingPolicy(NamedTuple):
    """A target tracking policy, and the backlog per instance that it aims at."""

    name: str
    target: float


class DueAction(NamedTuple):
    """A time at which a scheduled action of a variant runs, in seconds of the clock, and the bounds that it sets."""

    due: float
    name: str
    variant: str
    minimum: int | None
    maximum: int | None


@dataclass(frozen=True)
class VariantScaling:
    """The automatic scaling of one variant.

    Attributes:
        minimum: MinCapacity.
        maximum: MaxCapacity.
        wake: what starts an instance where there is none; None if nothing does.
        scale_in: the target tracking policy that removes idle instances; None if none does.
        scale_out: the one that adds instances where some are busy; None if none does.
    """

    minimum: int
    maximum: int
    wake: WakePolicy | None
    scale_in: TrackingPolicy | None
    scale_out: TrackingPolicy | None


def variant_scaling(region: str, endpoint: str, variant: str) -> VariantScaling | None:
    """The automatic scaling of a variant; None if it is not registered. Of what is suspended there is nothing."""
    backend, resource = _scaling(region), f"endpoint/{endpoint}/variant/{variant}"
    target = backend.targets.get(DIMENSION, {}).get(resource) if backend else None
    if backend is None or target is None:
        return None
    policies = [policy for policy in list(backend.policies.values()) if policy.resource_id == resource]
    suspended = target.suspended_state or {}
    scales_in, scales_out = (not suspended.get(f"DynamicScaling{way}Suspended") for way in ("In", "Out"))
    tracking, may_shrink = None, False
    for policy in policies:
        if body := policy.target_tracking_scaling_policy_configuration:
            tracking = TrackingPolicy(policy.policy_name, float(body["TargetValue"]))
            may_shrink = not body.get("DisableScaleIn")
    return VariantScaling(
        int(target.min_capacity or 0),
        int(target.max_capacity or 0),
        wake=_wake_policy(region, endpoint, policies) if scales_out else None,
        scale_in=tracking if scales_in and may_shrink else None,
        scale_out=tracking if scales_out else None,
    )


def due_actions(region: str, endpoint: str, after: float, until: float) -> list[DueAction]:
    """The times at which scheduled actions of an endpoint run in the seconds after one time and until another, in their order.

    Of actions whose scheduled scaling is suspended there is none. An action that is due several times is there for each.
    """
    backend, found = _scaling(region), list[DueAction]()
    for action in list(backend.scheduled_actions) if backend else ():
        prefix, _, variant = action.resource_id.partition("/variant/")
        target = backend.targets.get(DIMENSION, {}).get(action.resource_id) if backend else None
        if prefix != f"endpoint/{endpoint}" or target is None:
            continue
        if (target.suspended_state or {}).get("ScheduledScalingSuspended"):
            continue
        bounds, since = action.scalable_target_action or {}, max(after, float(action.start_time or 0))
        for due in _times(action, since, min(until, float(action.end_time or until))):
            found.append(
                DueAction(
                    due, action.scheduled_action_name, variant, bounds.get("MinCapacity"), bounds.get("MaxCapacity")
                )
            )
    return sorted(found)


def _times(action: Any, after: float, until: float) -> list[float]:
    made, moment = _moment(action.creation_time), _moment(after)
    times: list[float] = []
    while len(times) < _MOST_TIMES:
        following = schedules.next_after(action.schedule, action.timezone or schedules.UTC, moment, made)
        if following is None or following.timestamp() > until:
            break
        times.append(following.timestamp())
        moment = following
    return times


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)


def set_bounds(region: str, endpoint: str, action: DueAction) -> tuple[int, int]:
    """Set the bounds of a variant's scalable target as a scheduled action does, and return them."""
    backend = _scaling(region)
    target = backend.targets[DIMENSION][f"endpoint/{endpoint}/variant/{action.variant}"] if backend else None
    if target is None:
        raise LookupError(endpoint)
    target.update(action.minimum, action.maximum, None)
    return int(target.min_capacity), int(target.max_capacity)


def check_action(body: JsonObject) -> None:
    """Check the schedule of PutScheduledAction: moto takes anything.

    Raises:
        AwsError: Application Auto Scaling would refuse it.
    """
    try:
        now = datetime.now(timezone.utc)
        schedules.next_after(str(body.get("Schedule", "")), body.get("Timezone") or schedules.UTC, now, now)
    except schedules.ScheduleError as error:
        raise AwsError("ValidationException", f"Invalid schedule: {error}") from error
    bounds = body.get("ScalableTargetAction") or {}
    if not bounds or bounds.get("MinCapacity", 0) > bounds.get("MaxCapacity", bounds.get("MinCapacity", 0)):
        raise AwsError(
            "ValidationException", "Minimum capacity must not be more than maximum capacity; one must be given"
        )


def check_exists(operation: str, region: str, body: JsonObject) -> None:
    """Check that what an operation works on exists: moto has another error code than AWS for it, or none.

    Raises:
        AwsError: the scalable target or the policy does not exist.
    """
    backend = _scaling(region)
    resource, dimension = body.get("ResourceId"), body.get("ScalableDimension")
    where = (
        f"service namespace: {body.get('ServiceNamespace')}, resource ID: {resource}, scalable dimension: {dimension}"
    )
    registered = backend is not None and resource in backend.targets.get(dimension, {})
    policies = (
        [policy for policy in list(backend.policies.values()) if policy.resource_id == resource] if backend else []
    )
    actions = (
        {action.scheduled_action_name for action in backend.scheduled_actions if action.resource_id == resource}
        if backend
        else set()
    )
    unregistered = None if registered else f"No scalable target registered for {where}"
    missing = {
        "PutScalingPolicy": unregistered,
        "PutScheduledAction": unregistered,
        "DeleteScheduledAction": None
        if body.get("ScheduledActionName") in actions
        else f"No scheduled action found for {where}, scheduled action name: {body.get('ScheduledActionName')}",
        "DeregisterScalableTarget": None if registered else f"No scalable target found for {where}",
        "DeleteScalingPolicy": None
        if any(policy.policy_name == body.get("PolicyName") for policy in policies)
        else f"No scaling policy found for {where}, policy name: {body.get('PolicyName')}",
    }.get(operation)
    if missing:
        raise AwsError("ObjectNotFoundException", missing)


def _wake_policy(region: str, endpoint: str, policies: list[Any]) -> WakePolicy | None:
    steps = {policy.policy_arn: policy for policy in policies if policy.step_scaling_policy_configuration}
    for alarm in _alarms(region):
        watched = (alarm.namespace, alarm.metric_name, {each.name: each.value for each in alarm.dimensions})
        if watched == ("AWS/SageMaker", "HasBacklogWithoutCapacity", {"EndpointName": endpoint}):
            for action in alarm.alarm_actions if alarm.actions_enabled else ():
                if policy := steps.get(action):
                    adjustments = policy.step_scaling_policy_configuration["StepAdjustments"]
                    return WakePolicy(policy.policy_name, alarm.name, int(adjustments[0]["ScalingAdjustment"]))
    return None


def _alarms(region: str) -> list[Any]:
    if "moto.cloudwatch.models" not in sys.modules:
        return []
    from moto.cloudwatch.models import cloudwatch_backends

    return list(cloudwatch_backends[ACCOUNT][region].alarms.values())


def _scaling(region: str) -> Any | None:
    """Application-autoscaling of moto; None if it was never used, because importing it takes seconds."""
    if "moto.applicationautoscaling.models" not in sys.modules:
        return None
    from moto.applicationautoscaling.models import applicationautoscaling_backends

    return applicationautoscaling_backends[ACCOUNT][region]


def scaled_variants(region: str, endpoint: str) -> list[str]:
    """Resource ids of the scalable targets of an endpoint."""
    backend = _scaling(region)
    targets: dict[str, Any] = backend.targets.get(DIMENSION, {}) if backend else {}
    return [resource for resource in targets if resource.startswith(f"endpoint/{endpoint}/")]


def deregister_targets(region: str, endpoint: str) -> None:
    """Deregister the scalable targets of an endpoint and delete their policies, as deleting the endpoint does."""
    backend = _scaling(region)
    for resource in scaled_variants(region, endpoint):
        delete_policies(region, resource)
        if backend:
            backend.deregister_scalable_target("sagemaker", resource, DIMENSION)


def delete_policies(region: str, resource: str) -> None:
    """Delete the scaling policies and scheduled actions of a scalable target, as deregistering it does."""
    backend = _scaling(region)
    policies: dict[str, Any] = backend.policies if backend else {}
    for key in [key for key, policy in policies.items() if policy.resource_id == resource]:
        del policies[key]
    if backend:
        backend.scheduled_actions = [each for each in backend.scheduled_actions if each.resource_id != resource]
