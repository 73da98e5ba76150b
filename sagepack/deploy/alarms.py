"""The alarms that a spec declares on what an asynchronous endpoint publishes, as requests of CloudWatch, and what differs. Pure.

Metrics about the queue have the dimension EndpointName alone, those about single requests also VariantName; with other
dimensions an alarm never gets data (SageMaker developer guide, "Monitor asynchronous endpoint"). The alarm that wakes an
endpoint belongs to its scaling (`scaling`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sagepack.deploy.alarm_names import alarm_name
from sagepack.deploy.deployment import VARIANT_NAME
from sagepack.spec.model import ALARM_KEYS

if TYPE_CHECKING:
    from sagepack.aws.session import Document
    from sagepack.deploy.deployment import Deployment
    from sagepack.spec.model import Alarms

_MINUTE = 60  # seconds; how often SageMaker publishes


@dataclass(frozen=True)
class _Metric:
    """A metric, and how an alarm looks at it.

    Attributes:
        name: MetricName.
        meaning: what it means that the alarm goes off, for the people who get the notification.
        statistic: Statistic.
        of_variant: whether it also has the dimension VariantName.
    """

    name: str
    meaning: str
    statistic: str = "Average"
    of_variant: bool = False


# By the key of `endpoint.alarms` that declares the alarm.
_METRICS = {
    "failures": _Metric("InvocationFailures", "requests fail", "Sum", of_variant=True),
    "expired_requests": _Metric(
        "ExpiredRequests", "requests expire, since no instance takes them in time", "Sum", of_variant=True
    ),
    "age_of_oldest_request": _Metric("ApproximateAgeOfOldestRequest", "a request waits too long", "Maximum"),
    "backlog": _Metric("ApproximateBacklogSize", "too many requests wait"),
    "no_capacity": _Metric("HasBacklogWithoutCapacity", "requests wait, and no instance starts"),
}


def desired_alarms(deployment: Deployment) -> dict[str, Document]:
    """PutMetricAlarm requests, without the name and the tags, by the name of the alarm."""
    declared, name = deployment.endpoint.alarms, deployment.endpoint_name
    if declared is None:
        return {}
    return {alarm_name(name, key): _request(declared, name, key) for key in ALARM_KEYS if getattr(declared, key)}


def _request(declared: Alarms, endpoint_name: str, key: str) -> Document:
    metric, limit = _METRICS[key], getattr(declared, key)
    period, count, threshold = declared.period, 1, float(limit)
    if key == "age_of_oldest_request":
        period = _MINUTE  # the age itself says for how long
    elif key == "no_capacity":  # 1 as long as it is so
        period, count, threshold = _MINUTE, limit // _MINUTE, 1.0
    dimensions = [{"Name": "EndpointName", "Value": endpoint_name}]
    if metric.of_variant:
        dimensions.append({"Name": "VariantName", "Value": VARIANT_NAME})
    return {
        "AlarmDescription": f"{metric.meaning} at endpoint {endpoint_name} (endpoint.alarms.{key})",
        "ActionsEnabled": True,
        "AlarmActions": sorted(declared.topics),
        "OKActions": sorted(declared.topics),
        "MetricName": metric.name,
        "Namespace": "AWS/SageMaker",
        "Statistic": metric.statistic,
        "Dimensions": dimensions,
        "Period": period,
        "EvaluationPeriods": count,
        "DatapointsToAlarm": count,
        "Threshold": threshold,
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        # An endpoint without requests publishes nothing, and nothing is wrong with it.
        "TreatMissingData": "notBreaching",
    }


def comparable(alarm: Document) -> Document:
    """A PutMetricAlarm request, or what DescribeAlarms says, to be compared and shown: lists in one order, numbers as one writes them.

    The service may list topics and dimensions in any order.
    """
    topics = {key: ", ".join(sorted(alarm.get(key) or [])) or None for key in ("AlarmActions", "OKActions")}
    dimensions = sorted(alarm.get("Dimensions") or [], key=lambda dimension: str(dimension["Name"]))
    threshold = alarm.get("Threshold")
    if isinstance(threshold, float) and threshold.is_integer():
        threshold = int(threshold)
    return {**alarm, **topics, "Dimensions": dimensions, "Threshold": threshold}
