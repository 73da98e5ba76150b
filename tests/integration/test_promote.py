"""A release goes from one environment to another: the same bytes, copied inside S3, with the settings of the other one."""

from __future__ import annotations

import dataclasses
import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from botocore.awsrequest import AWSResponse
from invoke.program import Program

from sagepack.api.project import Project
from sagepack.api.results import FOUND_WORK
from sagepack.aws.s3 import S3, ObjectRef, S3Uri
from sagepack.aws.session import Aws, AwsConnection
from sagepack.cli.tasks import collection
from sagepack.deploy.deployment import tag_list
from sagepack.errors import IntegrityError, UserError
from sagepack.publish.checksums import Checksums
from sagepack.publish.documents import Index
from sagepack.publish.observation import Binding
from tests.helpers import chains
from tests.helpers.cloud import Cloud
from tests.helpers.deployments import RecordedProgress, session_of
from tests.helpers.iam import allows
from tests.helpers.lending import lend
from tests.helpers.signing import KeyPair

if TYPE_CHECKING:
    from pathlib import Path

    from sagepack.sandbox.servers import Servers

REGION, BUCKET = "us-west-2", "sagepack-stage"
KEYS = {"dev": KeyPair.of("ours"), "prod": KeyPair.of("theirs")}
STAGE = f"""\
aws: {{account: "123456789012", region: {REGION}, role: "arn:aws:iam::123456789012:role/sagepack-sandbox"}}
artifact: {{target: "s3://{BUCKET}/packages"}}
endpoint: {{name: svd-stage, instance_type: ml.g5.4xlarge}}
"""


class Stages(Cloud):
    """A project with the environments `cloud`, which is deployed, and `stage`, another bucket in another region."""

    def __init__(self, root: Path, servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(root, servers, monkeypatch)
        self.overlay = root / "config" / "env" / "stage.yaml"
        self.overlay.write_text(STAGE)
        self.aws = lend(Aws(AwsConnection(REGION, None, servers.aws_url, servers.access_key, servers.secret_key)))
        location: Any = {"LocationConstraint": REGION}
        self.aws.client("s3").create_bucket(Bucket=BUCKET, CreateBucketConfiguration=location)

    def stage(self, *sets: str) -> Project:
        """The project in the environment `stage`; the logs of the servers are cleared."""
        self.project()
        return Project(self.root, str(self.root / "config" / "svd.yaml"), "stage", sets, RecordedProgress())

    @property
    def serves(self) -> str:
        """The image and the package that `stage` serves."""
        sagemaker = self.aws.client("sagemaker")
        config = sagemaker.describe_endpoint(EndpointName="svd-stage")["EndpointConfigName"]
        (variant,) = sagemaker.describe_endpoint_config(EndpointConfigName=config)["ProductionVariants"]
        return str(sagemaker.describe_model(ModelName=variant["ModelName"])["PrimaryContainer"])

    @property
    def copied(self) -> list[str]:
        """The keys in the bucket of `stage`."""
        return [each.location.key for each in S3(self.aws.client("s3")).list(S3Uri(BUCKET, ""))]

    def forget(self) -> None:
        """Remove all that builds left on this machine."""
        for name in ("build", "dist", "cache"):
            shutil.rmtree(self.root / name, ignore_errors=True)

    def edit(self) -> None:
        path = self.root / "inference_code" / "svd" / "inference.py"
        path.write_text(path.read_text() + "#\n")


@pytest.fixture
def stages(tmp_path: Path, sandbox: Servers, monkeypatch: pytest.MonkeyPatch) -> Stages:
    return Stages(tmp_path, sandbox, monkeypatch)


@pytest.fixture
def ready(stages: Stages) -> Stages:
    """`cloud` is deployed, `stage` has a lock, and this machine remembers nothing of it."""
    stages.project().deploy()
    stages.stage().lock()
    stages.forget()
    return stages


def text_of(project: Project) -> str:
    assert isinstance(project.progress, RecordedProgress)
    return project.progress.text


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["archive", "prefix"])
def test_the_same_bytes_are_served_and_none_of_them_passes_this_machine(stages: Stages, layout: str) -> None:
    for path in (stages.root / "config" / "env" / "cloud.yaml", stages.overlay):
        path.write_text(path.read_text().replace("artifact: {", f"artifact: {{layout: {layout}, "))
    deployed = stages.project().deploy()
    stages.stage().lock()
    stages.forget()
    project = stages.stage()
    built = project.promote("cloud")
    assert [action.step for action in built.actions] == ["upload", "deploy"]
    assert built.manifest is None
    assert built.artifact is not None
    assert deployed.artifact is not None
    assert built.artifact.uri == deployed.artifact.uri.replace(
        "s3://sagepack-sandbox/models", f"s3://{BUCKET}/packages"
    )
    assert built.actions[0].send == 0
    assert not [path for path in stages.moved if "/resolve/" in path]
    assert not (stages.root / "dist").exists()
    assert built.artifact.uri in stages.serves
    assert "dkr.ecr.us-west-2.amazonaws.com/huggingface-pytorch-inference@sha256:" in stages.serves
    (release,) = stages.stage().releases().deployments
    (origin,) = stages.project().releases().deployments
    assert release.promoted_from is not None
    assert (release.promoted_from.env, release.promoted_from.record) == ("cloud", origin.record)
    assert (release.manifest, release.settings["instance_type"]) == (origin.manifest, "ml.g5.4xlarge")
    assert built.promoted_from == release.promoted_from
    assert stages.stage().verify_remote(deep=True).manifest == origin.manifest


@pytest.mark.slow
def test_a_promotion_may_leave_the_smoke_test_out(ready: Stages) -> None:
    ready.stage().promote("cloud", smoke=False)
    (release,) = ready.stage().releases().deployments
    assert release.smoke is not None
    assert release.smoke.reason == "by --no-smoke"


@pytest.mark.slow
def test_a_second_promotion_does_nothing(ready: Stages) -> None:
    ready.stage().promote("cloud")
    again = ready.stage().promote("cloud")
    assert not any(action.runs for action in again.actions)
    assert not ready.moved


@pytest.mark.slow
def test_a_dry_run_says_what_is_copied_and_changed_and_changes_nothing(ready: Stages) -> None:
    plan = ready.stage().review_promotion("cloud").plan
    assert plan.exit_code == FOUND_WORK
    upload, deploy = plan.actions
    assert (upload.send, upload.fetch) == (0, 0)
    assert upload.copy > 6 << 20
    assert [change.kind for change in deploy.changes] == ["create"]
    assert plan.contents is not None
    assert {content.binding for content in plan.contents} == {Binding.PROMOTED.value}
    assert plan.promoted_from is not None
    assert not ready.copied
    with pytest.raises(UserError, match="there is no such endpoint in stage"):
        ready.project().review_promotion("stage")


@pytest.mark.slow
def test_nothing_is_promoted_to_an_endpoint_that_another_tool_manages(ready: Stages) -> None:
    ready.stage().promote("cloud")
    sagemaker = ready.aws.client("sagemaker")
    arn = sagemaker.describe_endpoint(EndpointName="svd-stage")["EndpointArn"]
    sagemaker.add_tags(ResourceArn=arn, Tags=tag_list({"sagepack:managed-by": "cdk"}))
    ready.edit()
    ready.project().deploy()
    serves, copied = ready.serves, ready.copied
    (action,) = [each for each in ready.stage().review_promotion("cloud").plan.actions if each.step == "deploy"]
    assert action.status == "blocked"
    with pytest.raises(UserError, match="endpoint svd-stage is managed by the CDK") as caught:
        ready.stage().promote("cloud")
    assert "`invoke export`" in str(caught.value.fix)
    assert (ready.serves, ready.copied) == (serves, copied)


@pytest.mark.slow
def test_a_plan_that_was_agreed_to_holds(ready: Stages) -> None:
    agreed = ready.stage().review_promotion("cloud")
    with pytest.raises(UserError, match="what was reviewed is not what would be done now"):
        ready.stage("endpoint.instance_type=ml.g5.8xlarge").promote("cloud", plan=agreed)
    assert not ready.copied
    ready.stage().promote("cloud", plan=agreed)


@pytest.mark.slow
def test_the_same_command_finishes_what_was_interrupted(ready: Stages) -> None:
    ready.servers.aws.denied.set(["sagemaker:CreateEndpoint"])
    with pytest.raises(UserError, match="AccessDenied"):
        ready.stage().promote("cloud")
    ready.servers.aws.denied.set([])
    finished = ready.stage().promote("cloud")
    assert [action.status for action in finished.actions] == ["skip", "run"]


def test_code_that_differs_is_refused_with_what_differs(ready: Stages) -> None:
    ready.edit()
    (ready.root / "inference_code" / "svd" / "more.py").write_text("")
    with pytest.raises(UserError, match="make another package than cloud deployed: 2 differences") as caught:
        ready.stage().promote("cloud")
    assert caught.value.details == ("in stage: code/inference.py changed", "in stage: code/more.py is new")
    assert caught.value.where == "config/locks/svd-stage.lock.yaml"
    assert not ready.copied


def test_another_image_is_refused(ready: Stages) -> None:
    lock = ready.root / "config" / "locks" / "svd-stage.lock.yaml"
    tag = "2.6.0-transformers4.49.0-gpu-py312-cu124-ubuntu22.04"
    ready.overlay.write_text(f"{STAGE}image: {{tag: {tag}}}\n")
    lock.unlink()
    ready.stage().lock()
    with pytest.raises(UserError, match="the locks name different images"):
        ready.stage().promote("cloud")
    assert not ready.copied


@pytest.mark.slow
def test_without_a_lock_nothing_is_promoted_and_none_is_made(stages: Stages) -> None:
    stages.project().deploy()
    with pytest.raises(UserError, match="there is no lock"):
        stages.stage().promote("cloud")
    assert not (stages.root / "config" / "locks" / "svd-stage.lock.yaml").exists()


@pytest.mark.slow
def test_an_older_release_may_be_named(ready: Stages) -> None:
    ready.edit()
    ready.project().deploy()
    with pytest.raises(UserError, match="make another package") as caught:
        ready.stage().promote("cloud", release="2")
    assert caught.value.details == ("in stage: code/inference.py changed",)
    ready.stage().promote("cloud", release="1")
    with pytest.raises(UserError, match="no release of cloud is '7': 2 are recorded"):
        ready.stage().promote("cloud", release="7")


@pytest.mark.slow
def test_what_serves_nothing_or_is_not_recorded_is_not_promoted(ready: Stages) -> None:
    (release,) = ready.project().releases().deployments
    S3(session_of(ready.servers).client("s3")).delete(S3Uri.parse(release.record))
    with pytest.raises(UserError, match="no deployment of what serves in cloud is recorded"):
        ready.stage().promote("cloud")
    ready.project().destroy()
    with pytest.raises(UserError, match="there is no such endpoint in cloud"):
        ready.stage().promote("cloud")


@pytest.mark.slow
def test_a_package_that_is_not_there_whole_is_not_promoted(ready: Stages) -> None:
    (release,) = ready.project().releases().deployments
    s3, archive = S3(session_of(ready.servers).client("s3")), S3Uri.parse(release.package)
    s3.put(archive, b"something else")
    with pytest.raises(UserError, match="is not there whole"):
        ready.stage().promote("cloud")
    s3.delete(archive.parent.child("manifest.json"))
    with pytest.raises(UserError, match="the manifest of the package is not there"):
        ready.stage().promote("cloud")
    assert not ready.copied


@pytest.mark.slow
def test_bytes_that_are_not_what_the_index_says_are_never_released(ready: Stages) -> None:
    (release,) = ready.project().releases().deployments
    s3, archive = S3(session_of(ready.servers).client("s3")), S3Uri.parse(release.package)
    place, head = archive.parent.child("index.json"), s3.head(archive)
    index = Index.parse(s3.read(place))
    assert head is not None
    assert index is not None
    data = bytearray(b"".join(s3.open(ObjectRef(archive, head.etag), 0, head.size)))
    data[len(data) // 2] ^= 1
    s3.put(archive, bytes(data))
    damaged = s3.head(archive)
    assert damaged is not None
    s3.put(place, dataclasses.replace(index, etag=damaged.etag, whole=Checksums.of(bytes(data))).text())
    project = ready.stage()
    with pytest.raises(UserError, match="is not what was released"):
        project.promote("cloud")
    assert "planning again without it" in text_of(project)
    assert not ready.copied


@pytest.mark.slow
def test_who_may_not_read_the_source_is_told_which_statement_is_needed(
    ready: Stages, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(request: Any, **_: Any) -> AWSResponse | None:
        if "/sagepack-sandbox/models/svd/" not in request.url:
            return None
        answer = AWSResponse(request.url, 403, {}, None)
        answer._content = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
        return answer

    make = ready.make_clients

    def of_another_account(root: Path, spec: Any, *others: Any) -> Any:
        clients = make(root, spec, *others)
        if spec.env == "stage":
            clients.aws.client("s3").meta.events.register("before-send.s3", refuse)
        return clients

    ready.connect(of_another_account, monkeypatch)
    with pytest.raises(UserError, match="AccessDenied") as caught:
        ready.stage().promote("cloud")
    (statement,) = (json.loads(line) for line in caught.value.details if line.startswith("{"))
    assert statement["Principal"] == {"AWS": "arn:aws:iam::123456789012:root"}
    assert statement["Action"] == ["s3:GetObject"]
    assert statement["Resource"] == ["arn:aws:s3:::sagepack-sandbox/models/svd/*"]
    assert "policy of the bucket sagepack-sandbox" in (caught.value.fix or "")
    assert any("aws/s3" in line for line in caught.value.details)


@pytest.mark.slow
def test_the_source_is_read_as_the_policy_for_publishing_allows(ready: Stages, monkeypatch: pytest.MonkeyPatch) -> None:
    ready.overlay.write_text(STAGE.replace("artifact: {", "artifact: {reuse_from: [s3://sagepack-sandbox/models], "))
    read, make = set[str](), ready.make_clients

    def note(params: dict[str, Any], **_: Any) -> None:
        place = params.get("CopySource", params)
        if place["Bucket"] == "sagepack-sandbox":
            read.add(f"arn:aws:s3:::{place['Bucket']}/{place['Key']}")

    def recorded(root: Path, spec: Any, *others: Any) -> Any:
        clients = make(root, spec, *others)
        if spec.env == "stage":
            clients.aws.client("s3").meta.events.register("provide-client-params.s3", note)
        return clients

    ready.connect(recorded, monkeypatch)
    ready.stage().promote("cloud")
    policy = ready.stage().policy("publish").document
    assert {arn.rpartition("/")[2] for arn in read} == {"index.json", "model.tar.gz"}
    assert all(allows(policy, "s3:GetObject", arn) for arn in read)


@pytest.mark.slow
def test_the_environments_are_those_of_the_flags(
    ready: Stages, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ready.root)

    def run(*words: str) -> Any:
        line = ["invoke", "promote", "--config", "config/svd.yaml", "--json", *words]
        with pytest.raises(SystemExit):
            Program(namespace=collection(ready.root), binary="invoke").run(line, exit=False)
        return json.loads(capsys.readouterr().out)

    found = run("--from-env", "cloud", "--to-env", "stage", "--dry-run")
    assert (found["exit_code"], found["spec"]["env"], found["result"]["promoted_from"]["env"]) == (2, "stage", "cloud")
    assert run("--from-env", "cloud", "--env", "stage", "--dry-run")["spec"]["env"] == "stage"
    contradiction = run("--from-env", "cloud", "--env", "cloud", "--to-env", "stage")
    assert contradiction["error"]["where"] == "--env"
    assert run("--to-env", "stage")["error"]["where"] == "--from-env"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"region: us-west-2": "region: cn-north-1", "arn:aws:": "arn:aws-cn:"},
            "S3 cannot copy from the partition aws ",
        ),
        ({"artifact: {": "artifact: {layout: prefix, "}, "publishes the layout 'archive', stage 'prefix'"),
        ({"aws: {": "sandbox: true\naws: {", "us-west-2": "us-east-1"}, "S3 cannot copy between the sandbox and AWS"),
    ],
)
def test_what_s3_cannot_copy_is_refused_before_anything_is_asked(
    stages: Stages, change: dict[str, str], message: str
) -> None:
    text = STAGE
    for old, new in change.items():
        text = text.replace(old, new)
    stages.overlay.write_text(text)
    with pytest.raises(UserError, match=message):
        stages.stage().promote("cloud")


def test_what_only_its_own_account_can_decrypt_is_refused(stages: Stages) -> None:
    cloud = stages.root / "config" / "env" / "cloud.yaml"
    cloud.write_text(cloud.read_text().replace("artifact: {", "artifact: {sse: 'aws:kms', "))
    stages.overlay.write_text(STAGE.replace("123456789012", "444455556666"))
    with pytest.raises(UserError, match="encrypted with the AWS managed key aws/s3") as caught:
        stages.stage().promote("cloud")
    assert "artifact.kms_key_id of cloud" in (caught.value.fix or "")


def test_an_environment_is_not_promoted_to_itself(stages: Stages) -> None:
    with pytest.raises(UserError, match="both environments are stage"):
        stages.stage().promote("stage")


def signing(stages: Stages) -> tuple[str, str]:
    """Two pairs of keys: `cloud` is signed by one, whose public key both environments have; the private parts are given with --set."""
    keys = stages.root / "config" / "keys"
    for name, pair in KEYS.items():
        private, _ = pair.write(keys, name)
        private.rename(stages.root / private.name)
    for path, name in ((stages.root / "config" / "env" / "cloud.yaml", "dev"), (stages.overlay, "prod")):
        path.write_text(f"{path.read_text()}trust: {{verify: [config/keys/{name}.pub]}}\n")
    return "trust.sign=file:dev.pem", "trust.sign=file:prod.pem"


def test_a_signed_release_is_promoted_and_signed_by_the_key_of_the_target(stages: Stages) -> None:
    dev, prod = signing(stages)
    stages.project(dev).deploy()
    stages.stage().lock()
    stages.forget()
    project = stages.stage(prod)
    plan = project.review_promotion("cloud").plan
    assert plan.contents is not None
    assert {content.binding for content in plan.contents} == {Binding.SIGNED.value}
    built = stages.stage(prod).promote("cloud")
    assert built.actions[0].send == 0
    signature = stages.stage().verify_remote().signature
    assert signature is not None
    assert (signature.key, signature.hint) == ("config/keys/prod.pub", KEYS["prod"].public.hint)
    again = stages.stage(prod).promote("cloud")
    assert not any(action.runs for action in again.actions)


@pytest.mark.slow
def test_a_release_that_was_signed_with_certificates_is_promoted_by_their_root_and_by_no_other(stages: Stages) -> None:
    _, prod = signing(stages)
    root, keys = chains.root("Acme"), stages.root / "config" / "keys"
    signer = root.issue("signer", days=36_500)
    (stages.root / "dev.pem").write_bytes(signer.private_pem)
    (keys / "chain.pem").write_bytes(signer.pem)
    (keys / "dev.pub").write_bytes(root.pem)
    stages.project("trust.sign=file:dev.pem", "trust.certificates=config/keys/chain.pem").deploy()
    stages.stage().lock()
    stages.forget()
    (keys / "dev.pub").write_bytes(chains.root("Acme").pem)
    with pytest.raises(IntegrityError):
        stages.stage(prod).promote("cloud")
    (keys / "dev.pub").write_bytes(root.pem)
    built = stages.stage(prod).promote("cloud")
    assert built.actions[0].send == 0
    signature = stages.stage().verify_remote().signature
    assert signature is not None
    assert signature.key == "config/keys/prod.pub"


@pytest.mark.slow
def test_without_a_key_of_the_target_the_copy_waits_for_its_signature(stages: Stages) -> None:
    dev, prod = signing(stages)
    stages.project(dev).deploy()
    stages.stage().lock()
    with pytest.raises(UserError, match="not signed") as caught:
        stages.stage().promote("cloud")
    assert caught.value.exit_code == 1
    assert "SageMaker" not in str(caught.value)
    stages.stage(prod).sign()
    assert stages.stage().promote("cloud").endpoint


@pytest.mark.slow
@pytest.mark.parametrize("how", ["unsigned", "signed by others", "replaced"])
def test_what_is_not_signed_as_it_is_in_the_source_is_not_copied(stages: Stages, how: str) -> None:
    dev, prod = signing(stages)
    stages.project(*([dev] if how != "unsigned" else []), "trust.verify=[]").deploy()
    stages.stage().lock()
    stages.forget()
    store, folder = S3(session_of(stages.servers).client("s3")), S3Uri("sagepack-sandbox", "models/svd")
    names = {each.location.key.rpartition("/")[2]: each.location for each in store.list(folder)}
    if how == "signed by others":
        for name in ("model.sig", "release.sig", "provenance.sigstore.json"):
            store.delete(names[name])
        stages.project(prod, "trust.verify=[]").sign()
    elif how == "replaced":
        data = store.get(names["model.tar.gz"], 1 << 30)
        assert data
        store.put(names["model.tar.gz"], data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises((UserError, IntegrityError)) as caught:
        stages.stage(prod).promote("cloud")
    assert caught.value.exit_code == (1 if how == "unsigned" else 4)
    assert ("invoke sign --env cloud" in str(caught.value)) is (how == "unsigned")
    assert not stages.copied
