"""The metrics of asynchronous endpoints, and the states of alarms on them, written into moto when somebody asks for them.

Only the newest value of each is kept. An endpoint that never had a request has none: what AWS publishes then is not known.
"""

from __future__ import annotations

import operator
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from sagepack.sandbox.identity import ACCOUNT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sagepack.sandbox.aws.hosting import Endpoint

_NAMESPACE = "AWS/SageMaker"
_AGE = timedelta(minutes=1)  # values come late
# Of a variant; AWS publishes nothing as long as there is none.
_COUNTED: dict[str, Callable[[Endpoint], list[float]]] = {
    "InvocationFailures": lambda endpoint: endpoint.fleet.failures,
    "ExpiredRequests": lambda endpoint: endpoint.fleet.expired,
}
_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanOrEqualToThreshold": operator.ge,
    "GreaterThanThreshold": operator.gt,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}


def publish(region: str, endpoint: Endpoint, alarm_seconds: float, now: float) -> None:
    """Write the values of now, and set the alarms on them.

    Args:
        region: region of the endpoint.
        endpoint: an endpoint.
        alarm_seconds: how long a value must have been over its threshold before an alarm says so.
        now: time of the sandbox's clock. The values get the time of the machine, which callers ask by.
    """
    from moto.cloudwatch.models import MetricDatum, cloudwatch_backends

    backend, values = cloudwatch_backends[ACCOUNT][region], _values(endpoint, now)
    dimension = {"Name": "EndpointName", "Value": endpoint.name}
    if endpoint.fleet.changed:
        backend.metric_data = [
            datum for datum in backend.metric_data if datum.name not in values or not _is_of(datum, endpoint.name)
        ]
        when = datetime.now(timezone.utc).replace(tzinfo=None) - _AGE
        backend.metric_data += [
            MetricDatum(_NAMESPACE, name, value, [dimension], when) for name, value in values.items()
        ]
    for alarm in list(backend.alarms.values()):
        if alarm.metric_name in _COUNTED and _is_of(alarm, endpoint.name, variants=endpoint.counts):
            if times := _COUNTED[alarm.metric_name](endpoint):
                _set_state(alarm, float(sum(time > now - alarm.period for time in times)), lasting=True)
        elif _is_of(alarm, endpoint.name):
            value = values.get(alarm.metric_name) if endpoint.fleet.changed else None
            _set_state(alarm, value, lasting=now - endpoint.fleet.changed >= _lasting_seconds(alarm, alarm_seconds))


def in_alarm(region: str, names: Iterable[str]) -> list[str]:
    """Those of some alarms that are in ALARM."""
    from moto.cloudwatch.models import cloudwatch_backends

    alarms = cloudwatch_backends[ACCOUNT][region].alarms
    return [name for name in names if name in alarms and alarms[name].state_value == "ALARM"]


def missing(region: str, names: Iterable[str]) -> list[str]:
    """Those of some names that are of no alarm."""
    from moto.cloudwatch.models import cloudwatch_backends

    alarms = cloudwatch_backends[ACCOUNT][region].alarms
    return [name for name in names if name not in alarms]


def correct_new_alarms(region: str) -> None:
    """Set the state of alarms that nothing has set yet: in AWS they have no data, in moto they are OK."""
    from moto.cloudwatch.models import cloudwatch_backends

    for alarm in list(cloudwatch_backends[ACCOUNT][region].alarms.values()):
        if alarm.state_reason == "Unchecked: Initial alarm creation":
            alarm.state_value = "INSUFFICIENT_DATA"


def _values(endpoint: Endpoint, now: float) -> dict[str, float]:
    backlog, instances = endpoint.fleet.backlog, sum(endpoint.counts.values())
    values = {
        "ApproximateBacklogSize": float(backlog),
        "ApproximateAgeOfOldestRequest": now - endpoint.fleet.changed if backlog else 0.0,
        "HasBacklogWithoutCapacity": float(backlog > 0 and instances == 0),
    }
    # Without instances there is nothing to divide by, so that this metric alone wakes no fleet.
    return values | ({"ApproximateBacklogSizePerInstance": backlog / instances} if instances else {})


def _lasting_seconds(alarm: Any, alarm_seconds: float) -> float:
    """How long a value must have been over its threshold before an alarm says so.

    That which starts a scaling policy takes as long as the sandbox lets it, others as long as in AWS.
    """
    if any(":scalingPolicy:" in action for action in alarm.alarm_actions):
        return alarm_seconds
    return 0.0 if alarm.statistic == "Maximum" else float(alarm.period * alarm.evaluation_periods)


def _is_of(metric: Any, endpoint: str, variants: Iterable[str] = ()) -> bool:
    """Whether a value or an alarm is about an endpoint as a whole, or about one of these variants of it."""
    dimensions = {dimension.name: dimension.value for dimension in metric.dimensions}
    whole = {"EndpointName": endpoint}
    wanted = [{**whole, "VariantName": variant} for variant in variants] or [whole]
    return metric.namespace == _NAMESPACE and dimensions in wanted


def _set_state(alarm: Any, value: float | None, *, lasting: bool) -> None:
    compare = _COMPARISONS.get(alarm.comparison_operator)
    if value is None or compare is None:
        state = "OK" if alarm.treat_missing_data == "notBreaching" else "INSUFFICIENT_DATA"
    elif compare(value, float(alarm.threshold)):
        state = "ALARM" if lasting else alarm.state_value
    else:
        state = "OK"
    if state != alarm.state_value:
        alarm.update_state(f"Threshold Crossed: the newest value is {value}", "{}", state)
