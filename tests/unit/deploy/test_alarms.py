from __future__ import annotations

import copy
from typing import Any

import pytest
from msgspec import structs

from sagepack.aws.autoscaling import Alarm
from sagepack.deploy.alarm_names import alarm_names, key_of
from sagepack.deploy.alarms import desired_alarms
from sagepack.deploy.drift import alarm_differences
from sagepack.deploy.scaling import scaling_names
from sagepack.spec.model import ALARM_KEYS, Alarms
from tests.helpers.deployments import deployment, violations

TOPICS = ("arn:aws:sns:us-east-1:123456789012:on-call", "arn:aws:sns:us-east-1:123456789012:mail")
ENDPOINT = {"Name": "EndpointName", "Value": "svd"}
VARIANT = {"Name": "VariantName", "Value": "AllTraffic"}


def described(alarms: Alarms) -> dict[str, Alarm]:
    """What DescribeAlarms would say of these alarms: with what it adds, and lists in another order."""
    requests = copy.deepcopy(desired_alarms(deployment(alarms=alarms)))
    for request in requests.values():
        request["Dimensions"].reverse()
        request["AlarmActions"].reverse()
        request["StateValue"] = "OK"
    return {name: Alarm(tuple(request["AlarmActions"]), request) for name, request in requests.items()}


def reasons(declared: Alarms | None, live: dict[str, Alarm]) -> list[str]:
    return [change.reason for change in alarm_differences(deployment(alarms=declared), live)]


def test_without_the_key_there_is_no_alarm() -> None:
    assert desired_alarms(deployment()) == {}


def test_the_key_alone_declares_every_alarm_and_zero_leaves_one_out() -> None:
    assert list(desired_alarms(deployment(alarms=Alarms()))) == alarm_names("svd")
    for key in ALARM_KEYS:
        left = desired_alarms(deployment(alarms=structs.replace(Alarms(), **{key: 0})))
        assert set(alarm_names("svd")) - set(left) == {f"sagepack/svd/{key.replace('_', '-')}"}


@pytest.mark.parametrize(
    ("name", "metric", "dimensions"),
    [
        ("failures", "InvocationFailures", [ENDPOINT, VARIANT]),
        ("expired-requests", "ExpiredRequests", [ENDPOINT, VARIANT]),
        ("age-of-oldest-request", "ApproximateAgeOfOldestRequest", [ENDPOINT]),
        ("backlog", "ApproximateBacklogSize", [ENDPOINT]),
        ("no-capacity", "HasBacklogWithoutCapacity", [ENDPOINT]),
    ],
)
def test_each_alarm_looks_at_a_metric_by_the_dimensions_with_which_it_is_published(
    name: str, metric: str, dimensions: list[Any]
) -> None:
    alarm = desired_alarms(deployment(alarms=Alarms()))[f"sagepack/svd/{name}"]
    assert (alarm["MetricName"], alarm["Dimensions"]) == (metric, dimensions)


def test_an_alarm_about_missing_instances_goes_off_after_as_many_minutes_as_declared() -> None:
    alarm = desired_alarms(deployment(alarms=Alarms(no_capacity=1200)))["sagepack/svd/no-capacity"]
    assert (alarm["Period"], alarm["EvaluationPeriods"], alarm["DatapointsToAlarm"]) == (60, 20, 20)
    assert alarm["Threshold"] == 1


def test_topics_are_told_of_the_alarm_and_of_its_end() -> None:
    for alarm in desired_alarms(deployment(alarms=Alarms(TOPICS))).values():
        assert alarm["AlarmActions"] == alarm["OKActions"] == sorted(TOPICS)


@pytest.mark.parametrize("alarms", [Alarms(), Alarms(TOPICS, failures=7, no_capacity=21600, period=86400)])
def test_every_request_is_within_what_the_service_model_allows(alarms: Alarms) -> None:
    value = deployment("a" * 63, alarms=alarms)
    assert len(desired_alarms(value)) == 5
    for name, request in desired_alarms(value).items():
        assert violations("cloudwatch", "PutMetricAlarm", {"AlarmName": name, **request}) == []
        assert request["Period"] * request["EvaluationPeriods"] <= 86400  # as CloudWatch demands


def test_the_names_are_none_of_scaling_and_tell_their_key() -> None:
    assert not set(alarm_names("svd")) & set(scaling_names("svd"))
    assert [key_of(name) for name in alarm_names("svd")] == [f"endpoint.alarms.{key}" for key in ALARM_KEYS]
    assert key_of("svd-failures") is None


def test_alarms_as_declared_are_no_difference() -> None:
    assert reasons(Alarms(TOPICS), described(Alarms(TOPICS))) == []
    assert reasons(None, {}) == []


@pytest.mark.parametrize(
    ("declared", "member", "value", "reason"),
    [
        (Alarms(), "ActionsEnabled", False, "endpoint.alarms.failures, ActionsEnabled: false -> true"),
        (Alarms(failures=4), "Threshold", 1.0, "endpoint.alarms.failures: 1 -> 4"),
        (Alarms(), "Period", 60, "endpoint.alarms.period: 60 -> 300"),
        (
            Alarms(),
            "MetricName",
            "Invocations",
            "endpoint.alarms.failures, MetricName: Invocations -> InvocationFailures",
        ),
    ],
)
def test_what_was_changed_by_hand_is_a_difference_with_its_key(
    declared: Alarms, member: str, value: object, reason: str
) -> None:
    live = described(declared)
    live["sagepack/svd/failures"].description[member] = value
    assert reasons(declared, live) == [reason]


def test_an_alarm_that_is_missing_or_not_declared_any_more_is_a_difference() -> None:
    live = described(Alarms())
    del live["sagepack/svd/backlog"]
    assert reasons(Alarms(), live) == ["endpoint.alarms.backlog is missing"]
    (gone,) = alarm_differences(deployment(alarms=Alarms(failures=0)), described(Alarms()))
    assert (gone.reason, gone.sign) == ("endpoint.alarms.failures is not declared", "-")
    assert len(reasons(None, described(Alarms()))) == 5


def test_another_topic_is_one_difference_whatever_the_number_of_alarms() -> None:
    (reason,) = reasons(Alarms(TOPICS[:1]), described(Alarms()))
    assert reason == f"endpoint.alarms.topics: none -> {TOPICS[0]}"


def test_alarms_change_no_name_of_a_model_or_configuration() -> None:
    one, two = deployment(), deployment(alarms=Alarms(TOPICS))
    assert (one.model_name, one.endpoint_config_name) == (two.model_name, two.endpoint_config_name)
