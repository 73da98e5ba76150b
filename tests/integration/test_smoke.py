"""A deployment counts when the sample was answered twice; if it was not, the release before is put back."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import structs

from sagepack import workers
from sagepack.aws.s3 import S3, S3Uri
from sagepack.aws.session import AwsConnection, Patience
from sagepack.deploy import record, smoke, waiter
from sagepack.deploy.deployment import Deployment, ReleaseTag
from sagepack.deploy.drift import differences, release_differences
from sagepack.deploy.observe import EndpointState, observe
from sagepack.deploy.reconcile import reconcile
from sagepack.engine.clients import Clients, Connections
from sagepack.engine.context import BuildContext
from sagepack.engine.release import Release
from sagepack.engine.workspace import Workspace
from sagepack.errors import RemoteError, SagepackError, UserError
from sagepack.package.lock import lock_inputs_digest
from sagepack.sandbox.aws import moto_state
from sagepack.sandbox.aws.hosting import FleetTimes
from sagepack.sandbox.aws.invocations import ScriptedResult
from sagepack.sandbox.faults import Fault
from sagepack.sandbox.identity import REGION
from sagepack.spec.model import Expect, Sample, Scaling
from tests.helpers import deployments
from tests.helpers.cloud import Cloud
from tests.helpers.deployments import RecordedProgress, session_of

if TYPE_CHECKING:
    from pathlib import Path

    from sagepack.aws.session import Aws
    from sagepack.sandbox.servers import Servers

FRAMES = b'{"frames": ["/9j/", "/9j/", "/9j/", "/9j/"]}'
SAMPLE = Sample(request={"inputs": "a cat"}, expect=Expect(min_items=4))
NEW: dict[str, Any] = {"environment": {"NEW": "1"}}


def good(**more: Any) -> ScriptedResult:
    return ScriptedResult(FRAMES, **{"times": 1, **more})


def failure(code: int, message: str, log: str) -> ScriptedResult:
    """What the image's toolkit (400) or its server (500) answers, and the line that it writes to the log."""
    body = json.dumps({"code": code, "type": "InternalServerException", "message": message})
    return ScriptedResult(body.encode(), code, log=(log,), times=1)


def raises() -> ScriptedResult:
    """A `model_fn` that raises, which the server tries again at each request."""
    return failure(400, "no model_index.json", "Model is not initialized, will try to load model again.")


def no_memory() -> ScriptedResult:
    log = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1.32 GiB."
    return failure(400, "CUDA out of memory. Tried to allocate 1.32 GiB. GPU 0 has a total capacity of 22.20 GiB", log)


def too_large() -> ScriptedResult:
    log = "io.netty.handler.codec.CorruptedFrameException: Message size exceed limit: 9117823"
    return failure(500, "Worker died.", log)


@dataclass
class Gate:
    """The step `deploy` of a project, without the steps before it.

    Attributes:
        root: the project's folder.
        servers: the sandbox.
        aws: a session with it.
        progress: that of the last deployment.
    """

    root: Path
    servers: Servers
    aws: Aws
    progress: RecordedProgress = field(default_factory=RecordedProgress)

    @property
    def s3(self) -> S3:
        return S3(self.aws.client("s3"))

    @property
    def below(self) -> S3Uri:
        return S3Uri("sagepack-sandbox", "models/svd/deployments/local/")

    def deploy(
        self,
        *,
        sample: Sample | None = SAMPLE,
        smoke: bool = True,
        no_smoke: bool = False,
        problem: str | None = None,
        **changes: Any,
    ) -> str:
        """Deploy, with some settings; the configuration that serves."""
        spec = structs.replace(deployments.spec(**changes), sample=sample, smoke=smoke)
        value = deployments.published(self.aws, self.deployment(**changes))
        box, work = self.servers, Workspace(self.root, "svd", "local")
        work.lock_path.parent.mkdir(parents=True, exist_ok=True)
        lock = structs.replace(deployments.lock(), spec_digest=lock_inputs_digest(spec))
        work.lock_path.write_text(lock.text())
        connection = AwsConnection(box.region, None, box.aws_url, box.access_key, box.secret_key)
        clients = Clients(Connections(connection), spec.artifact, self.root, lambda _text: None)
        clients.aws = self.aws
        self.progress = RecordedProgress()
        context = BuildContext(
            spec,
            work,
            (),
            lambda _cache: clients,
            self.root,
            self.progress,
            smoke=not no_smoke,
            why_no_answers=lambda: problem,
        )
        new = Release.of(context, value)
        with waiter.surviving(self.aws, self.progress, new.waiter):
            done = reconcile(self.aws, value, self.progress, new.waiter)
            new.finish(done)
        return done.endpoint_config_name

    def failing(self, kind: type[SagepackError] = RemoteError, **changes: Any) -> SagepackError:
        """The error of a deployment."""
        with pytest.raises(kind) as caught:
            self.deploy(**changes)
        return caught.value

    def deployment(self, **changes: Any) -> Deployment:
        return deployments.deployment(**changes)

    def changes(self, **changes: Any) -> list[str]:
        """The kinds of the changes that a plan has for the endpoint."""
        value = self.deployment(**changes)
        observed = self.live
        return [each.kind for each in (*differences(value, observed), *release_differences(value, observed))]

    @property
    def live(self) -> EndpointState:
        found = observe(self.aws, self.deployment().owner)
        assert found is not None
        assert found.endpoint.endpoint_status == "InService"
        return found

    @property
    def serves(self) -> str:
        return self.live.endpoint.endpoint_config_name

    @property
    def records(self) -> list[record.DeploymentRecord]:
        return [each for _, each in record.newest(self.s3, self.below) if each]

    def script(self, *answers: ScriptedResult) -> None:
        for answer in answers:
            self.servers.aws.invocations.script(answer)

    @property
    def sent(self) -> int:
        """Samples that were answered."""
        return sum(b"a cat" in content for _, content in self.servers.aws.invocations.received)


@pytest.fixture
def gate(tmp_path: Path, sandbox: Servers, monkeypatch: pytest.MonkeyPatch) -> Gate:
    sandbox.aws.invocations.default = ScriptedResult(FRAMES)
    monkeypatch.setattr(waiter.WaiterConfig, "of", lambda _spec: waiter.WaiterConfig(delay=0.01, timeout=60, outage=5))
    return Gate(tmp_path, sandbox, session_of(sandbox))


@pytest.mark.slow
def test_a_project_is_tried_once_and_a_failure_of_it_is_a_failure_of_its_deployment(
    tmp_path: Path, sandbox: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = Cloud(tmp_path, sandbox, monkeypatch)
    cloud.project().deploy()
    assert not any(action.runs for action in cloud.project().deploy().actions)
    assert len(sandbox.aws.invocations.received) == 2
    sandbox.aws.invocations.script(no_memory())
    with pytest.raises(RemoteError, match="CUDA out of memory") as caught:
        cloud.project("environment.NEW=1").deploy()
    assert caught.value.exit_code == 3


def test_a_release_is_tagged_last_with_its_record(gate: Gate) -> None:
    config = gate.deploy()
    assert gate.sent == 2
    assert "smoke test, request 2 of 2: answered as expected" in gate.progress.text
    (written,) = gate.records
    assert written.smoke is not None
    assert (written.smoke.passed, len(written.smoke.seconds), written.smoke.reason) == (True, 2, None)
    serves, _, time = gate.live.tags["sagepack:release"].partition("/")
    assert serves == config
    assert record.read(gate.s3, gate.below, time) == written
    assert gate.changes() == []


@pytest.mark.parametrize(
    ("answers", "cause", "line", "known"),
    [
        ([raises()], "request 1 of 2: the endpoint refused the request (400): no model_index", "| Model is not initialized", "model-not-loaded"),
        ([good(), no_memory()], "request 2 of 2: the endpoint failed on the request (400): CUDA out of", "| torch.OutOfMemory", "gpu-memory"),
        ([too_large()], "request 1 of 2: the endpoint failed on the request (500): Worker died.", "exceed limit: 9117823", "answer-too-large"),
        ([ScriptedResult(b'{"frames": []}', log=("hm",))], "not as expected: it has 0 items, and at least 4", "| hm", None),
        ([good(), ScriptedResult(b"<html>", log=("hm",))], "request 2 of 2 got an answer that is not as expected: it is not JSON", "| hm", None),
    ],
    ids=["model_fn", "memory", "size", "count", "type"],
)  # fmt: skip
def test_a_release_that_does_not_answer_is_no_release_and_the_one_before_serves_again(
    gate: Gate, answers: list[ScriptedResult], cause: str, line: str, known: str | None
) -> None:
    before: dict[str, Any] = {"scaling": Scaling(0, 2)}
    after: dict[str, Any] = {"scaling": Scaling(1, 3), **NEW}
    old = gate.deploy(**before)
    tags = gate.live.tags
    gate.script(*(ScriptedResult(**{**vars(answer), "times": 1}) for answer in answers))
    error = gate.failing(**after)
    assert error.exit_code == 3
    assert error.failure == known
    assert cause in error.message
    assert line in str(error)
    assert f"{old}, which served before, was put back and serves again" in str(error)
    failed = ReleaseTag.failed_since(gate.live.tags)
    assert failed is not None
    assert failed.config not in {old, ""}
    assert (gate.serves, gate.live.tags) == (old, {**tags, **failed.failed_tags})
    assert [each.config for each in gate.records] == [old]
    assert gate.changes(**before) == []
    assert "update" in gate.changes(**after)
    assert gate.deploy(**after) == gate.serves == failed.config
    assert ReleaseTag.failed_since(gate.live.tags) is None


@pytest.mark.parametrize("answer", [good(), raises()], ids=["answered", "failed"])
def test_what_somebody_else_deployed_during_the_smoke_test_is_left_as_it_is(
    gate: Gate, monkeypatch: pytest.MonkeyPatch, answer: ScriptedResult
) -> None:
    gate.deploy()
    run, other = smoke.run, gate.deployment(environment={"OTHER": "1"})

    def overtaken(*args: Any, **more: Any) -> Any:
        found = run(*args, **more)
        reconcile(gate.aws, other, RecordedProgress(), waiter.WaiterConfig(delay=0.01, timeout=30))
        return found

    monkeypatch.setattr(smoke, "run", overtaken)
    records = len(gate.records)
    gate.script(ScriptedResult(**vars(answer)))
    error = gate.failing(**NEW)
    assert f"goes on with {other.endpoint_config_name}" in error.message
    assert gate.serves == other.endpoint_config_name
    assert len(gate.records) == records


def test_a_traceback_that_the_log_has_only_later_is_waited_for(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    def sleep(seconds: float) -> None:
        workers.pause(seconds)
        if gate.servers.aws.invocations.received:
            moto_state.log(REGION, "svd", ["Traceback (most recent call last):", "KeyError: 'unet'"])

    config = waiter.WaiterConfig(delay=0.02, timeout=60, outage=1, sleep=sleep)
    monkeypatch.setattr(waiter.WaiterConfig, "of", lambda _spec: config)
    gate.script(failure(400, "'unet'", "Connection accepted"))
    assert "| KeyError: 'unet'" in str(gate.failing())


def test_a_worker_that_wrote_nothing_is_told_by_the_newest_lines_of_the_server(gate: Gate) -> None:
    line = "2026-11-30T13:32:12,444 [INFO ] W-9000-model com.amazonaws.ml.mms.wlm.WorkerThread - Retry worker: 9000-c7268c7e"
    gate.script(failure(500, "Worker died.", line))
    error = gate.failing()
    assert f"| {line}" in str(error)
    assert error.failure == "worker-died"


def test_the_log_of_a_release_has_no_lines_of_another_one(gate: Gate) -> None:
    gate.deploy()
    gate.script(raises(), too_large())
    assert "not initialized" in str(gate.failing(**NEW))
    error = gate.failing(environment={"NEW": "2"})
    assert "exceed limit" in str(error)
    assert "not initialized" not in str(error)


def test_a_release_with_another_instance_type_is_put_back_with_its_own_and_its_scaling(gate: Gate) -> None:
    old = gate.deploy(scaling=Scaling(0, 2))
    gate.script(no_memory())
    gate.failing(instance_type="ml.g5.4xlarge", scaling=Scaling(0, 4))
    assert gate.serves == old
    assert gate.changes(scaling=Scaling(0, 2)) == []


def test_an_interrupted_put_back_says_what_goes_on_and_what_the_same_command_does(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = gate.deploy()

    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sagepack.engine.release.reconcile", interrupt)
    gate.script(raises())
    with pytest.raises(KeyboardInterrupt):
        gate.deploy(**NEW)
    new = gate.serves
    assert f"{old} is being put back, which goes on in AWS" in gate.progress.text
    assert f"the same command deploys {new} once more" in gate.progress.text
    assert gate.changes(**NEW) == ["release"]


def test_a_first_release_that_does_not_answer_stays_and_the_same_command_tries_it_again(gate: Gate) -> None:
    gate.script(raises(), raises())
    error = gate.failing()
    assert "there is no release before it to put back" in str(error)
    assert "costs money" in str(error)
    assert "invoke destroy" in str(error)
    assert gate.records == []
    assert gate.changes() == ["release"]
    gate.failing()
    gate.deploy()
    assert gate.changes() == []


def test_a_run_that_was_killed_before_the_record_is_finished_by_the_same_command(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = gate.deploy()

    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as now:
        now.setattr(smoke, "run", interrupt)
        with pytest.raises(KeyboardInterrupt):
            gate.deploy(**NEW)
    config = gate.serves
    assert config != old
    assert f"{config} serves, untried; run the same command again" in gate.progress.text
    (change,) = release_differences(gate.deployment(**NEW), gate.live)
    assert change.reason == f"endpoint svd serves {config}, which has not been tried and recorded yet"
    gate.script(no_memory())
    gate.failing(**NEW)  # this run has not seen the one before serve
    assert gate.serves == old
    gate.deploy(**NEW)
    assert [each.config for each in gate.records] == [config, old]


@pytest.mark.slow
@pytest.mark.parametrize("recorded", [True, False])
def test_an_endpoint_from_before_the_tag_is_put_back_by_its_configuration(gate: Gate, recorded: bool) -> None:
    old = gate.deploy(scaling=Scaling(0, 2))
    untag(gate)
    if not recorded:
        for location, _ in record.newest(gate.s3, gate.below):
            gate.s3.delete(location)
    gate.script(raises())
    assert f"{old}, which served before, was put back" in str(gate.failing(scaling=Scaling(0, 2), **NEW))
    assert gate.serves == old
    assert gate.changes(scaling=Scaling(0, 2)) == ["release"]


def test_what_an_earlier_version_had_recorded_last_is_put_back_after_a_kill(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = gate.deploy()
    with monkeypatch.context() as now:
        now.setattr(Release, "finish", lambda *_: None)
        gate.deploy(**NEW)
    untag(gate)
    gate.script(raises())
    gate.failing(**NEW)
    assert gate.serves == old


def untag(gate: Gate) -> None:
    """Make the endpoint one of before the tag."""
    gate.aws.client("sagemaker").delete_tags(ResourceArn=gate.live.endpoint.endpoint_arn, TagKeys=["sagepack:release"])


def test_a_release_that_cannot_be_put_back_is_told_with_what_the_new_one_failed_for(gate: Gate) -> None:
    old = gate.deploy()
    gate.aws.client("sagemaker").delete_model(ModelName=gate.deployment().model_name)
    gate.script(no_memory())
    error = gate.failing(**NEW)
    assert error.exit_code == 3
    assert "CUDA out of memory" in error.message
    assert "putting the release before back failed" in str(error)
    assert "the model was deleted" in str(error)
    assert gate.serves != old


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ({"smoke": False}, "the spec says smoke: false"),
        ({"no_smoke": True}, "by --no-smoke"),
        ({"sample": None}, "the spec has no sample"),
        ({"problem": "the serving stack is not installed"}, "the serving stack is not installed"),
    ],
)
def test_a_release_that_is_not_tried_says_so_in_its_record(gate: Gate, how: dict[str, Any], reason: str) -> None:
    gate.deploy(**how)
    assert f"the smoke test is skipped: {reason}" in gate.progress.text
    assert gate.sent == 0
    (written,) = gate.records
    assert written.smoke is not None
    assert (written.smoke.passed, written.smoke.reason) == (False, reason)
    assert gate.changes() == []


def test_what_does_not_change_what_serves_is_recorded_and_not_tried_again(gate: Gate) -> None:
    gate.deploy()
    before = gate.live.tags["sagepack:release"]
    gate.deploy(scaling=Scaling(0, 2))
    assert gate.sent == 2
    newest, _ = gate.records
    assert newest.smoke is not None
    assert newest.smoke.reason == "what serves did not change"
    assert gate.live.tags["sagepack:release"] != before


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smoke, "TIMEOUT", 0.2)


@pytest.mark.usefixtures("impatient")
def test_a_release_that_others_kept_from_answering_is_not_put_back_and_the_same_request_waited_for(
    gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = gate.deploy()
    gate.script(good(delay=60, times=2))
    gate.aws.client("sagemaker-runtime").invoke_endpoint_async(EndpointName="svd", Body=b"{}")
    error = gate.failing(**NEW)
    assert error.exit_code == 3
    assert "1 request of others in the queue" in error.message
    assert "goes on to wait" in str(error.fix)
    assert gate.serves != old
    (path,) = (gate.root / "build" / "svd-local" / "smoke").glob("*.json")
    gate.s3.put(S3Uri.parse(json.loads(path.read_bytes())["output"]), FRAMES)  # its turn has come
    monkeypatch.setattr(smoke, "TIMEOUT", 60.0)
    gate.deploy(**NEW)
    assert "this request was sent before" in gate.progress.text
    assert gate.sent == 2 + 1
    assert gate.changes(**NEW) == []


@pytest.mark.usefixtures("impatient")
def test_a_release_that_never_answers_is_put_back_and_its_request_waited_for_no_more(gate: Gate) -> None:
    old = gate.deploy()
    gate.script(good(delay=60))
    error = gate.failing(**NEW)
    assert "request 1 of 2 got no answer in 200 ms" in error.message
    assert gate.serves == old
    (path,) = (gate.root / "build" / "svd-local" / "smoke").glob("*.json")
    assert json.loads(path.read_bytes())["abandoned"] is False


@pytest.mark.usefixtures("impatient")
def test_a_release_without_an_instance_to_answer_is_not_put_back(gate: Gate) -> None:
    old = gate.deploy(scaling=Scaling(0, 2))
    gate.script(good(delay=60))
    live = gate.servers.aws._hosting.endpoint(gate.servers.region, "svd")
    live.counts = {"AllTraffic": 0}
    untag(gate)
    gate.servers.aws.scenario.fleet_times = FleetTimes(alarm=600)
    error = gate.failing(scaling=Scaling(0, 2))
    assert "the endpoint has no instance" in error.message
    assert gate.serves == old


@pytest.mark.parametrize("path", ["*/async-invocations", "*/async/svd/output/*"])
def test_the_network_may_fail_during_the_smoke_test(gate: Gate, path: str) -> None:
    gate.aws = gate.aws.with_patience(Patience(attempts=1))
    gate.servers.aws.faults.add(Fault("drop", path=path, times=3))
    gate.deploy()
    assert gate.progress.text.count("AWS responds again") == 1
    assert gate.changes() == []


def test_a_caller_who_may_send_no_requests_is_told_and_nothing_is_put_back(gate: Gate) -> None:
    old = gate.deploy()
    gate.servers.aws.denied.set(["sagemaker:InvokeEndpointAsync"])
    assert "InvokeEndpointAsync" in str(gate.failing(UserError, **NEW))
    assert "serves, untried" in gate.progress.text
    assert gate.serves != old


@pytest.mark.parametrize("text", [None, "{", '{"type": "text"}'])
def test_what_is_expected_is_read_before_anything_is_changed(gate: Gate, text: str | None) -> None:
    if text:
        (gate.root / "answers.json").write_text(text)
    sample = Sample(request={}, expect=Expect(schema="answers.json"))
    assert gate.failing(UserError, sample=sample).where == "answers.json"
    assert gate.aws.client("sagemaker").list_endpoints()["Endpoints"] == []
