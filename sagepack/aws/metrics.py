"""CloudWatch's metrics of an endpoint."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import msgspec

from sagepack.aws.session import aws_call
from sagepack.decoding import convert

if TYPE_CHECKING:
    from sagepack.aws.session import Aws

# Values come once a minute, some minutes late; an endpoint without requests has none.
_RECENT = timedelta(minutes=10)


class _Series(msgspec.Struct, rename="pascal"):
    values: tuple[float, ...] = ()


def newest_value(aws: Aws, endpoint_name: str, metric: str) -> float | None:
    """The newest value of a metric of AWS/SageMaker that has the endpoint as its only dimension; None if it has no data now."""
    now = datetime.now(timezone.utc)
    stat = {
        "Metric": {
            "Namespace": "AWS/SageMaker",
            "MetricName": metric,
            "Dimensions": [{"Name": "EndpointName", "Value": endpoint_name}],
        },
        "Period": 60,
        "Stat": "Maximum",
    }
    with aws_call(f"reading the metric {metric}", f"endpoint {endpoint_name}"):
        answer = aws.client("cloudwatch").get_metric_data(
            MetricDataQueries=[{"Id": "newest", "MetricStat": stat}],
            StartTime=now - _RECENT,
            EndTime=now,
            ScanBy="TimestampDescending",
        )
        series = [convert(entry, _Series) for entry in answer["MetricDataResults"]]
        return next((each.values[0] for each in series if each.values), None)
