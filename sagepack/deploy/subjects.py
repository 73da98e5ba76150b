"""What a place in an AWS request is to the user: the key of the spec that it comes from, or a resource.

Read off the spec's classes, whose fields name the members of AWS's requests that they stand for.
"""

from __future__ import annotations

import re
from functools import cache

from sagepack.deploy.alarm_names import key_of
from sagepack.deploy.deployment import TAG_PREFIX
from sagepack.spec.model import KEYS

_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
# What no key is about, or more than one.
_RESOURCES = {
    "S3Uri": "package",
    "Image": "image",
    "ResolvedImage": "image",
    "ModelName": "model",
    "EndpointConfigName": "endpoint configuration",
    "ScalableTarget": "automatic scaling",
    "DesiredInstanceCount": "number of instances",
    "TargetValue": "endpoint.scaling.target_backlog_per_instance",
}
# Members of an alarm that another key declares than that of the alarm, and those that its own key stands for.
_OF_ALL_ALARMS = {"Period": "period", "AlarmActions": "topics", "OKActions": "topics"}
_OF_ALARM = {"", "Threshold", "EvaluationPeriods", "DatapointsToAlarm"}
_SUSPENDED = "ScalableTarget.SuspendedState."
_NAMED = {"ScalingPolicy": "scaling policy", "Alarm": "alarm", "ScheduledAction": "scheduled action"}
_ACTION = re.compile(r"ScheduledAction\.[^.]*-schedule-([0-9]+)(?:\.(.*))?")
_POOL = re.compile(r"ProductionVariants\.InstancePools(?:\[([0-9]+)\])?(?:\.(.*))?")
_OF_POOL = {"InstanceType": ".instance_type", "Priority": ".priority"}
_OF_ACTION = {
    "Schedule": "at",
    "Timezone": "timezone",
    "ScalableTargetAction.MinCapacity": "min_capacity",
    "ScalableTargetAction.MaxCapacity": "max_capacity",
}


def subject_of(path: str) -> str:
    """The key of the spec, or the resource, that a place in the API's names is about; the place itself where it is none.

    Args:
        path: such as `ProductionVariants.InstanceType`, `Tags.team`, or `Alarm.svd-wake.Threshold`.
    """
    if key := _key_of_entry(path):
        return key
    head, _, rest = path.partition(".")
    last = path.rpartition(".")[2]
    if path.startswith(_SUSPENDED):
        return f"automatic scaling, {last}"
    if known := _key_of_alarm(head, rest) or _RESOURCES.get(last) or _key_of_member(path) or _key_of_name(last):
        return known
    if head in _NAMED:
        resource, _, member = rest.partition(".")
        return f"{_NAMED[head]} {resource}{f', {member}' if member else ''}"
    return path


def _key_of_alarm(head: str, rest: str) -> str | None:
    """The key of `endpoint.alarms` that a place in a declared alarm is about."""
    alarm, _, member = rest.partition(".")
    key = key_of(alarm) if head == "Alarm" else None
    if key is None:
        return None
    if other := _OF_ALL_ALARMS.get(member):
        return f"endpoint.alarms.{other}"
    return key if member in _OF_ALARM else f"{key}, {member}"


def _key_of_entry(path: str) -> str | None:
    """The key of an entry of a map or a list: of the environment, the tags or the schedule."""
    before, found, name = path.partition("Environment.")
    if found and before in {"", "PrimaryContainer."}:
        return f"environment.{name}"
    head, _, rest = path.partition(".")
    if head == "Tags":
        return f"tag {rest}" if rest.startswith(TAG_PREFIX) else f"endpoint.tags.{rest}"
    if match := _POOL.fullmatch(path):
        entry = f".{match[1]}" if match[1] else ""
        return f"endpoint.instance_pools{entry}{_OF_POOL.get(match[2] or '', '')}"
    match = _ACTION.fullmatch(path)
    return _key_of_schedule(int(match[1]) - 1, match[2]) if match else None


def _key_of_schedule(number: int, member: str | None) -> str:
    """The key of an entry of the schedule, or of a value in it."""
    entry = f"endpoint.scaling.schedule.{number}"
    if member is None:
        return entry
    return f"{entry}.{_OF_ACTION[member]}" if member in _OF_ACTION else f"{entry}, {member}"


@cache
def _key_of_member(path: str) -> str | None:
    """The key whose member of AWS's description the path ends with; of several the most exact."""
    parts = tuple(path.split("."))
    # Those of `artifact` are about objects in S3: no request of hosting has them.
    keys = [key for key in KEYS if key.path[0] != "artifact"]
    fitting = [key for key in keys if (member := key.facts.member[2:]) and parts[-len(member) :] == member]
    return ".".join(max(fitting, key=lambda key: len(key.facts.member)).path) if fitting else None


@cache
def _key_of_name(name: str) -> str | None:
    """The key of the endpoint that has the name of the member, in the spec's way of writing."""
    written = _WORD.sub("_", name).lower()
    return next((".".join(key.path) for key in KEYS if key.path[0] == "endpoint" and key.path[-1] == written), None)
