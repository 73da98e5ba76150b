from __future__ import annotations

from typing import Any

import pytest

from sagepack.deploy.iam_policy import execution_policy
from sagepack.deploy.rollout import deployment_config, longest_update, notes, rollback_alarms, waits
from sagepack.deploy.waiter import WaiterConfig
from sagepack.publish.keys import packages_uri
from sagepack.spec.model import Alarms, BlueGreen, Rolling, Scaling, Update
from tests.helpers.deployments import deployment, endpoint, spec, violations

GUARD = {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "sagepack/svd/failures"}, {"AlarmName": "mine"}]}}


def routing(update: Update, instances: int = 4) -> dict[str, Any]:
    """TrafficRoutingConfiguration of an update of four instances."""
    config = deployment_config(endpoint(update=update), instances)
    assert config is not None
    found: dict[str, Any] = config["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]
    return found


def canary(**changes: Any) -> Update:
    return Update(blue_green=BlueGreen("canary", canary_size="25%", **changes))


def test_without_the_key_an_update_is_left_to_sagemaker() -> None:
    assert deployment_config(endpoint(), 1) is None
    assert "DeploymentConfig" not in deployment().update_endpoint_request(retain_instance_count=False)


def test_alarms_alone_move_all_requests_at_once_and_are_watched_for_a_while() -> None:
    assert deployment_config(endpoint(update=Update(rollback_alarms=("failures", "mine"))), 1) == {
        "BlueGreenUpdatePolicy": {
            "TrafficRoutingConfiguration": {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 600},
            "TerminationWaitInSeconds": 0,
        },
        **GUARD,
    }


def test_without_alarms_an_update_does_not_wait() -> None:
    assert routing(Update())["WaitIntervalInSeconds"] == 0
    assert routing(canary(wait_interval_in_seconds=60))["WaitIntervalInSeconds"] == 60


def test_sizes_are_a_share_or_a_number_of_instances() -> None:
    assert routing(canary())["CanarySize"] == {"Type": "CAPACITY_PERCENT", "Value": 25}
    linear = Update(blue_green=BlueGreen("linear", linear_step_size="1"))
    assert routing(linear)["LinearStepSize"] == {"Type": "INSTANCE_COUNT", "Value": 1}


@pytest.mark.parametrize("update", [canary(), Update(rolling=Rolling())], ids=["canary", "rolling"])
def test_one_instance_is_changed_all_at_once_which_is_said(update: Update) -> None:
    config = deployment_config(endpoint(update=update), 1)
    assert config is not None
    assert config["BlueGreenUpdatePolicy"]["TrafficRoutingConfiguration"]["Type"] == "ALL_AT_ONCE"
    assert "RollingUpdatePolicy" not in config
    (note,) = notes(update, 1, before=1)
    assert "means nothing with one instance" in note
    assert notes(update, 4, before=4) == []


def test_a_rolling_update_replaces_half_of_the_instances_at_a_time_unless_another_share_is_declared() -> None:
    assert deployment_config(endpoint(update=Update(rolling=Rolling())), 4) == {
        "RollingUpdatePolicy": {
            "WaitIntervalInSeconds": 0,
            "MaximumBatchSize": {"Type": "CAPACITY_PERCENT", "Value": 50},
        }
    }


def test_it_is_said_how_long_alarms_are_watched_and_that_a_sleeping_endpoint_gives_them_nothing_to_see() -> None:
    update = Update(blue_green=BlueGreen(termination_wait_in_seconds=300), rollback_alarms=("failures",))
    (awake,), (asleep,) = notes(update, 1, before=1), notes(update, 1, before=0)
    assert "watched for 15 min" in awake
    assert "it sleeps now, so send some" in asleep


@pytest.mark.parametrize(
    ("update", "instances", "seconds"),
    [
        (Update(), 4, 0),
        (Update(rollback_alarms=("failures",)), 4, 600),
        (canary(wait_interval_in_seconds=100, termination_wait_in_seconds=7), 4, 207),
        (canary(wait_interval_in_seconds=100), 1, 100),
        (Update(blue_green=BlueGreen("linear", 100, linear_step_size="30%")), 4, 400),
        (Update(rolling=Rolling("1", 100)), 3, 300),
    ],
)
def test_an_update_waits_after_each_step(update: Update, instances: int, seconds: int) -> None:
    assert waits(update, instances) == seconds


@pytest.mark.parametrize(
    ("update", "seconds"),
    [
        (None, 1000),
        (Update(rollback_alarms=("failures",)), 1600),
        (Update(blue_green=BlueGreen(maximum_execution_timeout_in_seconds=7200)), 8200),
        (Update(rolling=Rolling("50%", 60)), 2120),  # each batch starts instances
        (Update(rolling=Rolling("5%", 3600)), 29800),  # SageMaker gives up after eight hours
    ],
)
def test_a_command_waits_for_an_update_until_it_has_ended_or_was_given_up(update: Update | None, seconds: int) -> None:
    assert longest_update(endpoint(update=update, scaling=Scaling(1, 4)), 1000) == seconds


def test_the_wait_of_a_command_includes_that_of_the_update() -> None:
    guarded = WaiterConfig.of(spec(update=Update(rollback_alarms=("failures",))))
    assert guarded.timeout == WaiterConfig.of(spec()).timeout + 600


def test_roll_back_alarms_are_own_ones_by_their_key_and_others_by_their_name() -> None:
    assert rollback_alarms(endpoint(update=Update(rollback_alarms=("no_capacity", "mine")))) == (
        "sagepack/svd/no-capacity",
        "mine",
    )


def test_the_execution_role_may_look_at_alarms_if_an_update_is_rolled_back_by_some() -> None:
    def actions(**more: Any) -> set[str]:
        value = spec(**more)
        statements = execution_policy(value, packages_uri(value))["Statement"]
        return {action for statement in statements for action in statement["Action"]}

    assert "cloudwatch:DescribeAlarms" not in actions(alarms=Alarms(), update=Update())
    assert "cloudwatch:DescribeAlarms" in actions(alarms=Alarms(), update=Update(rollback_alarms=("failures",)))


@pytest.mark.parametrize(
    "update",
    [
        Update(rollback_alarms=("failures",)),
        canary(wait_interval_in_seconds=3600, maximum_execution_timeout_in_seconds=28800),
        Update(blue_green=BlueGreen("linear", linear_step_size="10%", termination_wait_in_seconds=3600)),
        Update(rolling=Rolling("5%", 3600, "100%", 600), rollback_alarms=("a" * 255,)),
    ],
)
@pytest.mark.parametrize("instances", [1, 4])
def test_every_request_is_within_what_the_service_model_allows(update: Update, instances: int) -> None:
    request = deployment(update=update).update_endpoint_request(retain_instance_count=True, instances=instances)
    assert violations("sagemaker", "UpdateEndpoint", request) == []


def test_the_way_of_an_update_changes_no_name() -> None:
    one, two = deployment(), deployment(update=canary())
    assert (one.model_name, one.endpoint_config_name) == (two.model_name, two.endpoint_config_name)
