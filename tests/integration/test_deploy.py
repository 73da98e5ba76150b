from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from sagepack.deploy.observe import differences, observe
from sagepack.deploy.reconcile import reconcile
from sagepack.deploy.waiter import WaiterConfig
from sagepack.engine.resolver import find_image
from sagepack.errors import RemoteError, UserError
from sagepack.progress import Silent
from sagepack.sandbox.aws.hosting import DeploymentOutcome, TransitionTime
from sagepack.spec.model import Image, Scaling
from tests.helpers import deployments
from tests.helpers.deployments import IMAGE, Time, Told, deployment, lock, spec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagepack.aws.session import Aws
    from sagepack.deploy.deployment import Deployment
    from sagepack.sandbox.aws.hosting import OutcomeKind
    from sagepack.sandbox.servers import Servers

PACE = WaiterConfig(poll=0.01, limit=30)


class Session:
    """A session that remembers the calls it sent, by their names."""

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


def test_a_first_deploy_serves_what_is_asked(session: Session) -> None:
    value = published(session, deployment())
    progress = Told()
    deployed = reconcile(session.aws, value, progress, PACE)
    live = session.endpoint()
    assert (live["EndpointStatus"], live["EndpointConfigName"]) == ("InService", value.config_name)
    assert [change.kind for change in deployed.changes] == ["create"]
    assert deployed.arn == live["EndpointArn"]
    assert "endpoint svd: Creating" in progress.text
    assert differences(value, observe(session.aws, value.owner)) == []


def test_a_second_deploy_changes_nothing(session: Session) -> None:
    value = published(session, deployment(scaling=Scaling(0, 2)))
    reconcile(session.aws, value, Silent(), PACE)
    session.calls.clear()
    progress = Told()
    assert reconcile(session.aws, value, progress, PACE).changes == ()
    assert session.writes == []
    assert progress.notes == []


def test_another_variable_updates_the_endpoint_in_place(session: Session) -> None:
    reconcile(session.aws, published(session, deployment()), Silent(), PACE)
    made = session.endpoint()["CreationTime"]
    session.calls.clear()
    value = published(session, deployment(environment={"MMS_MAX_RESPONSE_SIZE": "1"}))
    deployed = reconcile(session.aws, value, Silent(), PACE)
    assert [change.reason for change in deployed.changes] == [
        "PrimaryContainer.Environment.MMS_MAX_RESPONSE_SIZE: 100000000 -> 1"
    ]
    assert session.writes == ["CreateModel", "CreateEndpointConfig", "UpdateEndpoint"]
    assert session.endpoint()["EndpointConfigName"] == value.config_name
    assert session.endpoint()["CreationTime"] == made
    assert observe(session.aws, value.owner).model is not None


def test_the_old_model_and_config_stay_for_a_roll_back(session: Session) -> None:
    old = published(session, deployment())
    reconcile(session.aws, old, Silent(), PACE)
    reconcile(session.aws, published(session, deployment(environment={})), Silent(), PACE)
    client = session.aws.client("sagemaker")
    assert client.describe_model(ModelName=old.model_name)["ModelName"] == old.model_name
    session.calls.clear()
    reconcile(session.aws, old, Silent(), PACE)
    assert session.writes == ["UpdateEndpoint"]


def test_tags_change_without_an_update(session: Session) -> None:
    reconcile(session.aws, published(session, deployment()), Silent(), PACE)
    session.calls.clear()
    value = deployment(tags={"team": "audio"})
    reconcile(session.aws, value, Silent(), PACE)
    assert session.writes == ["AddTags"]
    assert observe(session.aws, value.owner).tags["team"] == "audio"


def test_an_endpoint_of_somebody_else_is_refused_untouched(session: Session) -> None:
    reconcile(session.aws, published(session, deployment()), Silent(), PACE)
    session.calls.clear()
    stranger = published(session, deployment("other", endpoint_name="svd"))
    with pytest.raises(UserError, match="is not of this spec") as caught:
        reconcile(session.aws, stranger, Silent(), PACE)
    assert caught.value.exit_code == 1
    assert session.writes == []


def test_scaling_is_set_up_changed_and_taken_away(session: Session) -> None:
    value = published(session, deployment(scaling=Scaling(0, 2)))
    reconcile(session.aws, value, Silent(), PACE)
    live = observe(session.aws, value.owner).scaling
    assert live.target == {"MinCapacity": 0, "MaxCapacity": 2}
    assert set(live.policies) == {"svd-backlog", "svd-wake"}
    (alarm,) = live.alarms.values()
    assert alarm["AlarmActions"] == [live.policies["svd-wake"]["PolicyARN"]]

    reconcile(session.aws, deployment(scaling=Scaling(1, 4)), Silent(), PACE)
    live = observe(session.aws, value.owner).scaling
    assert live.target == {"MinCapacity": 1, "MaxCapacity": 4}
    assert set(live.policies) == {"svd-backlog"}
    assert live.alarms == {}

    session.calls.clear()
    reconcile(session.aws, deployment(), Silent(), PACE)
    live = observe(session.aws, value.owner).scaling
    assert (live.target, live.policies, live.alarms) == (None, {}, {})
    assert "UpdateEndpoint" not in session.calls


def test_a_registered_variant_changes_its_type_only_unregistered(session: Session) -> None:
    reconcile(session.aws, published(session, deployment(scaling=Scaling(0, 2))), Silent(), PACE)
    session.calls.clear()
    value = deployment(scaling=Scaling(0, 2), instance_type="ml.g5.4xlarge")
    reconcile(session.aws, value, Silent(), PACE)
    order = [
        call
        for call in session.writes
        if call in {"DeregisterScalableTarget", "UpdateEndpoint", "RegisterScalableTarget"}
    ]
    assert order == ["DeregisterScalableTarget", "UpdateEndpoint", "RegisterScalableTarget"]
    assert differences(value, observe(session.aws, value.owner)) == []


PING = (
    "The primary container for production variant AllTraffic did not pass the ping health check. Please check CloudWatch "
    "logs for this endpoint."
)


def test_an_endpoint_that_cannot_start_is_told_with_its_reason_and_made_anew(
    session: Session, sandbox: Servers
) -> None:
    value = published(session, deployment())
    sandbox.aws.scenario.end_deployments("svd", DeploymentOutcome("fail", PING, log=("pip: no such package",)))
    with pytest.raises(RemoteError, match="did not pass the ping health check") as caught:
        reconcile(session.aws, value, progress := Told(), PACE)
    assert "  | pip: no such package" in progress.notes
    assert caught.value.fix is not None
    assert "endpoint.container_startup_health_check_timeout_in_seconds" in caught.value.fix
    assert "/aws/sagemaker/Endpoints/svd" in str(caught.value)
    assert session.endpoint()["EndpointStatus"] == "Failed"

    session.calls.clear()
    progress = Told()
    reconcile(session.aws, value, progress, PACE)
    assert session.writes == ["DeleteEndpoint", "CreateEndpoint"]
    assert "deleting endpoint svd, which is Failed, to create it again" in progress.text
    assert session.endpoint()["EndpointStatus"] == "InService"


@pytest.mark.parametrize("kind", ["silent_rollback", "fail"])
def test_a_roll_back_silent_or_not_is_a_failure(session: Session, sandbox: Servers, kind: OutcomeKind) -> None:
    old = published(session, deployment(scaling=Scaling(1, 2)))
    reconcile(session.aws, old, Silent(), PACE)
    sandbox.aws.scenario.end_deployments("svd", DeploymentOutcome(kind, PING))
    with pytest.raises(RemoteError, match=f"rolled back to {old.config_name}") as caught:
        reconcile(session.aws, deployment(environment={}, scaling=Scaling(1, 2)), Silent(), PACE)
    assert caught.value.exit_code == 3
    assert "ping health check" in caught.value.message
    assert session.endpoint()["EndpointStatus"] == "InService"
    assert differences(old, observe(session.aws, old.owner)) == []


@pytest.mark.parametrize("exists", [True, False], ids=["update", "create"])
def test_who_deploys_other_code_at_the_same_time_is_told_that_another_won(
    session: Session, sandbox: Servers, exists: bool
) -> None:
    before = published(session, deployment())
    winner, loser = deployment(environment={"A": "1"}, scaling=Scaling(1, 3)), deployment(environment={"A": "2"})
    if exists:
        reconcile(session.aws, before, Silent(), PACE)
    sandbox.aws.scenario.transition_time = TransitionTime(polls=2)
    others = iter([winner])

    def sleep(_seconds: float) -> None:
        for other in others:  # once, while the first machine waits for its own update
            reconcile(session.aws, other, Silent(), PACE)

    with pytest.raises(RemoteError, match="another deployment won") as caught:
        reconcile(session.aws, loser, Silent(), WaiterConfig(poll=0.01, limit=30, sleep=sleep))
    assert winner.config_name in caught.value.message
    assert loser.config_name in caught.value.message
    assert "rolled back" not in str(caught.value)
    # The loser has left the winner's scaling alone, too.
    assert differences(winner, observe(session.aws, winner.owner)) == []


class CutError(Exception):
    """Somebody pressed Ctrl-C."""


def cut_while_waiting(session: Session, value: Deployment) -> None:
    def sleep(_seconds: float) -> None:
        raise CutError

    with pytest.raises(CutError):
        reconcile(session.aws, value, Silent(), WaiterConfig(poll=0.01, sleep=sleep))


def test_an_interrupted_wait_goes_on_with_the_same_command(session: Session, sandbox: Servers) -> None:
    sandbox.aws.scenario.transition_time = TransitionTime(polls=4)
    value = published(session, deployment())
    cut_while_waiting(session, value)
    session.calls.clear()
    progress = Told()
    reconcile(session.aws, value, progress, PACE)
    assert session.writes == []
    assert session.endpoint()["EndpointStatus"] == "InService"
    assert f"endpoint {value.name}: Creating" in progress.text


def test_an_interrupted_update_is_judged_by_the_next_command(session: Session, sandbox: Servers) -> None:
    reconcile(session.aws, published(session, deployment()), Silent(), PACE)
    value = deployment(environment={})
    sandbox.aws.scenario.transition_time = TransitionTime(polls=4)
    sandbox.aws.scenario.end_deployments("svd", DeploymentOutcome("fail", PING))
    cut_while_waiting(session, value)
    session.calls.clear()
    with pytest.raises(RemoteError, match="rolled back"):
        reconcile(session.aws, value, Silent(), PACE)
    assert session.writes == []
    reconcile(session.aws, value, Silent(), PACE)
    assert session.endpoint()["EndpointConfigName"] == value.config_name


@pytest.mark.parametrize("steps", range(3))
def test_a_kill_between_any_two_creations_is_made_up_for(session: Session, steps: int) -> None:
    value = published(session, deployment())
    client = session.aws.client("sagemaker")
    for call, request in [(client.create_model, value.model), (client.create_endpoint_config, value.config)][:steps]:
        call(**request)
    session.calls.clear()
    reconcile(session.aws, value, Silent(), PACE)
    assert session.writes == ["CreateModel", "CreateEndpointConfig", "CreateEndpoint"][steps:]


def test_waiting_has_an_end(session: Session, sandbox: Servers) -> None:
    value = published(session, deployment())
    sandbox.aws.scenario.end_deployments("svd", DeploymentOutcome("stuck"))
    with pytest.raises(RemoteError, match="still Creating after 1 min 30 s") as caught:
        reconcile(session.aws, value, Silent(), Time().pace(limit=90))
    assert "same command goes on waiting" in str(caught.value)


def test_a_package_that_is_not_there_is_refused_before_any_instance_starts(session: Session) -> None:
    with pytest.raises(UserError, match="Could not find model data") as caught:
        reconcile(session.aws, deployment(), Silent(), PACE)
    assert caught.value.fix is not None
    assert "invoke upload" in caught.value.fix
    assert "CreateEndpoint" not in session.calls


@pytest.mark.parametrize(("bounds", "before", "after"), [(Scaling(0, 3), 2, 2), (Scaling(0, 3), 0, 1), (None, 2, 1)])
def test_an_update_keeps_what_scaling_chose_but_wakes_a_fleet_that_sleeps(
    session: Session, bounds: Scaling | None, before: int, after: int
) -> None:
    reconcile(session.aws, published(session, deployment(scaling=bounds)), Silent(), PACE)
    capacities = [{"VariantName": "AllTraffic", "DesiredInstanceCount": before}]
    client = session.aws.client("sagemaker")
    client.update_endpoint_weights_and_capacities(EndpointName="svd", DesiredWeightsAndCapacities=capacities)
    reconcile(session.aws, deployment(environment={}, scaling=bounds), Silent(), PACE)
    assert session.endpoint()["ProductionVariants"][0]["DesiredInstanceCount"] == after


def test_a_tag_resolves_to_the_image_that_deploys(session: Session, sandbox: Servers) -> None:
    found = find_image(session.aws, spec().image, sandbox.region)
    assert found == (lock().image_registry, lock().image_digest)


def test_a_tag_that_is_not_there_is_refused_with_near_ones(session: Session, sandbox: Servers) -> None:
    near = Image("huggingface-pytorch-inference", IMAGE.replace("py312", "py311"))
    with pytest.raises(UserError, match="no image with this tag") as caught:
        find_image(session.aws, near, sandbox.region)
    assert caught.value.fix is not None
    assert IMAGE in caught.value.fix
