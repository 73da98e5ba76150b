from __future__ import annotations

import dataclasses
import json
import threading
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from sagepack.aws.autoscaling import ScalableTarget
from sagepack.aws.session import Patience
from sagepack.deploy import observe as observing
from sagepack.deploy.drift import differences
from sagepack.deploy.reconcile import reconcile
from sagepack.deploy.waiter import WaiterConfig
from sagepack.engine.resolver import find_image
from sagepack.errors import RemoteError, UserError
from sagepack.progress import Silent
from sagepack.sandbox.aws.hosting import DeploymentOutcome, TransitionTime
from sagepack.spec.model import Image, Scaling
from tests.helpers import deployments
from tests.helpers.deployments import IMAGE, FakeClock, RecordedProgress, deployment, lock, spec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sagepack.aws.session import Aws
    from sagepack.deploy.deployment import Deployment
    from sagepack.deploy.observe import EndpointState
    from sagepack.sandbox.aws.hosting import OutcomeKind
    from sagepack.sandbox.servers import Servers

WAITER = WaiterConfig(delay=0.01, timeout=30)


class Session:
    """A session that records the names of its API calls."""

    def __init__(self, aws: Aws) -> None:
        self.aws = aws
        self.calls: list[str] = []

    @contextmanager
    def listening(self) -> Iterator[Session]:
        events = [self.aws.client(name).meta.events for name in ("sagemaker", "application-autoscaling", "cloudwatch")]
        for event in events:
            event.register("before-call", self._remember)
        yield self
        for event in events:
            event.unregister("before-call", self._remember)

    def _remember(self, model: Any, **_: Any) -> None:
        self.calls.append(model.name)

    @property
    def writes(self) -> list[str]:
        return [call for call in self.calls if not call.startswith(("Describe", "List"))]

    def endpoint(self, name: str = "svd") -> dict[str, Any]:
        live: dict[str, Any] = self.aws.client("sagemaker").describe_endpoint(EndpointName=name)
        return live


@pytest.fixture
def session(sandbox: Servers) -> Iterator[Session]:
    with Session(deployments.session_of(sandbox)).listening() as session:
        yield session


def published(session: Session, value: Deployment) -> Deployment:
    return deployments.published(session.aws, value)


def observe(session: Session, value: Deployment) -> EndpointState:
    """The endpoint, which exists."""
    observed = observing.observe(session.aws, value.owner)
    assert observed is not None
    return observed


def test_a_first_deploy_serves_what_is_declared(session: Session) -> None:
    value = published(session, deployment())
    progress = RecordedProgress()
    deployed = reconcile(session.aws, value, progress, WAITER)
    assert session.calls.count("DescribeEndpoint") == 3  # none is there; Creating; InService
    live = session.endpoint()
    assert (live["EndpointStatus"], live["EndpointConfigName"]) == ("InService", value.endpoint_config_name)
    assert [change.kind for change in deployed.changes] == ["create"]
    assert deployed.endpoint_arn == live["EndpointArn"]
    assert "endpoint svd: Creating" in progress.text
    assert differences(value, observe(session, value)) == []


def test_a_second_deploy_changes_nothing(session: Session) -> None:
    value = published(session, deployment(scaling=Scaling(0, 2)))
    reconcile(session.aws, value, Silent(), WAITER)
    session.calls.clear()
    progress = RecordedProgress()
    assert reconcile(session.aws, value, progress, WAITER).changes == ()
    assert session.writes == []
    assert progress.notes == []


def test_looking_at_an_endpoint_takes_three_round_trips(session: Session) -> None:
    value = published(session, deployment(scaling=Scaling(0, 2)))
    reconcile(session.aws, value, Silent(), WAITER)
    together = threading.Barrier(7, timeout=10)  # of those that need nothing but the endpoint
    events = [
        *("sagemaker.DescribeEndpointConfig", "sagemaker.ListTags", "cloudwatch.DescribeAlarms"),  # alarms twice
        *("application-autoscaling.DescribeScalableTargets", "application-autoscaling.DescribeScalingPolicies"),
        "application-autoscaling.DescribeScheduledActions",
    ]

    def wait(**_: Any) -> None:
        together.wait()

    with ExitStack() as stack:
        for event in events:
            stack.enter_context(answering(session, f"before-call.{event}", wait))
        assert differences(value, observe(session, value)) == []


def test_another_environment_variable_updates_the_endpoint_in_place(session: Session) -> None:
    reconcile(session.aws, published(session, deployment()), Silent(), WAITER)
    made = session.endpoint()["CreationTime"]
    session.calls.clear()
    value = published(session, deployment(environment={"MMS_MAX_RESPONSE_SIZE": "1"}))
    deployed = reconcile(session.aws, value, Silent(), WAITER)
    assert [change.reason for change in deployed.changes] == ["environment.MMS_MAX_RESPONSE_SIZE: 100000000 -> 1"]
    assert session.writes == ["CreateModel", "CreateEndpointConfig", "UpdateEndpoint"]
    assert session.endpoint()["EndpointConfigName"] == value.endpoint_config_name
    assert session.endpoint()["CreationTime"] == made
    assert observe(session, value).model_description is not None


def test_the_old_model_and_config_stay_for_a_roll_back(session: Session) -> None:
    old = published(session, deployment())
    reconcile(session.aws, old, Silent(), WAITER)
    reconcile(session.aws, published(session, deployment(environment={})), Silent(), WAITER)
    client = session.aws.client("sagemaker")
    assert client.describe_model(ModelName=old.model_name)["ModelName"] == old.model_name
    session.calls.clear()
    reconcile(session.aws, old, Silent(), WAITER)
    assert session.writes == ["UpdateEndpoint"]


def test_a_deleted_model_of_the_live_endpoint_is_created_again_without_an_update(session: Session) -> None:
    value = published(session, deployment())
    reconcile(session.aws, value, Silent(), WAITER)
    session.aws.client("sagemaker").delete_model(ModelName=value.model_name)
    session.calls.clear()
    deployed = reconcile(session.aws, value, Silent(), WAITER)
    assert [change.kind for change in deployed.changes] == ["restore"]
    assert session.writes == ["CreateModel"]
    assert differences(value, observe(session, value)) == []


def set_instances(session: Session, count: int) -> None:
    """Set the number of instances as somebody does by hand, and wait until they are there."""
    capacities = [{"VariantName": "AllTraffic", "DesiredInstanceCount": count}]
    client = session.aws.client("sagemaker")
    client.update_endpoint_weights_and_capacities(EndpointName="svd", DesiredWeightsAndCapacities=capacities)
    while session.endpoint()["EndpointStatus"] == "Updating":
        pass


def test_removing_the_scaling_of_a_sleeping_fleet_wakes_it(session: Session) -> None:
    reconcile(session.aws, published(session, deployment(scaling=Scaling(0, 2))), Silent(), WAITER)
    set_instances(session, 0)
    observed = observe(session, deployment())
    assert observed.desired_instance_count == 0
    assert [change.kind for change in differences(deployment(), observed)] == ["scaling", "instances"]
    reconcile(session.aws, deployment(), progress := RecordedProgress(), WAITER)
    assert observe(session, deployment()).desired_instance_count == 1
    assert "endpoint svd: from 0 to 1 instances" in progress.text
    assert differences(deployment(), observe(session, deployment())) == []


def test_what_was_changed_by_hand_and_stops_waking_or_sleeping_is_mended(session: Session) -> None:
    value = published(session, deployment(scaling=Scaling(0, 2)))
    reconcile(session.aws, value, Silent(), WAITER)
    scaling, cloudwatch = session.aws.client("application-autoscaling"), session.aws.client("cloudwatch")
    target = {
        "ServiceNamespace": "sagemaker",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
        "ResourceId": "endpoint/svd/variant/AllTraffic",
    }
    suspended = dict.fromkeys(
        ("DynamicScalingInSuspended", "DynamicScalingOutSuspended", "ScheduledScalingSuspended"), True
    )
    scaling.register_scalable_target(**target, SuspendedState=suspended)
    cloudwatch.disable_alarm_actions(AlarmNames=["svd-has-backlog-without-capacity"])
    set_instances(session, 5)
    assert {change.kind for change in differences(value, observe(session, value))} == {"scaling", "instances"}
    reconcile(session.aws, value, Silent(), WAITER)
    assert differences(value, observe(session, value)) == []
    assert observe(session, value).desired_instance_count == 2


def test_tags_change_without_an_update(session: Session) -> None:
    reconcile(session.aws, published(session, deployment()), Silent(), WAITER)
    session.calls.clear()
    value = deployment(tags={"team": "audio"})
    reconcile(session.aws, value, Silent(), WAITER)
    assert session.writes == ["AddTags"] * 3
    assert observe(session, value).tags["team"] == "audio"
    client = session.aws.client("sagemaker")
    model = client.describe_model(ModelName=value.model_name)["ModelArn"]
    config = client.describe_endpoint_config(EndpointConfigName=value.endpoint_config_name)["EndpointConfigArn"]
    for arn in (model, config):
        assert {"Key": "team", "Value": "audio"} in client.list_tags(ResourceArn=arn)["Tags"]


def test_an_endpoint_of_another_spec_is_refused_and_not_changed(session: Session) -> None:
    reconcile(session.aws, published(session, deployment()), Silent(), WAITER)
    session.calls.clear()
    other_spec = published(session, deployment("other", endpoint_name="svd"))
    with pytest.raises(UserError, match="belongs to another spec") as caught:
        reconcile(session.aws, other_spec, Silent(), WAITER)
    assert caught.value.exit_code == 1
    assert session.writes == []


def test_scaling_is_set_up_changed_and_removed(session: Session) -> None:
    value = published(session, deployment(scaling=Scaling(0, 2)))
    reconcile(session.aws, value, Silent(), WAITER)
    live = observe(session, value).scaling
    assert live.target == ScalableTarget(0, 2)
    assert set(live.policies) == {"svd-backlog", "svd-wake"}
    (alarm,) = live.alarms.values()
    assert alarm.actions == (live.policies["svd-wake"].arn,)

    reconcile(session.aws, deployment(scaling=Scaling(1, 4)), Silent(), WAITER)
    live = observe(session, value).scaling
    assert live.target == ScalableTarget(1, 4)
    assert set(live.policies) == {"svd-backlog"}
    assert live.alarms == {}

    session.calls.clear()
    reconcile(session.aws, deployment(), Silent(), WAITER)
    live = observe(session, value).scaling
    assert (live.target, live.policies, live.alarms) == (None, {}, {})
    assert "UpdateEndpoint" not in session.calls


def test_a_variant_is_deregistered_while_its_instance_type_changes(session: Session) -> None:
    reconcile(session.aws, published(session, deployment(scaling=Scaling(0, 2))), Silent(), WAITER)
    session.calls.clear()
    value = deployment(scaling=Scaling(0, 2), instance_type="ml.g5.4xlarge")
    reconcile(session.aws, value, progress := RecordedProgress(), WAITER)
    assert "automatic scaling is removed while the instance type changes" in progress.text
    order = [
        call
        for call in session.writes
        if call in {"DeregisterScalableTarget", "UpdateEndpoint", "RegisterScalableTarget"}
    ]
    assert order == ["DeregisterScalableTarget", "UpdateEndpoint", "RegisterScalableTarget"]
    assert differences(value, observe(session, value)) == []


PING = (
    "The primary container for production variant AllTraffic did not pass the ping health check. Please check CloudWatch "
    "logs for this endpoint."
)


def test_an_endpoint_that_cannot_start_fails_with_the_reason_and_is_created_again(
    session: Session, sandbox: Servers
) -> None:
    value = published(session, deployment())
    sandbox.aws.scenario.end_deployments("svd", DeploymentOutcome("fail", PING, log=("pip: no such package",)))
    with pytest.raises(RemoteError, match="did not pass the ping health check") as caught:
        reconcile(session.aws, value, progress := RecordedProgress(), WAITER)
    assert "  | pip: no such package" in progress.notes
    assert caught.value.fix is not None
    assert "endpoint.container_startup_health_check_timeout_in_seconds" in caught.value.fix
    assert "/aws/sagemaker/Endpoints/svd" in str(caught.value)
    assert session.endpoint()["EndpointStatus"] == "Failed"

    session.calls.clear()
    progress = RecordedProgress()
    reconcile(session.aws, value, progress, WAITER)
    assert session.writes == ["DeleteEndpoint", "CreateEndpoint"]
    assert "deleting endpoint svd, which is Failed, to create it again" in progress.text
    assert session.endpoint()["EndpointStatus"] == "InService"


@pytest.mark.parametrize("comes", [True, False])
def test_a_role_that_was_made_just_now_is_waited_for_and_one_that_does_not_exist_is_told(
    session: Session, comes: bool
) -> None:
    role = "arn:aws:iam::123456789012:role/just-now"
    value = dataclasses.replace(published(session, deployment()), role_arn=role)
    trust = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if comes and len(waits) == 2:
            document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
            session.aws.client("iam").create_role(RoleName="just-now", AssumeRolePolicyDocument=document)

    waiter = dataclasses.replace(WAITER, sleep=sleep, clock=lambda: sum(waits))
    progress = RecordedProgress()
    if comes:
        reconcile(session.aws, value, progress, waiter)
        assert session.endpoint()["EndpointStatus"] == "InService"
    else:
        with pytest.raises(UserError, match="Could not assume role") as caught:
            reconcile(session.aws, value, progress, waiter)
        assert caught.value.failure == "role-not-assumed"
    assert progress.text.count("which may be some seconds old: trying again") == 1


@pytest.mark.parametrize("kind", ["silent_rollback", "fail"])
def test_a_roll_back_silent_or_not_is_a_failure(session: Session, sandbox: Servers, kind: OutcomeKind) -> None:
    old = published(session, deployment(scaling=Scaling(1, 2)))
    reconcile(session.aws, old, Silent(), WAITER)
    sandbox.aws.scenario.end_deployments("svd", DeploymentOutcome(kind, PING))
    with pytest.raises(RemoteError, match=f"rolled back to {old.endpoint_config_name}") as caught:
        reconcile(session.aws, deployment(environment={}, scaling=Scaling(1, 2)), Silent(), WAITER)
    assert caught.value.exit_code == 3
    assert "ping health check" in caught.value.message
    assert session.endpoint()["EndpointStatus"] == "InService"
    assert differences(old, observe(session, old)) == []


@pytest.mark.parametrize("exists", [True, False], ids=["update", "create"])
def test_the_loser_of_two_deployments_at_the_same_time_fails_with_what_serves(
    session: Session, sandbox: Servers, exists: bool
) -> None:
    before = published(session, deployment())
    winner, loser = deployment(environment={"A": "1"}, scaling=Scaling(1, 3)), deployment(environment={"A": "2"})
    if exists:
        reconcile(session.aws, before, Silent(), WAITER)
    sandbox.aws.scenario.transition_time = TransitionTime(polls=2)
    others = iter([winner])

    def sleep(_seconds: float) -> None:
        for other in others:  # once, while the first machine waits for its own update
            reconcile(session.aws, other, Silent(), WAITER)

    with pytest.raises(RemoteError, match="another deployment won") as caught:
        reconcile(session.aws, loser, Silent(), WaiterConfig(delay=0.01, timeout=30, sleep=sleep))
    assert winner.endpoint_config_name in caught.value.message
    assert loser.endpoint_config_name in caught.value.message
    assert "rolled back" not in str(caught.value)
    # The loser has not changed the winner's scaling either.
    assert differences(winner, observe(session, winner)) == []


def test_a_resize_by_automatic_scaling_between_look_and_update_is_waited_for(
    session: Session, sandbox: Servers
) -> None:
    reconcile(session.aws, published(session, deployment()), Silent(), WAITER)
    busy = 'Cannot update in-progress endpoint "arn:aws:sagemaker:us-east-1:123456789012:endpoint/svd".'
    sandbox.aws.scenario.fail_operation("UpdateEndpoint", "ValidationException", busy)
    value = deployment(environment={})
    deployed = reconcile(session.aws, value, progress := RecordedProgress(), WAITER)
    assert [change.kind for change in deployed.changes] == ["update"]
    assert session.endpoint()["EndpointConfigName"] == value.endpoint_config_name
    assert "is being changed by something else" in progress.text


def test_an_endpoint_whose_creation_was_answered_too_late_is_waited_for(session: Session) -> None:
    value = published(session, deployment())
    sent: list[dict[str, Any]] = []

    def create_twice(params: dict[str, Any], **_: Any) -> None:  # as the client does when the answer is lost
        if not sent:
            sent.append(params)
            session.aws.client("sagemaker").create_endpoint(**value.create_endpoint_request)

    events = session.aws.client("sagemaker").meta.events
    events.register("before-call.sagemaker.CreateEndpoint", create_twice)
    try:
        deployed = reconcile(session.aws, value, Silent(), WAITER)
    finally:
        events.unregister("before-call.sagemaker.CreateEndpoint", create_twice)
    assert [change.kind for change in deployed.changes] == ["create", "wait"]
    assert session.endpoint()["EndpointStatus"] == "InService"


@pytest.mark.slow
def test_an_endpoint_that_is_always_busy_is_a_remote_error(session: Session, sandbox: Servers) -> None:
    reconcile(session.aws, published(session, deployment()), Silent(), WAITER)
    busy = 'Cannot update in-progress endpoint "arn".'
    sandbox.aws.scenario.fail_operation("UpdateEndpoint", "ValidationException", busy, times=None)
    with pytest.raises(RemoteError, match="in-progress endpoint") as caught:
        reconcile(session.aws, deployment(environment={}), Silent(), FakeClock().waiter())
    # The error document names the class, and its schema allows no other.
    assert type(caught.value) is RemoteError


@contextmanager
def answering(session: Session, event: str, handler: Callable[..., object]) -> Iterator[None]:
    """Let `handler` change what a client gets."""
    events = session.aws.client(event.split(".")[1]).meta.events
    events.register(event, handler)
    try:
        yield
    finally:
        events.unregister(event, handler)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("ConcurrentUpdateException", "You already have a pending update to an Auto Scaling resource."),
        ("ObjectNotFoundException", "No scalable target registered for service namespace"),
        ("FailedResourceAccessException", "Unable to assume IAM role: arn:aws:iam::123456789012:role/x"),
    ],
)
def test_a_scaling_that_is_busy_or_not_seen_yet_is_sent_again(session: Session, code: str, message: str) -> None:
    value = published(session, deployment(scaling=Scaling(0, 2)))
    refusals = iter([code, code])

    def refuse(**_: Any) -> object:
        error = {"Error": {"Code": next(refusals, None), "Message": message}, "ResponseMetadata": {}}
        return (SimpleNamespace(status_code=400), error) if error["Error"]["Code"] else None

    with answering(session, "before-call.application-autoscaling.PutScalingPolicy", refuse):
        reconcile(session.aws, value, progress := RecordedProgress(), WAITER)
    note = "endpoint/svd/variant/AllTraffic is not ready for a change of its scaling yet: looking again"
    assert progress.notes.count(note) == 2
    assert differences(value, observe(session, value)) == []


def test_a_description_from_before_an_update_is_no_roll_back(session: Session) -> None:
    reconcile(session.aws, published(session, deployment()), Silent(), WAITER)
    before, value = session.endpoint(), deployment(environment={})
    stale = iter([before, before])

    def answer(parsed: dict[str, Any], **_: Any) -> None:
        if "UpdateEndpoint" in session.calls and (old := next(stale, None)):
            parsed.update(old)

    session.calls.clear()
    with answering(session, "after-call.sagemaker.DescribeEndpoint", answer):
        reconcile(session.aws, value, Silent(), WAITER)
    assert next(stale, None) is None
    assert session.endpoint()["EndpointConfigName"] == value.endpoint_config_name


def test_an_endpoint_that_cannot_be_updated_since_its_configuration_was_deleted_says_what_to_do(
    session: Session,
) -> None:
    old = published(session, deployment())
    reconcile(session.aws, old, Silent(), WAITER)
    session.aws.client("sagemaker").delete_endpoint_config(EndpointConfigName=old.endpoint_config_name)
    with pytest.raises(RemoteError, match="whose configuration was deleted") as caught:
        reconcile(session.aws, deployment(environment={}), Silent(), FakeClock().waiter())
    assert old.endpoint_config_name in caught.value.message
    assert "deploy once more" in str(caught.value.fix)
    assert [change.kind for change in reconcile(session.aws, old, Silent(), WAITER).changes] == ["restore"]
    new = deployment(environment={})
    assert reconcile(session.aws, new, Silent(), WAITER).endpoint_config_name == new.endpoint_config_name


class CutError(Exception):
    """The user pressed Ctrl-C."""


def cut_while_waiting(session: Session, value: Deployment) -> None:
    def sleep(_seconds: float) -> None:
        raise CutError

    with pytest.raises(CutError):
        reconcile(session.aws, value, Silent(), WaiterConfig(delay=0.01, sleep=sleep))


def test_the_same_command_continues_an_interrupted_wait(session: Session, sandbox: Servers) -> None:
    sandbox.aws.scenario.transition_time = TransitionTime(polls=4)
    value = published(session, deployment())
    cut_while_waiting(session, value)
    session.calls.clear()
    progress = RecordedProgress()
    reconcile(session.aws, value, progress, WAITER)
    assert session.writes == []
    assert session.endpoint()["EndpointStatus"] == "InService"
    assert f"endpoint {value.endpoint_name}: Creating" in progress.text


def test_an_endpoint_that_another_spec_takes_over_during_the_wait_is_not_changed(
    session: Session, sandbox: Servers
) -> None:
    sandbox.aws.scenario.transition_time = TransitionTime(polls=4)
    value = published(session, deployment())
    cut_while_waiting(session, value)
    arn = session.endpoint()["EndpointArn"]
    owner = [{"Key": "sagepack:name", "Value": "other"}]

    def sleep(_seconds: float) -> None:
        session.aws.client("sagemaker").add_tags(ResourceArn=arn, Tags=owner)
        session.calls.clear()

    with pytest.raises(UserError, match="belongs to another spec"):
        reconcile(session.aws, deployment(environment={}), Silent(), WaiterConfig(delay=0.01, sleep=sleep))
    assert session.writes == []


def test_the_next_command_checks_the_result_of_an_interrupted_update(session: Session, sandbox: Servers) -> None:
    reconcile(session.aws, published(session, deployment()), Silent(), WAITER)
    value = deployment(environment={})
    sandbox.aws.scenario.transition_time = TransitionTime(polls=4)
    sandbox.aws.scenario.end_deployments("svd", DeploymentOutcome("fail", PING))
    cut_while_waiting(session, value)
    session.calls.clear()
    with pytest.raises(RemoteError, match="rolled back"):
        reconcile(session.aws, value, Silent(), WAITER)
    assert session.writes == []
    reconcile(session.aws, value, Silent(), WAITER)
    assert session.endpoint()["EndpointConfigName"] == value.endpoint_config_name


@pytest.mark.parametrize("steps", range(3))
def test_a_deploy_creates_only_what_a_killed_one_has_not_created(session: Session, steps: int) -> None:
    value = published(session, deployment())
    client = session.aws.client("sagemaker")
    for call, request in [
        (client.create_model, value.create_model_request),
        (client.create_endpoint_config, value.create_endpoint_config_request),
    ][:steps]:
        call(**request)
    session.calls.clear()
    reconcile(session.aws, value, Silent(), WAITER)
    assert session.writes == ["CreateModel", "CreateEndpointConfig", "CreateEndpoint"][steps:]


@pytest.mark.parametrize(
    "operation",
    ["CreateModel", "CreateEndpointConfig", "CreateEndpoint", "DescribeEndpoint", "ListTags", "DescribeModel"],
)
def test_an_outage_of_twenty_minutes_at_any_call_does_not_end_a_deploy(
    session: Session, sandbox: Servers, operation: str
) -> None:
    value = published(session, deployment(scaling=Scaling(0, 2)))
    if operation == "ListTags":
        reconcile(session.aws, deployment(), Silent(), WAITER)
    clock = FakeClock()

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        if clock.now >= 1200:
            sandbox.aws.scenario.clear()

    sandbox.aws.scenario.fail_operation(operation, "InternalFailure", "later", times=None, status=500)
    progress = RecordedProgress()
    # One attempt of each request: the client's own retries take a second.
    aws = session.aws.with_patience(Patience(attempts=1))
    waiter = dataclasses.replace(clock.waiter(), delay=60, sleep=sleep)
    assert reconcile(aws, value, progress, waiter).endpoint_config_name == value.endpoint_config_name
    assert progress.text.count("AWS responds again, after 20 min 00 s") == 1
    assert differences(value, observe(session, value)) == []


def test_a_wait_ends_at_the_timeout(session: Session, sandbox: Servers) -> None:
    value = published(session, deployment())
    sandbox.aws.scenario.end_deployments("svd", DeploymentOutcome("stuck"))
    with pytest.raises(RemoteError, match="still Creating after 1 min 30 s") as caught:
        reconcile(session.aws, value, Silent(), FakeClock().waiter(timeout=90))
    assert "run the same command again to keep waiting" in str(caught.value)


def test_a_missing_package_is_refused_before_any_instance_starts(session: Session) -> None:
    with pytest.raises(UserError, match="Could not find model data") as caught:
        reconcile(session.aws, deployment(), Silent(), WAITER)
    assert caught.value.fix is not None
    assert "invoke upload" in caught.value.fix
    assert "CreateEndpoint" not in session.calls


@pytest.mark.parametrize(("bounds", "before", "after"), [(Scaling(0, 3), 2, 2), (Scaling(0, 3), 0, 1), (None, 2, 1)])
def test_an_update_retains_the_scaled_instance_count_unless_it_is_zero(
    session: Session, bounds: Scaling | None, before: int, after: int
) -> None:
    reconcile(session.aws, published(session, deployment(scaling=bounds)), Silent(), WAITER)
    set_instances(session, before)
    reconcile(session.aws, deployment(environment={}, scaling=bounds), Silent(), WAITER)
    assert session.endpoint()["ProductionVariants"][0]["DesiredInstanceCount"] == after


def test_a_tag_resolves_to_the_image_that_deploys(session: Session, sandbox: Servers) -> None:
    found = find_image(session.aws, spec().image, sandbox.region)
    assert found == (lock().image_registry, lock().image_digest)


def test_a_missing_image_tag_is_refused_with_similar_ones(session: Session, sandbox: Servers) -> None:
    near = Image("huggingface-pytorch-inference", IMAGE.replace("py312", "py311"))
    with pytest.raises(UserError, match="no image with this tag") as caught:
        find_image(session.aws, near, sandbox.region)
    assert caught.value.fix is not None
    assert IMAGE in caught.value.fix
