"""How an update is rolled out: `endpoint.update` as the DeploymentConfig of UpdateEndpoint, and how long it waits. Pure.

SageMaker starts the new fleet, moves requests to it in steps, and waits after each one (the "baking period"), in which an alarm
that goes off moves all requests back to the old fleet (developer guide, "Deployment guardrails"; asynchronous endpoints are
not among its exclusions). Whether SageMaker takes steps on a fleet that has one instance is not documented, and the sizes of
its API are at most half of the instances: such a fleet is changed all at once here, with the same waits and alarms.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sagepack.deploy.alarm_names import alarm_name
from sagepack.spec.keys import request_members
from sagepack.spec.model import ALARM_KEYS, BlueGreen, Rolling
from sagepack.text import format_duration

if TYPE_CHECKING:
    from sagepack.aws.session import Document
    from sagepack.spec.model import Endpoint, Update

_LONGEST = 28800  # seconds; of MaximumExecutionTimeoutInSeconds
_DIVISIBLE = 2  # instances; the least of which some may be changed before the others
_CANARY_STEPS = 2


def rollback_alarms(endpoint: Endpoint) -> tuple[str, ...]:
    """The names in CloudWatch of the alarms that roll an update back."""
    declared = endpoint.update.rollback_alarms if endpoint.update else ()
    return tuple(alarm_name(endpoint.name, each) if each in ALARM_KEYS else each for each in declared)


def is_divided(update: Update, instances: int) -> bool:
    """Whether an update of so many instances has more than one step."""
    policy = update.policy
    is_stepwise = isinstance(policy, Rolling) or policy.traffic != "all_at_once"
    return is_stepwise and instances >= _DIVISIBLE


def notes(update: Update, instances: int, before: int) -> list[str]:
    """What to say about an update that begins.

    Args:
        update: as declared.
        instances: that the new fleet will have.
        before: that the old one has.
    """
    found = []
    kind = "a rolling update" if isinstance(update.policy, Rolling) else f"traffic: {update.policy.traffic}"
    if kind != "traffic: all_at_once" and not is_divided(update, instances):
        found.append(f"{kind} means nothing with one instance: all requests move at once")
    if update.rollback_alarms:
        seconds = format_duration(waits(update, instances))
        asleep = " (it sleeps now, so send some)" if not before else ""
        found.append(f"the alarms are watched for {seconds}; they see what requests do meanwhile{asleep}")
    return found


def deployment_config(endpoint: Endpoint, instances: int) -> Document | None:
    """The DeploymentConfig of an update; None if the spec leaves it to SageMaker.

    Args:
        endpoint: as declared.
        instances: that the new fleet will have.
    """
    if endpoint.update is None:
        return None
    alarms = [{"AlarmName": name} for name in rollback_alarms(endpoint)]
    guarded = {"AutoRollbackConfiguration": {"Alarms": alarms}} if alarms else {}
    return {**_policy(endpoint.update, instances), **guarded}


def _policy(update: Update, instances: int) -> Document:
    policy = update.policy
    if not is_divided(update, instances):
        timeout = policy.maximum_execution_timeout_in_seconds
        wait = policy.termination_wait_in_seconds if isinstance(policy, BlueGreen) else 0
        policy = BlueGreen(termination_wait_in_seconds=wait, maximum_execution_timeout_in_seconds=timeout)
    request = request_members(policy, "sagemaker", "DeploymentConfig")
    if isinstance(policy, Rolling):
        rolling = request.setdefault("RollingUpdatePolicy", {})
        rolling["WaitIntervalInSeconds"] = update.wait
        rolling["MaximumBatchSize"] = _size(policy.maximum_batch_size)
        if policy.rollback_maximum_batch_size:
            rolling["RollbackMaximumBatchSize"] = _size(policy.rollback_maximum_batch_size)
        return request
    routing = {"Type": policy.traffic.upper(), "WaitIntervalInSeconds": update.wait}
    if policy.traffic == "canary" and policy.canary_size:
        routing["CanarySize"] = _size(policy.canary_size)
    if policy.traffic == "linear" and policy.linear_step_size:
        routing["LinearStepSize"] = _size(policy.linear_step_size)
    request["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"] = routing
    return request


def _size(text: str) -> Document:
    share = text.endswith("%")
    return {"Type": "CAPACITY_PERCENT" if share else "INSTANCE_COUNT", "Value": int(text.rstrip("%"))}


def waits(update: Update, instances: int) -> int:
    """Seconds that an update of so many instances waits, from when the new ones have started."""
    policy = update.policy
    after = policy.termination_wait_in_seconds if isinstance(policy, BlueGreen) else 0
    return _steps(update, instances) * update.wait + after


def _steps(update: Update, instances: int) -> int:
    """In how many steps requests move to the new instances."""
    policy = update.policy
    if not is_divided(update, instances):
        return 1
    if isinstance(policy, Rolling):
        return _steps_of(policy.maximum_batch_size, instances)
    if policy.traffic == "linear" and policy.linear_step_size:
        return _steps_of(policy.linear_step_size, instances)
    return _CANARY_STEPS if policy.traffic == "canary" else 1


def _steps_of(size: str, instances: int) -> int:
    return math.ceil((100 if size.endswith("%") else instances) / int(size.rstrip("%")))


def longest_update(endpoint: Endpoint, start: float) -> float:
    """Seconds after which an update must have ended, one that SageMaker gives up and takes back included.

    Args:
        endpoint: as declared.
        start: seconds that the instances of a fleet may take to start.
    """
    update = endpoint.update
    if update is None:
        return start
    most = endpoint.scaling.max_capacity if endpoint.scaling else endpoint.initial_instance_count
    policy, waiting = update.policy, waits(update, most)
    batches = _steps(update, most) if isinstance(policy, Rolling) else 1  # each of which starts instances
    needed = min(batches * start + waiting, _LONGEST + start)
    # It may be given up at the last moment; going back then takes as long as starting.
    return max(needed, (policy.maximum_execution_timeout_in_seconds or 0) + start)
