"""What Application Auto Scaling does to the fleets of endpoints as time passes. A model of AWS, not evidence about it.

A fleet moves into new bounds, which scheduled actions set too, falls asleep when it was idle, wakes by the alarm HasBacklogWithoutCapacity and grows with its
backlog; each of these is a scaling activity, during which the endpoint is Updating. Nothing runs in the background: every request to the
sandbox first lets happen what was due since the request before.
"""

from __future__ import annotations

import math
import uuid
from typing import TYPE_CHECKING, NamedTuple

from sagepack.sandbox.aws import moto_scaling
from sagepack.sandbox.aws.hosting import RETRY_SECONDS
from sagepack.sandbox.aws.wsgi import AwsError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from sagepack.sandbox.aws.hosting import Endpoint, FleetTimes
    from sagepack.sandbox.aws.wsgi import JsonObject

    Check = Callable[[dict[str, int]], str | None]


class _Step(NamedTuple):
    """A change of a variant's number of instances, why, and the second in which it is due."""

    variant: str
    instances: int
    cause: str
    due: float


def pass_time(region: str, endpoint: Endpoint, check: Check, times: FleetTimes, now: float) -> None:
    """Let everything happen to the fleet of an endpoint that is due at `now`.

    Args:
        region: region of the endpoint.
        endpoint: the endpoint; only one that is in service scales.
        check: raises AwsError if the endpoint cannot have these numbers of instances, by their variants; returns why they
            will not start although AWS tries, None if they will.
        times: how long everything takes.
        now: time of the clock.
    """
    for action in moto_scaling.due_actions(region, endpoint.name, endpoint.fleet.seen or endpoint.created, now):
        _let_pass(region, endpoint, check, times, action.due)
        _run(region, endpoint, action)
        _let_pass(region, endpoint, check, times, action.due)
    _let_pass(region, endpoint, check, times, now)


def _let_pass(region: str, endpoint: Endpoint, check: Check, times: FleetTimes, now: float) -> None:
    """The same while no scheduled action runs."""
    endpoint.end_resize(times.resize, now)
    while endpoint.status == "InService" and (step := _next_step(region, endpoint, times, now)):
        _take(endpoint, step, check, now)
        endpoint.end_resize(times.resize, now)
    endpoint.fleet.seen = now


def _run(region: str, endpoint: Endpoint, action: moto_scaling.DueAction) -> None:
    """Let a scheduled action set the bounds of its variant."""
    low, high = moto_scaling.set_bounds(region, endpoint.name, action)
    bounds = f"min capacity to {low} and max capacity to {high}"
    cause = f"scheduled action name {action.name} was triggered"
    activity = _activity(endpoint, action.variant, f"Setting {bounds}", cause, action.due)
    activity |= {"StatusCode": "Successful", "StatusMessage": f"Successfully set {bounds}", "EndTime": action.due}
    endpoint.fleet.activities.append(activity)
    endpoint.fleet.new_bounds = True


def activities(endpoints: Collection[Endpoint], body: JsonObject) -> JsonObject:
    """The response of DescribeScalingActivities, the newest first."""
    found = [activity for endpoint in endpoints for activity in endpoint.fleet.activities]
    found = [each for each in found if body.get("ResourceId", each["ResourceId"]) == each["ResourceId"]]
    found.sort(key=lambda activity: activity["StartTime"], reverse=True)
    first, size = int(body.get("NextToken") or 0), int(body.get("MaxResults") or 50)
    more = {"NextToken": str(first + size)} if first + size < len(found) else {}
    return {"ScalingActivities": found[first : first + size], **more}


def _next_step(region: str, endpoint: Endpoint, times: FleetTimes, now: float) -> _Step | None:
    """The next change that is due; None if none is."""
    fleet = endpoint.fleet
    for variant, count in endpoint.counts.items():
        scaling = moto_scaling.variant_scaling(region, endpoint.name, variant)
        if scaling is None:
            continue
        if fleet.new_bounds and (step := _into_bounds(variant, count, scaling, now)):
            return step
        wanted = _by_alarm(endpoint, variant, scaling, times)
        if wanted is None or wanted.instances == count:
            continue
        due = max(max(fleet.changed, endpoint.modified) + wanted.due, fleet.seen, fleet.retry)
        if due <= now:
            return wanted._replace(due=due)
    fleet.new_bounds = False
    return None


def _by_alarm(
    endpoint: Endpoint, variant: str, scaling: moto_scaling.VariantScaling, times: FleetTimes
) -> _Step | None:
    """What the alarm that is on wants, `due` so many seconds after the fleet or its backlog changed."""
    tracked = f"TargetTracking-endpoint/{endpoint.name}/variant/{variant}"
    count, backlog = endpoint.counts[variant], endpoint.fleet.backlog
    if count == 0:
        wake = scaling.wake if backlog else None
        return wake and _Step(
            variant, min(wake.adjustment, scaling.maximum), _cause(wake.alarm, wake.name), times.alarm
        )
    if (policy := scaling.scale_out) and backlog > policy.target * count:
        most = max(count, min(scaling.maximum, math.ceil(backlog / policy.target)))
        return _Step(variant, most, _cause(f"{tracked}-AlarmHigh", policy.name), times.busy)
    if (policy := scaling.scale_in) and not backlog and count > scaling.minimum:
        return _Step(variant, scaling.minimum, _cause(f"{tracked}-AlarmLow", policy.name), times.idle)
    return None


def _cause(alarm: str, policy: str) -> str:
    return f"monitor alarm {alarm} in state ALARM triggered policy {policy}"


def _into_bounds(variant: str, count: int, scaling: moto_scaling.VariantScaling, now: float) -> _Step | None:
    if count < scaling.minimum:
        return _Step(variant, scaling.minimum, f"minimum capacity was set to {scaling.minimum}", now)
    if count > scaling.maximum:
        return _Step(variant, scaling.maximum, f"maximum capacity was set to {scaling.maximum}", now)
    return None


def _activity(endpoint: Endpoint, variant: str, description: str, cause: str, start: float) -> JsonObject:
    """An item of DescribeScalingActivities without its status."""
    return {
        "ActivityId": str(uuid.uuid4()),
        "ServiceNamespace": "sagemaker",
        "ResourceId": f"endpoint/{endpoint.name}/variant/{variant}",
        "ScalableDimension": moto_scaling.DIMENSION,
        "Description": description,
        "Cause": cause,
        "StartTime": start,
    }


def _take(endpoint: Endpoint, step: _Step, check: Check, now: float) -> None:
    """Begin a scaling activity; it fails at once if the instances cannot start."""
    fleet = endpoint.fleet
    description = f"Setting desired instance count to {step.instances}."
    activity: JsonObject = {
        **_activity(endpoint, step.variant, description, step.cause, step.due),
        "StatusCode": "InProgress",
        "StatusMessage": (
            f"Successfully set desired instance count to {step.instances}. Waiting for change to be fulfilled by sagemaker."
        ),
    }
    fleet.activities.append(activity)
    fleet.new_bounds = False
    counts = {**endpoint.counts, step.variant: step.instances}
    try:
        obstacle = check(counts)
    except AwsError as error:
        message = f"Failed to set desired instance count to {step.instances}. Reason: {error.message}"
        activity.update(StatusCode="Failed", StatusMessage=message, EndTime=step.due)
        fleet.retry = now + RETRY_SECONDS
    else:
        endpoint.resize(counts, step.due, obstacle)
