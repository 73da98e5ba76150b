"""DeploymentConfig of UpdateEndpoint: what of it is refused, and how long it makes an update wait. A model of AWS, not evidence about it.

Bounds of single values are in botocore's service model, which tests hold every request against. Those here are of SageMaker's API
reference: what depends on more than one value, and on the fleet. Where it says nothing, this takes the case that is harder for the caller: an alarm
that does not exist is refused, and one that is in ALARM already rolls the update back at once.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from sagepack.sandbox.aws.hosting_rules import invalid

if TYPE_CHECKING:
    from collections.abc import Collection

    from sagepack.sandbox.aws.wsgi import JsonObject

_BLUE_GREEN, _ROLLING = "BlueGreenUpdatePolicy", "RollingUpdatePolicy"
# Member -> smallest and largest share of the instances, in percent.
_SHARES = {"CanarySize": (0, 50), "LinearStepSize": (10, 50), "MaximumBatchSize": (5, 50)}
_NEEDED = {"CANARY": "CanarySize", "LINEAR": "LinearStepSize"}


def check(config: JsonObject, instances: int, variants: tuple[Collection[str], Collection[str]]) -> None:
    """Check a DeploymentConfig as UpdateEndpoint does.

    Args:
        config: the DeploymentConfig.
        instances: that the new fleet will have.
        variants: names of the old variants, and of the new ones.

    Raises:
        AwsError: it is refused.
    """
    before, after = variants
    if set(before) != set(after):
        raise invalid("The new endpoint configuration must have the same variant names as the old one.")
    if _BLUE_GREEN in config and _ROLLING in config:
        raise invalid("Specify either BlueGreenUpdatePolicy or RollingUpdatePolicy.")
    if _ROLLING in config and len(after) > 1:
        raise invalid("RollingUpdatePolicy is not supported for endpoints with several variants.")
    _check_values(config, instances)
    timeout = _parts(config)[0].get("MaximumExecutionTimeoutInSeconds")
    if timeout is not None and timeout <= waiting_seconds(config, instances):
        raise invalid("MaximumExecutionTimeoutInSeconds must be larger than the total waiting time.")


def _check_values(config: JsonObject, instances: int) -> None:
    policy, routing = _parts(config)
    kind = routing.get("Type")
    if kind in _NEEDED and _NEEDED[kind] not in routing:
        raise invalid(f"{_NEEDED[kind]} is required for traffic routing of type {kind}.")
    for name, (low, high) in _SHARES.items():
        if size := policy.get(name) or routing.get(name):
            _check_size(name, size, instances, (low, high))


def _check_size(name: str, size: JsonObject, instances: int, bounds: tuple[int, int]) -> None:
    low, high = bounds
    if size["Type"] == "CAPACITY_PERCENT" and not low <= size["Value"] <= high:
        raise invalid(f"{name} must be {low}% to {high}% of the variant's total instance count.")
    if 2 * _instances(size, instances) > instances:
        raise invalid(f"{name} must be at most 50% of the variant's total instance count, which is {instances}.")


def _instances(size: JsonObject, instances: int) -> int:
    value = int(size["Value"])
    return math.ceil(value * instances / 100) if size["Type"] == "CAPACITY_PERCENT" else value


def _parts(config: JsonObject) -> tuple[JsonObject, JsonObject]:
    """The policy, and the routing of its traffic; empty where there is none."""
    policy: JsonObject = config.get(_BLUE_GREEN) or config.get(_ROLLING) or {}
    routing: JsonObject = policy.get("TrafficRoutingConfiguration") or {}
    return policy, routing


def alarms(config: JsonObject | None) -> list[str]:
    """Names of the alarms that roll an update back."""
    listed = (config or {}).get("AutoRollbackConfiguration", {}).get("Alarms", [])
    return [alarm["AlarmName"] for alarm in listed]


def waiting_seconds(config: JsonObject | None, instances: int) -> float:
    """How long an update waits after its new instances have started: after each step, and before the old ones stop."""
    policy, routing = _parts(config or {})
    kind, wait = routing.get("Type"), {**policy, **routing}.get("WaitIntervalInSeconds") or 0
    size = policy.get("MaximumBatchSize") or (routing.get("LinearStepSize") if kind == "LINEAR" else None)
    steps = math.ceil(instances / max(_instances(size, instances), 1)) if size else 2 if kind == "CANARY" else 1
    return float(steps * wait + policy.get("TerminationWaitInSeconds", 0))


def timeout(config: JsonObject | None) -> float:
    """Seconds after which an update is given up."""
    policy, _ = _parts(config or {})
    return float(policy.get("MaximumExecutionTimeoutInSeconds", math.inf))
