"""The whole way through the sandbox, and what the printed policies allow of it: neither too little nor too much."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from sagepack.aws.permissions import ACTIONS
from sagepack.errors import RemoteError
from sagepack.sandbox.aws.invocations import ScriptedResult
from tests.helpers import deployments
from tests.helpers.cloud import Cloud
from tests.helpers.iam import allows
from tests.helpers.network import vpc_setting
from tests.helpers.remote import Region

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from sagepack.api.project import Project
    from sagepack.sandbox.servers import Servers

# Of S3's requests, those that the condition on the prefix denies; the program copes (`S3.region`, `S3.look_at`).
DENIED_AND_COPED_WITH = {"HeadBucket"}
# What no request of the way uses, and who uses it.
EXPLAINED = {
    "iam:PassRole": "CreateModel passes the role",
    "iam:CreateServiceLinkedRole": "the first RegisterScalableTarget of an account",
    "cloudwatch:TagResource": "PutMetricAlarm with tags",
    "s3:PutObjectTagging": "PutObject with tags",
    "kms:CreateGrant": "CreateEndpoint with a key for volumes",
    "kms:Decrypt": "S3 checks it for the caller",
    "kms:GenerateDataKey": "S3 checks it for the caller",
    "ecr:BatchGetImage": "where DescribeImages is denied",
    "s3:AbortMultipartUpload": "an upload whose source changes, and `gc`",
    "s3:ListMultipartUploadParts": "an upload that continues after an interruption",
}
SETS = (
    "endpoint.async.success_topic=arn:aws:sns:us-east-1:123456789012:done",
    "artifact.tags={team: video}",
    "endpoint.alarms.topics=[arn:aws:sns:us-east-1:123456789012:done]",
    "endpoint.log_retention_in_days=30",
    "endpoint.scaling.schedule=[{at: rate(1 day), min_capacity: 0}]",
)


# Member of a request -> the ARN of what it is about.
RESOURCES = {
    "EndpointName": "arn:aws:sagemaker:us-east-1:123456789012:endpoint/{EndpointName}",
    "EndpointConfigName": "arn:aws:sagemaker:us-east-1:123456789012:endpoint-config/{EndpointConfigName}",
    "ProcessingJobName": "arn:aws:sagemaker:us-east-1:123456789012:processing-job/{ProcessingJobName}",
    "ModelName": "arn:aws:sagemaker:us-east-1:123456789012:model/{ModelName}",
    "logGroupName": "arn:aws:logs:us-east-1:123456789012:log-group:{logGroupName}:log-stream",
    "logGroupNamePrefix": "arn:aws:logs:us-east-1:123456789012:log-group::log-stream:",
    "AlarmName": "arn:aws:cloudwatch:us-east-1:123456789012:alarm:{AlarmName}",
    "AlarmNames": "arn:aws:cloudwatch:us-east-1:123456789012:alarm:{AlarmNames[0]}",
    "ResourceId": "arn:aws:application-autoscaling:us-east-1:123456789012:scalable-target/0123",
    "ResourceArn": "{ResourceArn}",
    "TopicArn": "{TopicArn}",
    "PolicySourceArn": "{PolicySourceArn}",
    "KeyId": "{KeyId}",
}


def _object(bucket: str, key: str | None) -> str:
    return f"arn:aws:s3:::{bucket}" + (f"/{key}" if key else "")


@dataclass(frozen=True)
class Call:
    """A request to AWS: the operation and its parameters."""

    operation: str
    parameters: dict[str, Any]

    @property
    def resources(self) -> list[str]:
        """The ARNs that it is about, one for each action that it needs; of those without a resource, any."""
        given = self.parameters
        if "Bucket" in given:
            source = given.get("CopySource")
            own = _object(given["Bucket"], given.get("Key"))
            return [_object(source["Bucket"], source["Key"]), own] if source else [own]
        if "repositoryName" in given:
            return [f"arn:aws:ecr:us-east-1:{given['registryId']}:repository/{given['repositoryName']}"]
        if "RoleName" in given:
            return [f"arn:aws:iam::123456789012:role/{given['RoleName']}"]
        if self.operation.startswith("List") and "ResourceArn" not in given:
            return ["*"]
        return [next((form.format(**given) for name, form in RESOURCES.items() if name in given), "*")]

    @property
    def context(self) -> dict[str, str]:
        """The condition keys that AWS would know of it."""
        known = {"application-autoscaling:service-namespace": "sagemaker"}
        return {**known, "s3:prefix": self.parameters["Prefix"]} if "Prefix" in self.parameters else known

    def missing(self, policies: list[dict[str, Any]]) -> list[str]:
        """The actions that none of the policies allows."""
        needed, resources = ACTIONS[self.operation], self.resources
        if len(resources) != len(needed):
            resources *= len(needed)
        return [
            f"{action} on {resource}"
            for action, resource in zip(needed, resources, strict=True)
            if not any(allows(policy, action, resource, self.context) for policy in policies)
        ]


class Recorder:
    """Records the requests of every session that a project makes."""

    def __init__(self, cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
        self.cloud, self.calls = cloud, list[Call]()
        aws = deployments.session_of(cloud.servers)
        key = aws.client("kms").create_key()["KeyMetadata"]["Arn"]
        keys = (f"endpoint.kms_key_id={key}", f"endpoint.async.kms_key_id={key}")
        self.sets = (*SETS, *keys, vpc_setting(aws))
        make = cloud.make_clients

        def recorded(*args: Any) -> Any:
            clients = make(*args)
            clients.aws._session.boto.events.register("provide-client-params", self._note)
            return clients

        cloud.connect(recorded, monkeypatch)

    def _note(self, params: dict[str, Any], model: Any, **_: Any) -> None:
        self.calls.append(Call(model.name, dict(params)))

    def policies(self, *purposes: str, sets: Sequence[str] = ()) -> list[dict[str, Any]]:
        return [self.cloud.project(*self.sets, *sets).policy(purpose).document for purpose in purposes]

    def run(self, work: Callable[[], object], *purposes: str, sets: Sequence[str] = ()) -> set[str]:
        """Do some work; every request must be allowed by the policies. Gives back the actions that were used."""
        policies = self.policies(*purposes, sets=sets)
        self.calls.clear()
        work()
        assert self.calls
        missing = {
            f"{call.operation}: {text}"
            for call in self.calls
            if call.operation not in DENIED_AND_COPED_WITH
            for text in call.missing(policies)
        }
        assert missing == set()
        return {action for call in self.calls for action in ACTIONS[call.operation]}


@pytest.fixture
def recorder(tmp_path: Path, sandbox: Servers, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    return Recorder(Cloud(tmp_path, sandbox, monkeypatch), monkeypatch)


def test_each_request_is_allowed_by_the_policy_for_it_and_each_permission_is_used(recorder: Recorder) -> None:
    cloud = recorder.cloud
    box = cloud.servers
    cloud.project(*recorder.sets).lock()

    def project(*sets: str) -> Any:
        return cloud.project(*recorder.sets, *sets)

    make_topic(box)
    publishing = recorder.run(lambda: project().upload(), "publish")
    edit(cloud.root)
    publishing |= recorder.run(lambda: project().upload(), "publish")  # copies inside S3
    publishing |= recorder.run(lambda: project().verify_remote(deep=True), "publish")
    by_kms = signing_key(box)
    publishing |= recorder.run(lambda: project(by_kms).upload(), "publish", sets=[by_kms])
    unsign(box)
    signing = recorder.run(lambda: project(by_kms).sign(), "sign", sets=[by_kms])
    used = recorder.run(lambda: project().deploy(), "publish", "deploy")
    used |= recorder.run(lambda: project("environment.MORE=1").deploy(), "publish", "deploy")
    used |= recorder.run(lambda: project("endpoint.tags.more=1").deploy(), "publish", "deploy")
    used |= recorder.run(lambda: project("endpoint.scaling=null").deploy(), "publish", "deploy")
    used |= recorder.run(lambda: (project().review_rollback("2"), project().rollback("2")), "publish", "deploy")
    used |= recorder.run(lambda: project("endpoint.alarms=null").deploy(), "publish", "deploy")
    used |= recorder.run(lambda: project().doctor(), "plan")
    used |= recorder.run(lambda: (project().status(), project().logs(), project().releases()), "plan")
    used |= recorder.run(lambda: project("environment.MORE=2").plan("deploy"), "plan")
    used |= recorder.run(lambda: (project().diff("live", "2"), project().diff("2", "tree")), "plan")
    box.aws.invocations.script(ScriptedResult(b"[]", times=2))
    (large := cloud.root / "large.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(128_001))
    predicting = recorder.run(lambda: project().predict(timeout=20), "predict")
    predicting |= recorder.run(lambda: project().predict(large, timeout=20), "predict")
    used |= recorder.run(lambda: project().deploy(), "publish", "deploy")
    used |= recorder.run(lambda: (project().sleep(), project().wake()), "deploy")
    box.aws.invocations.script(ScriptedResult(b"out of memory", 500))
    used |= recorder.run(lambda: failing(project("environment.MORE=3", LARGE_SAMPLE)), "publish", "deploy")
    attach(box)
    collecting = recorder.run(lambda: project().gc(keep=1, older_than_hours=0, answers_older_than_days=0), "gc")
    used |= recorder.run(lambda: project().destroy(), "publish", "deploy")
    predicting.add("s3:ListBucket")  # with it S3 says 404, not 403, as long as there is no answer
    found_by = {"publish": publishing | used, "sign": signing, "deploy": used, "predict": predicting, "gc": collecting}
    unused = {}
    for purpose, found in found_by.items():
        (policy,) = recorder.policies(purpose, sets=[by_kms])
        allowed = {action for statement in policy["Statement"] for action in statement["Action"]}
        unused[purpose] = sorted(allowed - found - EXPLAINED.keys())
    assert unused == {"publish": [], "sign": [], "deploy": [], "predict": [], "gc": []}


@pytest.mark.slow
def test_whoever_publishes_by_a_job_needs_the_policies_for_plan_and_remote_alone(recorder: Recorder) -> None:
    region = Region(recorder.cloud)
    region.run_here()
    sets = (*recorder.sets, *region.sets)
    region.cloud.project(*sets).lock()
    policies = [region.cloud.project(*sets).policy(purpose).document for purpose in ("plan", "remote")]
    recorder.calls.clear()
    region.cloud.project(*sets).upload(remote=True)
    # The job runs in this process, too, and its requests are recorded from when it was started.
    operations = [call.operation for call in recorder.calls]
    started = operations.index("CreateProcessingJob") + 1
    following = [call for call in recorder.calls if call.operation in {"DescribeProcessingJob", "FilterLogEvents"}]
    assert len(following) > 1
    missing = {
        f"{call.operation}: {text}"
        for call in (*recorder.calls[:started], *following)
        if call.operation not in DENIED_AND_COPED_WITH
        for text in call.missing(policies)
    }
    assert missing == set()


# It goes by way of S3, as requests of more than 128,000 bytes do.
LARGE_SAMPLE = f"sample={{file: null, request: {{inputs: {'x' * 128_000}}}}}"


def failing(project: Project) -> None:
    """Deploy what fails its smoke test, so that the release before is put back."""
    with pytest.raises(RemoteError, match="failed its smoke test") as caught:
        project.deploy()
    assert "was put back" in str(caught.value)


def signing_key(box: Servers) -> str:
    """The setting that signs with a new key of AWS KMS."""
    kms = deployments.session_of(box).client("kms")
    return f"trust.sign=kms:{kms.create_key(KeySpec='ECC_NIST_P256', KeyUsage='SIGN_VERIFY')['KeyMetadata']['Arn']}"


def unsign(box: Servers) -> None:
    """Remove every signature."""
    client = deployments.session_of(box).client("s3")
    for each in client.list_objects_v2(Bucket=box.bucket)["Contents"]:
        if each["Key"].endswith(".sig"):
            client.delete_object(Bucket=box.bucket, Key=each["Key"])


def make_topic(box: Servers) -> None:
    deployments.session_of(box).client("sns").create_topic(Name="done")


def attach(box: Servers) -> None:
    """Let others attach something to endpoints."""
    from tests.helpers import deployments  # noqa: PLC0415 - boto3 is imported late

    client = deployments.session_of(box).client("sagemaker")
    client.create_inference_component(InferenceComponentName="part", EndpointName="theirs", Specification={})
    destinations = [{"ResourceArn": "arn:aws:sagemaker:us-east-1:123456789012:endpoint/theirs"}]
    client.create_inference_router(
        InferenceRouterName="router", RoutingTargets=[{"Name": "a", "Destinations": destinations}]
    )


def edit(root: Path) -> None:
    path = root / "inference_code" / "svd" / "inference.py"
    path.write_text(path.read_text() + "\n# edited\n")
