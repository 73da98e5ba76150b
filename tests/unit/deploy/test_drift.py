from __future__ import annotations

import copy
import dataclasses
from contextlib import nullcontext
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from sagepack.aws.autoscaling import Alarm, ScalableTarget, ScalingPolicy, SuspendedState
from sagepack.aws.logs import LogGroup
from sagepack.aws.sagemaker import Endpoint, EndpointConfig, EndpointVariant, PendingDeployment, ProductionVariant
from sagepack.aws.service_model import shape
from sagepack.deploy.change import Change, require_no_loss, values
from sagepack.deploy.deployment import ReleaseTag
from sagepack.deploy.drift import Difference, diff, differences, release_differences
from sagepack.deploy.observe import EndpointState, ScalingState
from sagepack.deploy.scaling import desired_scaling
from sagepack.deploy.subjects import subject_of
from sagepack.digest import Digest
from sagepack.errors import UserError
from sagepack.spec.model import Scaling as Bounds
from sagepack.spec.model import Vpc
from tests.helpers.deployments import deployment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagepack.deploy.deployment import Deployment


def live(value: Deployment, *, tags: dict[str, str] | None = None, **changes: Any) -> EndpointState:
    """What AWS would describe if `value` were deployed; services add defaults.

    Args:
        value: the deployment.
        tags: those of the endpoint, if not the deployment's.
        changes: other fields of the endpoint.
    """
    model = {**value.create_model_request, "ModelArn": "arn:model"}
    config = {**value.create_endpoint_config_request, "CreationTime": 0}
    config["ProductionVariants"] = [{**config["ProductionVariants"][0], "InitialVariantWeight": 1.0}]
    endpoint = Endpoint(
        "arn:endpoint", "InService", datetime(2026, 1, 1, tzinfo=timezone.utc), value.endpoint_config_name
    )
    return EndpointState(
        endpoint=msgspec.structs.replace(endpoint, **changes),
        endpoint_config=EndpointConfig((ProductionVariant(value.model_name, value.endpoint.instance_type),), config),
        model_description=model,
        tags={**value.tags, "aws:somebody": "else"} if tags is None else tags,
        scaling=live_scaling(value),
    )


def live_scaling(value: Deployment) -> ScalingState:
    desired = desired_scaling(value.endpoint)
    policies = {name: ScalingPolicy(f"arn:{name}", policy) for name, policy in desired.policies.items()}
    alarms = {name: Alarm(("arn:svd-wake",), alarm) for name, alarm in desired.alarms.items()}
    return ScalingState(desired.target, policies, alarms)


def test_an_alarm_that_does_not_start_the_wake_policy_is_a_difference() -> None:
    value = deployment(scaling=Bounds(0, 2))
    observed = live(value)
    observed.scaling.policies["svd-wake"] = ScalingPolicy("arn:new", observed.scaling.policies["svd-wake"].description)
    (change,) = differences(value, observed)
    path = "Alarm.svd-has-backlog-without-capacity.AlarmActions"
    subject = "alarm svd-has-backlog-without-capacity, AlarmActions"
    reason = f"{subject}: arn:svd-wake -> arn:new"
    assert change == Change("scaling", reason, subject, path, "arn:svd-wake", "arn:new")


def test_an_endpoint_as_declared_needs_no_change() -> None:
    value = deployment(scaling=Bounds(0, 2), volume_size_in_gb=30)
    assert differences(value, live(value)) == []


def test_a_missing_endpoint_is_created() -> None:
    assert differences(deployment(), None) == [Change("create", "endpoint svd does not exist", "endpoint svd")]


def test_an_update_names_every_setting_that_changes() -> None:
    old = deployment(environment={"A": "1", "B": "2", "D": "4"}, volume_size_in_gb=30)
    new = deployment(environment={"A": "1", "B": "3", "C": "5"}, instance_type="ml.g5.4xlarge")
    assert [(change.kind, change.reason) for change in differences(new, live(old))] == [
        ("update", "environment.B: 2 -> 3"),
        ("update", "environment.C: none -> 5"),
        ("update", "environment.D: 4 -> none"),
        ("update", "endpoint.instance_type: ml.g5.2xlarge -> ml.g5.4xlarge"),
        ("update", "endpoint.volume_size_in_gb: 30 -> none"),
    ]


@pytest.mark.parametrize(
    ("group", "reasons"),
    [
        (None, ["endpoint.log_retention_in_days: none -> 30"]),
        (LogGroup("g"), ["endpoint.log_retention_in_days: none -> 30"]),
        (LogGroup("g", 7), ["endpoint.log_retention_in_days: 7 -> 30"]),
        (LogGroup("g", 30), []),
        (LogGroup("g", 90, retention_policy_name="of-the-account"), []),  # no request could change it
    ],
)
def test_another_retention_of_the_log_is_a_difference_if_one_is_declared(
    group: LogGroup | None, reasons: list[str]
) -> None:
    value = deployment(log_retention_in_days=30)
    found = differences(value, dataclasses.replace(live(value), log=group))
    assert [(change.kind, change.reason) for change in found] == [("log", reason) for reason in reasons]
    assert differences(deployment(), dataclasses.replace(live(deployment()), log=group)) == []


def test_other_observability_is_told_and_a_configuration_from_before_it_has_none() -> None:
    off, on = deployment(), deployment(detailed_observability=True)
    assert [change.reason for change in differences(on, live(off))] == [
        "endpoint.detailed_observability: false -> true"
    ]
    observed = live(deployment(volume_size_in_gb=30))
    assert observed.endpoint_config is not None
    del observed.endpoint_config.description["MetricsConfig"]
    assert [change.reason for change in differences(off, observed)] == ["endpoint.volume_size_in_gb: 30 -> none"]


def test_other_keys_are_told_by_their_names_in_the_spec() -> None:
    one = deployment(kms_key_id="alias/one")
    asynchronous = msgspec.structs.replace(one.endpoint.asynchronous, kms_key_id="alias/two")
    two = deployment(asynchronous=asynchronous)
    assert [change.reason for change in differences(two, live(one))] == [
        "endpoint.async.kms_key_id: none -> alias/two",
        "endpoint.kms_key_id: alias/one -> none",
    ]


def test_another_network_is_told_by_its_keys() -> None:
    one = deployment(vpc=Vpc(("subnet-01234567", "subnet-01234568"), ("sg-01234567",)))
    two = deployment(vpc=Vpc(("subnet-01234567", "subnet-01234569"), ("sg-01234567",)))
    whole = [
        "endpoint.vpc.subnets: none -> subnet-01234567, subnet-01234568",
        "endpoint.vpc.security_group_ids: none -> sg-01234567",
    ]
    assert [change.reason for change in differences(one, live(deployment()))] == whole
    removed = ["endpoint.vpc.security_group_ids: sg-01234567 -> none"]
    removed += ["endpoint.vpc.subnets: subnet-01234567, subnet-01234568 -> none"]
    assert [change.reason for change in differences(deployment(), live(one))] == removed
    (change,) = differences(two, live(one))
    assert change.reason == "endpoint.vpc.subnets: subnet-01234567, subnet-01234568 -> subnet-01234567, subnet-01234569"
    assert differences(one, live(one)) == []


def test_a_secret_that_somebody_set_is_not_shown() -> None:
    old = deployment(environment={"HF_API_TOKEN": "hf_abc", "A": "1"})
    reasons = [change.reason for change in differences(deployment(environment={"A": "1"}), live(old))]
    assert reasons == ["environment.HF_API_TOKEN: (not shown) -> none"]


@pytest.mark.parametrize("name", ["TOKENIZERS_PARALLELISM", "MAX_NEW_TOKENS", "MONKEY_MODE", "API_KEY_HEADER"])
def test_a_variable_that_is_no_secret_is_shown(name: str) -> None:
    (change,) = differences(deployment(environment={name: "new"}), live(deployment(environment={name: "old"})))
    assert change.reason == f"environment.{name}: old -> new"


def test_a_secret_is_not_shown_wherever_somebody_put_it() -> None:
    token = "hf" + "_" + "aB3" * 11
    old = deployment(environment={"COLOUR": token, "DB_PASS": "hunter22"}, tags={"owner": token, "team": "a"})
    new = deployment(environment={"COLOUR": "blue"}, tags={"owner": "me", "team": "b"})
    reasons = [change.reason for change in differences(new, live(old))]
    assert "environment.COLOUR: (not shown) -> blue" in reasons
    assert "environment.DB_PASS: (not shown) -> none" in reasons
    assert "endpoint.tags.owner: (not shown) -> me" in reasons
    assert "endpoint.tags.team: a -> b" in reasons
    assert not {token, "hunter22"} & set(" ".join(reasons).split())


def test_a_container_as_a_whole_is_not_shown_with_its_secrets() -> None:
    observed = live(deployment(environment={"DB_PASS": "hunter22"}))
    assert observed.model_description is not None
    observed.model_description["PrimaryContainer"] = [observed.model_description["PrimaryContainer"]]
    assert "hunter22" not in repr(differences(deployment(environment={}), observed))


def test_a_deleted_configuration_still_gives_a_reason() -> None:
    value = deployment()
    observed = live(value, endpoint_config_name="deleted")
    observed = dataclasses.replace(observed, endpoint_config=None, model_description=None)
    assert [change.kind for change in differences(value, observed)] != []
    assert {change.kind for change in differences(value, observed)} == {"update"}


@pytest.mark.parametrize("tags", [{}, {"sagepack:endpoint": "svd", "sagepack:name": "svd", "sagepack:env": "prod"}])
def test_an_endpoint_of_another_spec_or_environment_is_not_changed(tags: dict[str, str]) -> None:
    value = deployment()
    (change,) = differences(value, live(value, tags=tags, endpoint_config_name="other"))
    assert change.kind == "not_owned"
    assert ("no sagepack tags" if not tags else "sagepack:env=prod") in change.reason


def test_a_failed_endpoint_is_recreated_whatever_its_config() -> None:
    value = deployment()
    (change,) = differences(value, live(value, endpoint_status="Failed", failure_reason="no capacity"))
    reason = "endpoint svd is Failed and has to be deleted and created again: no capacity"
    assert change == Change("recreate", reason, "endpoint svd")


@pytest.mark.parametrize(
    ("status", "released", "loses"), [("Failed", False, False), ("Failed", True, True), ("OutOfService", False, True)]
)
def test_what_has_taken_requests_is_not_deleted_unless_somebody_agrees(
    status: str, released: bool, loses: bool
) -> None:
    value = deployment()
    tags = {**value.tags, **(ReleaseTag("svd-0123456789ab", "2026").tags if released else {})}
    (change,) = differences(value, live(value, tags=tags, endpoint_status=status))
    assert (change.kind, change.loses_requests) == ("recreate", loses)
    assert ("without the requests in its queue" in change.reason) is loses
    with pytest.raises(UserError, match="has to be deleted") if loses else nullcontext():
        require_no_loss([change])


@pytest.mark.parametrize("status", ["Creating", "RollingBack", "Deleting"])
def test_an_endpoint_in_progress_is_waited_for(status: str) -> None:
    value = deployment()
    assert differences(value, live(value, endpoint_status=status)) == [
        Change("wait", f"endpoint svd is {status}", "endpoint svd")
    ]


@pytest.mark.parametrize("status", ["Updating", "SystemUpdating"])
def test_a_resize_by_automatic_scaling_or_a_patch_by_aws_is_no_work(status: str) -> None:
    value = deployment(scaling=Bounds(0, 2))
    assert differences(value, live(value, endpoint_status=status, production_variants=instances(5))) == []


def test_an_endpoint_that_serves_a_mix_after_a_failed_roll_back_is_updated_and_not_deleted() -> None:
    value = deployment()
    (change,) = differences(value, live(value, endpoint_status="UpdateRollbackFailed"))
    reason = "endpoint svd is UpdateRollbackFailed and serves a mix of two configurations"
    assert change == Change("update", reason, "endpoint svd")


@pytest.mark.parametrize("status", ["InService", "Updating"])
def test_a_deleted_model_under_the_live_endpoint_is_a_difference(status: str) -> None:
    value = deployment()
    observed = dataclasses.replace(live(value, endpoint_status=status), model_description=None)
    assert [(change.kind, change.reason, change.sign) for change in differences(value, observed)] == [
        ("restore", f"model: none -> {value.model_name}", "+")
    ]


@pytest.mark.parametrize(
    "tag", [{}, ReleaseTag("svd-another", "20260101T000000000000Z").tags, {"sagepack:release": ""}]
)
def test_what_serves_and_was_not_released_is_a_difference_of_its_own(tag: dict[str, str]) -> None:
    value = deployment()
    observed = live(value, tags={**value.tags, **tag})
    assert differences(value, observed) == []
    (change,) = release_differences(value, observed)
    assert (change.kind, change.sign, change.is_blocked) == ("release", "~", False)
    assert change.effect == (
        f"endpoint svd serves {value.endpoint_config_name}, which has not been tried and recorded yet"
    )


def test_what_was_released_or_does_not_serve_yet_needs_no_release() -> None:
    value, other = deployment(), deployment(environment={})
    tag = ReleaseTag(value.endpoint_config_name, "20260101T000000000000Z")
    assert ReleaseTag.of(tag.tags) == tag
    assert release_differences(value, None) == []
    assert release_differences(value, live(value, tags={**value.tags, **tag.tags})) == []
    assert release_differences(value, live(value, tags={})) == []  # of another spec
    for status in ("Creating", "Failed", "Deleting"):
        assert release_differences(value, live(value, endpoint_status=status)) == []
    assert release_differences(other, live(value)) == []


def test_a_deleted_configuration_of_the_live_endpoint_is_a_difference() -> None:
    value = deployment()
    observed = dataclasses.replace(live(value), endpoint_config=None, model_description=None)
    assert [(change.kind, change.reason) for change in differences(value, observed)] == [
        ("restore", f"endpoint configuration: none -> {value.endpoint_config_name}")
    ]


def instances(count: int) -> tuple[EndpointVariant, ...]:
    return (EndpointVariant("AllTraffic", count, count),)


@pytest.mark.parametrize(
    ("bounds", "count", "wanted"),
    [
        (None, 0, 1),
        (None, 3, 1),
        (Bounds(0, 2), 9, 2),
        (Bounds(1, 2), 0, 1),
        (Bounds(0, 2), 0, 0),
        (Bounds(1, 4), 3, 3),
    ],
)
def test_a_number_of_instances_outside_of_what_is_declared_is_a_difference(
    bounds: Bounds | None, count: int, wanted: int
) -> None:
    value = deployment(scaling=bounds)
    found = differences(value, live(value, production_variants=instances(count)))
    expected = [] if wanted == count else [("instances", f"number of instances: {count} -> {wanted}")]
    assert [(change.kind, change.reason) for change in found] == expected


def test_the_number_of_instances_that_the_scaling_of_others_chose_is_left_alone() -> None:
    theirs = ScalingState(ScalableTarget(1, 9), {"theirs": ScalingPolicy("arn:theirs", {})})
    observed = live(deployment(), production_variants=instances(7))
    assert differences(deployment(), dataclasses.replace(observed, scaling=theirs)) == []


def test_what_stops_an_endpoint_from_waking_or_sleeping_is_a_difference() -> None:
    value = deployment(scaling=Bounds(0, 2))
    observed = live(value)
    scaling = observed.scaling
    suspended = msgspec.structs.replace(ScalableTarget(0, 2), suspended_state=SuspendedState(True, True, True))
    tracking = copy.deepcopy(scaling.policies["svd-backlog"])
    tracking.description["TargetTrackingScalingPolicyConfiguration"]["DisableScaleIn"] = True
    (name,) = scaling.alarms
    alarm = dataclasses.replace(scaling.alarms[name], description={**scaling.alarms[name].description})
    alarm.description["ActionsEnabled"] = False
    by_hand = ScalingState(suspended, {**scaling.policies, "svd-backlog": tracking}, {name: alarm})
    assert [change.reason for change in differences(value, dataclasses.replace(observed, scaling=by_hand))] == [
        "automatic scaling, DynamicScalingInSuspended: true -> false",
        "automatic scaling, DynamicScalingOutSuspended: true -> false",
        "automatic scaling, ScheduledScalingSuspended: true -> false",
        "scaling policy svd-backlog, TargetTrackingScalingPolicyConfiguration.DisableScaleIn: true -> false",
        "alarm svd-has-backlog-without-capacity, ActionsEnabled: false -> true",
    ]


def test_a_service_may_leave_out_what_is_off() -> None:
    assert list(diff({"DisableScaleIn": False}, {})) == []
    assert list(diff({"ActionsEnabled": True}, {})) == [Difference("ActionsEnabled", "none", "true")]


def test_an_update_in_progress_to_the_declared_config_is_not_repeated() -> None:
    value = deployment()
    observed = live(deployment(environment={}), endpoint_status="Updating")
    pending = PendingDeployment(value.endpoint_config_name)
    endpoint = msgspec.structs.replace(observed.endpoint, pending_deployment_summary=pending)
    observed = dataclasses.replace(observed, endpoint=endpoint)
    assert [change.kind for change in differences(value, observed)] == ["wait"]


def test_scaling_differs_by_bounds_policies_and_what_is_not_declared_any_more() -> None:
    old, new = deployment(scaling=Bounds(0, 2)), deployment(scaling=Bounds(1, 4, scale_in_cooldown=60))
    assert [change.reason for change in differences(new, live(old))] == [
        "endpoint.scaling.min_capacity: 0 -> 1",
        "endpoint.scaling.max_capacity: 2 -> 4",
        "endpoint.scaling.scale_in_cooldown: 300 -> 60",
        "scaling policy svd-wake is not declared",
        "alarm svd-has-backlog-without-capacity is not declared",
    ]


def test_scaling_that_is_not_declared_any_more_is_removed() -> None:
    (change,) = differences(deployment(), live(deployment(scaling=Bounds(0, 2)), tags=deployment().tags))
    assert change.kind == "scaling"


def test_a_scalable_target_with_only_policies_of_others_is_left_alone() -> None:
    theirs = ScalingState(ScalableTarget(1, 9), {"theirs": ScalingPolicy("arn:theirs", {})})
    assert differences(deployment(), dataclasses.replace(live(deployment()), scaling=theirs)) == []


def test_tags_change_in_place() -> None:
    new = deployment(tags={"team": "audio"})
    assert differences(new, live(deployment())) == [
        Change("tags", "endpoint.tags.team: video -> audio", "endpoint.tags.team", "Tags.team", "video", "audio")
    ]


def test_another_package_is_told_once_and_its_tag_alone_where_nothing_else_says_it() -> None:
    new, old = deployment(manifest=Digest("sha256", "b" * 64)), deployment()
    assert [change.subject for change in differences(new, live(old))] == ["package"]
    foreign = {**old.tags, "sagepack:manifest": "sha256:0"}
    assert [change.subject for change in differences(old, live(old, tags=foreign))] == ["tag sagepack:manifest"]


def test_integers_and_floats_of_the_same_value_are_equal() -> None:
    assert list(diff({"Threshold": 1}, {"Threshold": 1.0})) == []
    assert list(diff([1, 2], [1], "List")) == [Difference("List", "[1]", "[1, 2]")]


IMAGE = "763104351884.dkr.ecr.us-east-1.amazonaws.com/huggingface-pytorch-inference@sha256:"
URI = "s3://bucket-of-the-team/models/svd/{}/model.tar.gz"


@pytest.mark.parametrize(
    ("live", "desired", "shown"),
    [
        ("ml.g5.2xlarge", "ml.g5.4xlarge", ": ml.g5.2xlarge -> ml.g5.4xlarge"),
        ("none", "1", ": none -> 1"),
        ("there", "none", ""),
        (URI.format("1a1ea81dee6ca0a0"), URI.format("f5a2" * 4), ": 1a1ea81dee6c -> f5a2f5a2f5a2"),
        (IMAGE + "a" * 64, IMAGE + "b" * 64, f": sha256:{'a' * 12} -> sha256:{'b' * 12}"),
        ("none", IMAGE + "b" * 64, f": none -> {IMAGE}{'b' * 12}"),
        (
            "s3://bucket-of-the-team-in-ohio/models/svd/" + "a" * 16,
            "s3://another-bucket-of-the-team/models/svd/" + "a" * 16,
            ": bucket-of-the-team-in-ohio -> another-bucket-of-the-team",
        ),
    ],
)
def test_of_two_long_values_what_they_share_is_left_out(live: str, desired: str, shown: str) -> None:
    assert values(live, desired) == shown


@pytest.mark.parametrize(
    ("change", "sign", "effect"),
    [
        (Change("create", "endpoint svd does not exist", "endpoint svd"), "+", "endpoint svd"),
        (Change("recreate", "endpoint svd is Failed", "endpoint svd"), "-/+", "endpoint svd is Failed"),
        (Change("wait", "endpoint svd is Updating", "endpoint svd"), "", "endpoint svd is Updating"),
        (Change("update", "why", "environment.A", "Environment.A", "none", "1"), "+", "environment.A: 1"),
        (Change("update", "why", "environment.A", "Environment.A", "1", "none"), "-", "environment.A: 1"),
        (Change("update", "why", "environment.A", "Environment.A", "1", "2"), "~", "environment.A: 1 -> 2"),
        (Change("scaling", "why", "alarm svd-wake", "Alarm.svd-wake", "there", "none"), "-", "alarm svd-wake"),
    ],
)
def test_a_change_has_a_sign_and_an_effect_for_people(change: Change, sign: str, effect: str) -> None:
    assert (change.sign, change.effect) == (sign, effect)


@pytest.mark.parametrize(
    ("path", "subject"),
    [
        ("PrimaryContainer.ModelDataSource.S3DataSource.S3Uri", "package"),
        ("PrimaryContainer.Image", "image"),
        ("PrimaryContainer.Environment.A.B", "environment.A.B"),
        ("ExecutionRoleArn", "aws.role"),
        ("EnableNetworkIsolation", "endpoint.enable_network_isolation"),
        ("ProductionVariants.InstanceType", "endpoint.instance_type"),
        ("ProductionVariants.InstancePools", "endpoint.instance_pools"),
        ("ProductionVariants.InstancePools[1].InstanceType", "endpoint.instance_pools.1.instance_type"),
        ("ProductionVariants.InstancePools[0].Priority", "endpoint.instance_pools.0.priority"),
        ("ProductionVariants.VolumeSizeInGB", "endpoint.volume_size_in_gb"),
        ("AsyncInferenceConfig.OutputConfig.NotificationConfig.ErrorTopic", "endpoint.async.error_topic"),
        ("ScalableTarget", "automatic scaling"),
        ("ScalableTarget.MaxCapacity", "endpoint.scaling.max_capacity"),
        ("ScalingPolicy.svd-wake", "scaling policy svd-wake"),
        (
            "ScalingPolicy.svd-backlog.TargetTrackingScalingPolicyConfiguration.ScaleInCooldown",
            "endpoint.scaling.scale_in_cooldown",
        ),
        ("Alarm.svd-wake.Threshold", "alarm svd-wake, Threshold"),
        ("ScheduledAction.svd-schedule-1", "endpoint.scaling.schedule.0"),
        ("ScheduledAction.svd-schedule-12.Schedule", "endpoint.scaling.schedule.11.at"),
        (
            "ScheduledAction.svd-schedule-2.ScalableTargetAction.MaxCapacity",
            "endpoint.scaling.schedule.1.max_capacity",
        ),
        ("ScheduledAction.svd-schedule-1.StartTime", "endpoint.scaling.schedule.0, StartTime"),
        ("ScheduledAction.holiday", "scheduled action holiday"),
        ("Tags.team", "endpoint.tags.team"),
        ("Tags.sagepack:manifest", "tag sagepack:manifest"),
        ("SomethingNew.Member", "SomethingNew.Member"),
    ],
)
def test_a_place_in_a_request_is_named_by_the_key_of_the_spec(path: str, subject: str) -> None:
    assert subject_of(path) == subject


def test_every_compared_part_of_a_request_has_a_name_that_users_know() -> None:
    value = deployment(scaling=Bounds(0, 2), environment={"A": "1"}, volume_size_in_gb=30)
    places = [
        found.path
        for request in (value.create_model_request, value.create_endpoint_config_request)
        for found in diff(dict.fromkeys(leaves(request), "new"), {}, ignored=NOT_COMPARED)
    ]
    unknown = {place for place in places if subject_of(place) == place}
    assert len(places) > 10
    assert {place.rpartition(".")[2] for place in unknown} <= {"S3DataType", "CompressionType", "VariantName"}


NOT_COMPARED = frozenset({"ModelName", "EndpointConfigName"})


def leaves(document: dict[str, Any], path: str = "") -> Iterator[str]:
    """The places of all values in a request, its tags left out."""
    for key, value in document.items():
        for item in value if isinstance(value, list) else [value]:
            place = f"{path}{key}"
            if isinstance(item, dict):
                yield from leaves(item, f"{place}.") if key != "Tags" else ()
            else:
                yield place


# Status, which configuration it has ("declared" or "another"), whether that one was deleted, and what a deployment would do.
STATES = [
    ("Creating", "declared", False, ["wait"]),
    ("Creating", "another", False, ["wait", "update"]),
    ("Updating", "declared", False, []),  # a resize, as there is no deployment in progress
    ("Updating", "another", False, ["wait", "update"]),
    ("SystemUpdating", "declared", False, []),
    ("SystemUpdating", "another", False, ["wait", "update"]),
    ("RollingBack", "declared", False, ["wait"]),
    ("RollingBack", "another", False, ["wait", "update"]),
    ("InService", "declared", False, []),
    ("InService", "declared", True, ["restore"]),
    ("InService", "another", False, ["update"]),
    ("InService", "another", True, ["update"]),
    ("UpdateRollbackFailed", "declared", False, ["update"]),
    ("UpdateRollbackFailed", "another", False, ["update"]),
    ("Deleting", "declared", False, ["wait"]),
    ("Deleting", "another", False, ["wait", "update"]),
    ("OutOfService", "declared", False, ["recreate"]),
    ("OutOfService", "another", False, ["update"]),
    ("Failed", "declared", False, ["recreate"]),
    ("Failed", "another", False, ["recreate"]),
    ("Failed", "another", True, ["recreate"]),
]
# API reference, DescribeEndpoint, EndpointStatus: "not available to take incoming requests"; "must be deleted".
SERVES_NOTHING = {"OutOfService", "Failed"}


@pytest.mark.parametrize(("status", "has", "deleted", "kinds"), STATES)
def test_nothing_that_serves_is_deleted(status: str, has: str, deleted: bool, kinds: list[str]) -> None:
    declared = deployment()
    observed = live(declared if has == "declared" else deployment(environment={"A": "1"}), endpoint_status=status)
    if deleted:
        observed = dataclasses.replace(observed, endpoint_config=None, model_description=None)
    changes = differences(declared, observed)
    assert list(dict.fromkeys(change.kind for change in changes)) == kinds
    assert ("recreate" in kinds) <= (status in SERVES_NOTHING)
    # What is deleted stands in the plan, which a protected environment shows before it asks.
    assert [change.sign for change in changes if change.kind == "recreate"] == ["-/+"] * kinds.count("recreate")
    assert all("has to be deleted" in change.effect for change in changes if change.kind == "recreate")


def test_every_status_of_an_endpoint_is_in_the_table() -> None:
    known = set(shape("sagemaker", "DescribeEndpointOutput", "EndpointStatus").enum)
    assert {(status, has) for status, has, _, _ in STATES} == {
        (each, has) for each in known for has in ("declared", "another")
    }
