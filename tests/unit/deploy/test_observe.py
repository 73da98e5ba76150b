from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from sagepack.deploy import scaling
from sagepack.deploy.observe import Change, EndpointState, diff, differences
from sagepack.deploy.scaling import Scaling
from sagepack.spec.model import Scaling as Bounds
from tests.helpers.deployments import deployment

if TYPE_CHECKING:
    from sagepack.deploy.deployment import Deployment


def live(value: Deployment, **changes: Any) -> EndpointState:
    """What AWS would describe if `value` were deployed; services add defaults."""
    model = {**value.model, "ModelArn": "arn:model"}
    config = {**value.config, "CreationTime": 0}
    config["ProductionVariants"] = [{**config["ProductionVariants"][0], "InitialVariantWeight": 1.0}]
    observed = EndpointState(
        "InService",
        "arn:endpoint",
        value.config_name,
        model_name=value.model_name,
        model=model,
        config=config,
        tags={**value.tags, "aws:somebody": "else"},
        scaling=live_scaling(value),
    )
    return dataclasses.replace(observed, **changes)


def live_scaling(value: Deployment) -> Scaling:
    asked = scaling.wanted(value)
    policies = {name: {**policy, "PolicyARN": f"arn:{name}"} for name, policy in asked.policies.items()}
    alarms = {name: {**alarm, "AlarmActions": ["arn:svd-wake"]} for name, alarm in asked.alarms.items()}
    return Scaling(asked.target, policies, alarms)


def test_an_alarm_that_wakes_nothing_is_a_difference() -> None:
    value = deployment(scaling=Bounds(0, 2))
    observed = live(value)
    observed.scaling.policies["svd-wake"]["PolicyARN"] = "arn:new"
    (change,) = differences(value, observed)
    assert change == Change(
        "scaling", "Alarm.svd-has-backlog-without-capacity.AlarmActions: ['arn:svd-wake'] -> ['arn:new']"
    )


def test_what_is_as_asked_needs_nothing() -> None:
    value = deployment(scaling=Bounds(0, 2), volume_size_in_gb=30)
    assert differences(value, live(value)) == []


def test_no_endpoint_is_created() -> None:
    assert differences(deployment(), EndpointState()) == [Change("create", "endpoint svd does not exist")]


def test_an_update_names_every_setting_that_changes() -> None:
    old = deployment(environment={"A": "1", "B": "2", "D": "4"}, volume_size_in_gb=30)
    new = deployment(environment={"A": "1", "B": "3", "C": "5"}, instance_type="ml.g5.4xlarge")
    assert differences(new, live(old)) == [
        Change("update", "PrimaryContainer.Environment.B: 2 -> 3"),
        Change("update", "PrimaryContainer.Environment.C: none -> 5"),
        Change("update", "PrimaryContainer.Environment.D: 4 -> none"),
        Change("update", "ProductionVariants.InstanceType: ml.g5.2xlarge -> ml.g5.4xlarge"),
        Change("update", "ProductionVariants.VolumeSizeInGB: 30 -> none"),
    ]


def test_a_secret_that_somebody_set_is_not_shown() -> None:
    old = deployment(environment={"HF_API_TOKEN": "hf_abc", "A": "1"})
    reasons = [change.reason for change in differences(deployment(environment={"A": "1"}), live(old))]
    assert reasons == ["PrimaryContainer.Environment.HF_API_TOKEN: (not shown) -> none"]


@pytest.mark.parametrize("name", ["TOKENIZERS_PARALLELISM", "MAX_NEW_TOKENS", "MONKEY_MODE", "API_KEY_HEADER"])
def test_a_variable_that_is_no_secret_is_shown(name: str) -> None:
    (change,) = differences(deployment(environment={name: "new"}), live(deployment(environment={name: "old"})))
    assert change.reason == f"PrimaryContainer.Environment.{name}: old -> new"


def test_a_secret_is_not_shown_wherever_somebody_put_it() -> None:
    token = "hf" + "_" + "aB3" * 11
    old = deployment(environment={"COLOUR": token, "DB_PASS": "hunter22"}, tags={"owner": token, "team": "a"})
    new = deployment(environment={"COLOUR": "blue"}, tags={"owner": "me", "team": "b"})
    reasons = [change.reason for change in differences(new, live(old))]
    assert "PrimaryContainer.Environment.COLOUR: (not shown) -> blue" in reasons
    assert "PrimaryContainer.Environment.DB_PASS: (not shown) -> none" in reasons
    assert "Tags.owner: (not shown) -> 'me'" in reasons
    assert "Tags.team: 'a' -> 'b'" in reasons
    assert not {token, "hunter22"} & set(" ".join(reasons).split())


def test_a_container_as_a_whole_is_not_shown_with_its_secrets() -> None:
    observed = live(deployment(environment={"DB_PASS": "hunter22"}))
    assert observed.model is not None
    observed.model["PrimaryContainer"] = [observed.model["PrimaryContainer"]]
    assert "hunter22" not in repr(differences(deployment(environment={}), observed))


def test_a_deleted_configuration_still_gives_a_reason() -> None:
    value = deployment()
    observed = live(value, config_name="gone", config=None, model=None, model_name=None)
    assert [change.kind for change in differences(value, observed)] != []
    assert {change.kind for change in differences(value, observed)} == {"update"}


@pytest.mark.parametrize("tags", [{}, {"sagepack:endpoint": "svd", "sagepack:name": "svd", "sagepack:env": "prod"}])
def test_an_endpoint_of_somebody_else_is_not_touched(tags: dict[str, str]) -> None:
    value = deployment()
    (change,) = differences(value, live(value, tags=tags, config_name="other"))
    assert change.kind == "foreign"
    assert ("no sagepack tags" if not tags else "sagepack:env=prod") in change.reason


def test_a_failed_endpoint_is_made_anew_whatever_its_config() -> None:
    value = deployment()
    (change,) = differences(value, live(value, status="Failed", failure="no capacity"))
    assert change == Change("recreate", "endpoint is Failed, which only a new one mends: no capacity")


@pytest.mark.parametrize("status", ["Creating", "Updating", "RollingBack", "Deleting"])
def test_an_endpoint_under_way_is_waited_for(status: str) -> None:
    value = deployment()
    assert differences(value, live(value, status=status)) == [Change("wait", f"endpoint is {status}")]


def test_an_update_under_way_to_what_is_asked_is_no_second_update() -> None:
    value = deployment()
    observed = live(deployment(environment={}), status="Updating", pending=value.config_name)
    assert [change.kind for change in differences(value, observed)] == ["wait"]


def test_scaling_differs_by_bounds_policies_and_what_is_left_over() -> None:
    old, new = deployment(scaling=Bounds(0, 2)), deployment(scaling=Bounds(1, 4, scale_in_cooldown=60))
    assert [change.reason for change in differences(new, live(old))] == [
        "ScalableTarget.MinCapacity: 0 -> 1",
        "ScalableTarget.MaxCapacity: 2 -> 4",
        "ScalingPolicy.svd-backlog.TargetTrackingScalingPolicyConfiguration.ScaleInCooldown: 300 -> 60",
        "ScalingPolicy.svd-wake is not asked for",
        "ScalingPolicy.svd-has-backlog-without-capacity is not asked for",
    ]


def test_scaling_that_is_gone_from_the_spec_goes() -> None:
    (change,) = differences(deployment(), live(deployment(scaling=Bounds(0, 2)), tags=deployment().tags))
    assert change.kind == "scaling"


def test_a_scalable_target_with_a_strangers_policy_stays() -> None:
    theirs = Scaling({"MinCapacity": 1, "MaxCapacity": 9}, {"theirs": {}}, {})
    assert differences(deployment(), live(deployment(), scaling=theirs)) == []


def test_tags_change_in_place() -> None:
    new = deployment(tags={"team": "audio"})
    assert differences(new, live(deployment())) == [Change("tags", "Tags.team: 'video' -> 'audio'")]


def test_integers_and_floats_of_the_same_value_are_equal() -> None:
    assert list(diff({"Threshold": 1}, {"Threshold": 1.0})) == []
    assert list(diff([1, 2], [1], "List")) == ["List: [1] -> [1, 2]"]
