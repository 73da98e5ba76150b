"""Application Auto Scaling of one endpoint variant, and the CloudWatch alarms that belong to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sagepack.aws.session import answered, error_code

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagepack.aws.session import Aws

Document = dict[str, Any]
_SERVICE = {"ServiceNamespace": "sagemaker"}
_DIMENSION = {"ScalableDimension": "sagemaker:variant:DesiredInstanceCount"}


def describe_target(aws: Aws, resource: str) -> Document | None:
    """Bounds of the scalable target, or None if none is registered."""
    with answered("describing the scalable target", resource):
        client = aws.client("application-autoscaling")
        found = client.describe_scalable_targets(**_SERVICE, **_DIMENSION, ResourceIds=[resource])["ScalableTargets"]
        return {key: found[0][key] for key in ("MinCapacity", "MaxCapacity")} if found else None


def describe_policies(aws: Aws, resource: str) -> dict[str, Document]:
    """Scaling policies by name."""
    with answered("describing scaling policies", resource):
        pages = aws.client("application-autoscaling").get_paginator("describe_scaling_policies")
        request = {**_SERVICE, **_DIMENSION, "ResourceId": resource}
        return {
            policy["PolicyName"]: policy for page in pages.paginate(**request) for policy in page["ScalingPolicies"]
        }


def describe_alarms(aws: Aws, names: list[str]) -> dict[str, Document]:
    """Those of the named metric alarms that exist."""
    with answered("describing alarms", ", ".join(names)):
        found = aws.client("cloudwatch").describe_alarms(AlarmNames=names, AlarmTypes=["MetricAlarm"])["MetricAlarms"]
        return {alarm["AlarmName"]: alarm for alarm in found}


def register_target(aws: Aws, resource: str, bounds: Document) -> None:
    """RegisterScalableTarget: makes the target or changes its bounds."""
    with answered("registering the scalable target", resource):
        client = aws.client("application-autoscaling")
        client.register_scalable_target(**_SERVICE, **_DIMENSION, ResourceId=resource, **bounds)


def put_policy(aws: Aws, resource: str, name: str, policy: Document) -> str:
    """PutScalingPolicy; returns the ARN of the policy, which alarms act on."""
    with answered(f"putting scaling policy {name}", resource):
        client = aws.client("application-autoscaling")
        answer = client.put_scaling_policy(**_SERVICE, **_DIMENSION, ResourceId=resource, PolicyName=name, **policy)
        return str(answer["PolicyARN"])


def put_alarm(aws: Aws, name: str, alarm: Document, action: str, tags: list[dict[str, str]]) -> None:
    """PutMetricAlarm with one action; tags count only when the alarm is new."""
    with answered("putting the alarm", name):
        aws.client("cloudwatch").put_metric_alarm(AlarmName=name, AlarmActions=[action], Tags=tags, **alarm)


def delete_alarms(aws: Aws, names: list[str]) -> None:
    """DeleteAlarms; those that do not exist are no error."""
    with answered("deleting alarms", ", ".join(names)):
        _unless_gone(lambda: aws.client("cloudwatch").delete_alarms(AlarmNames=names))


def delete_policy(aws: Aws, resource: str, name: str) -> None:
    """DeleteScalingPolicy; one that does not exist is no error."""
    with answered(f"deleting scaling policy {name}", resource):
        client = aws.client("application-autoscaling")
        _unless_gone(
            lambda: client.delete_scaling_policy(**_SERVICE, **_DIMENSION, ResourceId=resource, PolicyName=name)
        )


def deregister_target(aws: Aws, resource: str) -> None:
    """DeregisterScalableTarget; one that does not exist is no error."""
    with answered("deregistering the scalable target", resource):
        client = aws.client("application-autoscaling")
        _unless_gone(lambda: client.deregister_scalable_target(**_SERVICE, **_DIMENSION, ResourceId=resource))


def _unless_gone(call: Callable[[], object]) -> None:
    import botocore.exceptions

    try:
        call()
    except botocore.exceptions.ClientError as error:
        message = error.response.get("Error", {}).get("Message", "")
        # Auto Scaling has a code for it; some back-ends say it in words alone.
        if error_code(error) not in {"ObjectNotFoundException", "ResourceNotFound"} and not message.startswith(
            "No scal"
        ):
            raise
