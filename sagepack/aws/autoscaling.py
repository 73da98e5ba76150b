"""Application Auto Scaling of one endpoint variant, and CloudWatch alarms."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from sagepack.aws.session import aws_call, error_code, message_of
from sagepack.decoding import convert
from sagepack.errors import RemoteError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagepack.aws.session import Aws, Document

SERVICE = {"ServiceNamespace": "sagemaker"}
DIMENSION = {"ScalableDimension": "sagemaker:variant:DesiredInstanceCount"}


# Codes for "repeat it later" (API reference of Application Auto Scaling: reads are eventually consistent, and a change may be
# refused while another one is pending); and what it says about a service-linked role that it has just made.
_NOT_READY = {"ConcurrentUpdateException", "ObjectNotFoundException"}
_NOT_READY_MESSAGE = "Unable to assume IAM role"


class ScalingNotReadyError(RemoteError):
    """Application Auto Scaling is busy with another change, or does not see one yet: the same request succeeds later."""

    cause = "is not ready for a change of its scaling yet"


class SuspendedState(msgspec.Struct, rename="pascal", frozen=True):
    """What of the scaling is suspended (API reference, SuspendedState)."""

    dynamic_scaling_in_suspended: bool = False
    dynamic_scaling_out_suspended: bool = False
    scheduled_scaling_suspended: bool = False


class ScalableTarget(msgspec.Struct, rename="pascal", frozen=True):
    """Fewest and most instances between which a variant is scaled, and whether it is (API reference, ScalableTarget)."""

    min_capacity: int
    max_capacity: int
    suspended_state: SuspendedState = SuspendedState()

    @property
    def document(self) -> Document:
        """These bounds and switches in the API's names."""
        return dict(msgspec.to_builtins(self))

    def __str__(self) -> str:
        return f"{self.min_capacity} to {self.max_capacity} instances"


@dataclass(frozen=True)
class ScalingPolicy:
    """A scaling policy that exists.

    Attributes:
        arn: its ARN, which alarms name as their action.
        description: the whole ScalingPolicy of DescribeScalingPolicies.
        alarm_names: the alarms that start it.
    """

    arn: str
    description: Document
    alarm_names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Alarm:
    """An alarm that exists.

    Attributes:
        actions: ARNs of the policies that it starts, or of the topics that it notifies.
        description: the whole MetricAlarm, or CompositeAlarm, of DescribeAlarms.
    """

    actions: tuple[str, ...]
    description: Document

    @property
    def state(self) -> str:
        """`OK`, `ALARM` or `INSUFFICIENT_DATA`."""
        return str(self.description.get("StateValue", "INSUFFICIENT_DATA"))


class ScheduledBounds(msgspec.Struct, rename="pascal", frozen=True):
    """The bounds that a scheduled action sets; one that is None stays as it is (API reference, ScalableTargetAction)."""

    min_capacity: int | None = None
    max_capacity: int | None = None


class ScheduledAction(msgspec.Struct, rename="pascal", frozen=True):
    """A scheduled action (API reference, ScheduledAction).

    Attributes:
        schedule: when it runs.
        timezone: time zone of the schedule; None for UTC, and for a rate.
        start_time, end_time: between which it runs; None for always.
        scalable_target_action: what it sets.
        creation_time: since when it exists; None for one that is to be made.
    """

    schedule: str
    timezone: str | None = None
    start_time: datetime | None = None
    end_time: datetime | None = None
    scalable_target_action: ScheduledBounds = ScheduledBounds()
    creation_time: datetime | None = None

    @property
    def document(self) -> Document:
        """What it does, in the API's names; None is for what it does not have. Without a time zone that says nothing of one."""
        document = dict(msgspec.to_builtins(self))
        left_out = {"CreationTime"} if self.timezone else {"CreationTime", "Timezone"}
        return {name: value for name, value in document.items() if name not in left_out}


class ScalingActivity(msgspec.Struct, rename="pascal", frozen=True):
    """An attempt to change the number of instances (API reference, ScalingActivity)."""

    start_time: datetime
    status_code: str
    description: str
    status_message: str = ""

    @property
    def outcome(self) -> str:
        """What came of it, and why, for people."""
        return f"{self.status_code}: {self.status_message or self.description}"


class _AlarmName(msgspec.Struct, rename="pascal"):
    alarm_name: str


class _ActionName(msgspec.Struct, rename="pascal"):
    scheduled_action_name: str


class _PolicyFields(msgspec.Struct, rename="pascal"):
    policy_name: str
    policy_arn: str = msgspec.field(name="PolicyARN")
    alarms: tuple[_AlarmName, ...] = ()

    @property
    def alarm_names(self) -> tuple[str, ...]:
        return tuple(alarm.alarm_name for alarm in self.alarms)


class _AlarmFields(msgspec.Struct, rename="pascal"):
    alarm_name: str
    alarm_actions: tuple[str, ...] = ()


def describe_target(aws: Aws, resource_id: str) -> ScalableTarget | None:
    """The scalable target, or None if none is registered."""
    with aws_call("describing the scalable target", resource_id):
        client = aws.client("application-autoscaling")
        found = client.describe_scalable_targets(**SERVICE, **DIMENSION, ResourceIds=[resource_id])["ScalableTargets"]
        return convert(found[0], ScalableTarget) if found else None


def describe_policies(aws: Aws, resource_id: str) -> dict[str, ScalingPolicy]:
    """Scaling policies by name."""
    with aws_call("describing scaling policies", resource_id):
        paginator = aws.client("application-autoscaling").get_paginator("describe_scaling_policies")
        pages = paginator.paginate(**SERVICE, **DIMENSION, ResourceId=resource_id)
        found = [(convert(entry, _PolicyFields), entry) for page in pages for entry in page["ScalingPolicies"]]
        return {
            fields.policy_name: ScalingPolicy(fields.policy_arn, entry, fields.alarm_names) for fields, entry in found
        }


def describe_scheduled_actions(aws: Aws, resource_id: str) -> dict[str, ScheduledAction]:
    """Scheduled actions by name."""
    with aws_call("describing scheduled actions", resource_id):
        paginator = aws.client("application-autoscaling").get_paginator("describe_scheduled_actions")
        pages = paginator.paginate(**SERVICE, **DIMENSION, ResourceId=resource_id)
        entries = [entry for page in pages for entry in page["ScheduledActions"]]
        return {convert(entry, _ActionName).scheduled_action_name: convert(entry, ScheduledAction) for entry in entries}


def newest_activity(aws: Aws, resource_id: str) -> ScalingActivity | None:
    """The newest attempt to scale; None if there was none in the last six weeks, for which AWS keeps them."""
    with aws_call("describing scaling activities", resource_id):
        client = aws.client("application-autoscaling")
        # One page holds the newest; the order within it is not documented.
        page = client.describe_scaling_activities(**SERVICE, **DIMENSION, ResourceId=resource_id)
        found = [convert(entry, ScalingActivity) for entry in page["ScalingActivities"]]
        return max(found, key=lambda activity: activity.start_time, default=None)


def describe_alarms(aws: Aws, names: list[str]) -> dict[str, Alarm]:
    """Those of the named alarms that exist, by name."""
    with aws_call("describing alarms", ", ".join(names)):
        kinds = ["MetricAlarm", "CompositeAlarm"]
        response = aws.client("cloudwatch").describe_alarms(AlarmNames=names, AlarmTypes=kinds)
        entries = [entry for kind in kinds for entry in response.get(f"{kind}s", [])]
        found = [(convert(entry, _AlarmFields), entry) for entry in entries]
        return {fields.alarm_name: Alarm(fields.alarm_actions, entry) for fields, entry in found}


def register_target(aws: Aws, resource_id: str, target: ScalableTarget) -> None:
    """RegisterScalableTarget: registers the target or changes its bounds.

    Raises:
        ScalingNotReadyError: it can be sent again.
    """
    with aws_call("registering the scalable target", resource_id), _not_ready(resource_id):
        client = aws.client("application-autoscaling")
        client.register_scalable_target(**SERVICE, **DIMENSION, ResourceId=resource_id, **target.document)


def put_policy(aws: Aws, resource_id: str, name: str, policy: Document) -> str:
    """PutScalingPolicy; returns the ARN of the policy, which alarms name as their action.

    Raises:
        ScalingNotReadyError: it can be sent again.
    """
    with aws_call(f"putting scaling policy {name}", resource_id), _not_ready(resource_id):
        client = aws.client("application-autoscaling")
        request = {**SERVICE, **DIMENSION, "ResourceId": resource_id, "PolicyName": name, **policy}
        return str(client.put_scaling_policy(**request)["PolicyARN"])


def put_scheduled_action(aws: Aws, resource_id: str, name: str, action: ScheduledAction) -> None:
    """PutScheduledAction: creates it, or changes what is given; times of start and end that are not given are removed.

    Raises:
        ScalingNotReadyError: it can be sent again.
    """
    bounds = {key: value for key, value in action.document["ScalableTargetAction"].items() if value is not None}
    request: Document = {**SERVICE, **DIMENSION, "ResourceId": resource_id, "ScheduledActionName": name}
    request |= {"Schedule": action.schedule, "ScalableTargetAction": bounds}
    request |= {"Timezone": action.timezone} if action.timezone else {}
    with aws_call(f"putting scheduled action {name}", resource_id), _not_ready(resource_id):
        aws.client("application-autoscaling").put_scheduled_action(**request)


def delete_scheduled_action(aws: Aws, resource_id: str, name: str) -> None:
    """DeleteScheduledAction; no error if there is none.

    Raises:
        ScalingNotReadyError: it can be sent again.
    """
    with aws_call(f"deleting scheduled action {name}", resource_id), _not_ready(resource_id), _ignore_not_found():
        client = aws.client("application-autoscaling")
        client.delete_scheduled_action(**SERVICE, **DIMENSION, ResourceId=resource_id, ScheduledActionName=name)


def put_alarm(aws: Aws, name: str, alarm: Document, tags: list[dict[str, str]]) -> None:
    """PutMetricAlarm. CloudWatch sets the tags only when it creates the alarm."""
    with aws_call("putting the alarm", name):
        aws.client("cloudwatch").put_metric_alarm(AlarmName=name, Tags=tags, **alarm)


def delete_alarm(aws: Aws, name: str) -> None:
    """DeleteAlarms of one alarm; no error if there is none."""
    with aws_call("deleting the alarm", name), _ignore_not_found():
        aws.client("cloudwatch").delete_alarms(AlarmNames=[name])


def delete_policy(aws: Aws, resource_id: str, name: str) -> None:
    """DeleteScalingPolicy; no error if there is none.

    Raises:
        ScalingNotReadyError: it can be sent again.
    """
    with aws_call(f"deleting scaling policy {name}", resource_id), _not_ready(resource_id), _ignore_not_found():
        client = aws.client("application-autoscaling")
        client.delete_scaling_policy(**SERVICE, **DIMENSION, ResourceId=resource_id, PolicyName=name)


def deregister_target(aws: Aws, resource_id: str) -> None:
    """DeregisterScalableTarget; no error if there is none.

    Raises:
        ScalingNotReadyError: it can be sent again.
    """
    with aws_call("deregistering the scalable target", resource_id), _not_ready(resource_id), _ignore_not_found():
        client = aws.client("application-autoscaling")
        client.deregister_scalable_target(**SERVICE, **DIMENSION, ResourceId=resource_id)


@contextmanager
def _not_ready(resource_id: str) -> Iterator[None]:
    import botocore.exceptions

    try:
        yield
    except botocore.exceptions.ClientError as error:
        message = message_of(error)
        if error_code(error) not in _NOT_READY and _NOT_READY_MESSAGE not in message:
            raise
        raise ScalingNotReadyError(f"{error_code(error)}: {message}", where=resource_id) from error


@contextmanager
def _ignore_not_found() -> Iterator[None]:
    import botocore.exceptions

    try:
        yield
    except botocore.exceptions.ClientError as error:
        if error_code(error) not in {"ObjectNotFoundException", "ResourceNotFound"}:
            raise
