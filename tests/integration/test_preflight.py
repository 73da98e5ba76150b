"""What is checked before a byte moves: by a plan, by an upload and a deployment, and by `doctor`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sagepack.aws import quotas
from sagepack.deploy import request
from sagepack.errors import UserError
from tests.helpers import deployments
from tests.helpers.cloud import Cloud
from tests.helpers.deployments import RecordedProgress
from tests.helpers.reference.failures import CHECKS

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagepack.api.project import Project
    from sagepack.api.results import Doctor
    from sagepack.sandbox.servers import Servers

OTHER = "210987654321"
TOPIC = "arn:aws:sns:us-east-1:123456789012:done"
NO_RIGHT = ("AccessDeniedException", "User: x is not authorized to perform: sagemaker:DescribeEndpoint")


@pytest.fixture
def cloud(tmp_path: Path, sandbox: Servers, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    return Cloud(tmp_path, sandbox, monkeypatch)


def refusal(cloud: Cloud, project: Project, goal: str = "deploy") -> UserError:
    """The error of a build before which no byte moves."""
    with pytest.raises(UserError) as caught:
        project.build(goal)
    assert cloud.moved == []
    return caught.value


def verdicts(found: Doctor) -> dict[str, str]:
    return {check.id: check.verdict for check in found.checks}


OTHER_ACCOUNT = (f"aws.account='{OTHER}'", f"aws.role=arn:aws:iam::{OTHER}:role/endpoints")


def test_in_a_prepared_account_every_check_is_ok(cloud: Cloud) -> None:
    sets = (f"endpoint.async.success_topic={topic(cloud)}", f"endpoint.alarms.topics=[{topic(cloud)}]")
    cloud.project(*sets).lock()
    found = cloud.project(*sets).doctor()
    assert {(check.verdict, check.fix) for check in found.checks} == {("ok", None)}
    assert len(found.checks) == 18
    assert {check.id: check.detail for check in found.checks}["price"] == (
        "an hour of ml.g5.2xlarge costs $1.51, of 2 $3.03"
    )
    assert {check.id for check in found.checks} <= {entry.name for entry in CHECKS}
    assert found.exit_code == 0


def topic(cloud: Cloud) -> str:
    """A topic that exists."""
    client = deployments.session_of(cloud.servers).client("sns")
    return str(client.create_topic(Name="done")["TopicArn"])


def test_credentials_of_another_account_block_a_plan_and_stop_a_deployment_before_a_byte_moves(cloud: Cloud) -> None:
    plan = cloud.project(*OTHER_ACCOUNT).plan("deploy")
    blocked = {action.step: action.reasons for action in plan.actions if action.status == "blocked"}
    assert set(blocked) == {"upload", "deploy"}
    assert all(OTHER in reason and "123456789012" in reason for (reason,) in blocked.values())
    assert plan.exit_code == 1
    for goal in ("upload", "deploy"):
        error = refusal(cloud, cloud.project(*OTHER_ACCOUNT), goal)
        assert f"but aws.account is {OTHER}" in error.message
        assert "AWS_PROFILE" in (error.fix or "")


def test_another_account_is_the_error_even_where_s3_denies_access_first(cloud: Cloud) -> None:
    cloud.project(*OTHER_ACCOUNT).lock()
    project = cloud.project(*OTHER_ACCOUNT)
    cloud.servers.aws.faults.status("/sagepack-sandbox*", 403, times=None)
    with pytest.raises(UserError, match=f"but aws.account is {OTHER}"):
        project.plan("upload")


def test_a_local_package_does_not_ask_whose_account_it_is(cloud: Cloud) -> None:
    assert cloud.project(*OTHER_ACCOUNT).package().archive is not None


@pytest.mark.parametrize(
    ("sets", "words", "fix"),
    [
        (["artifact.target=s3://nobody-has-this/models"], "there is no such bucket", "aws s3 mb s3://nobody-has-this"),
        (["artifact.expected_bucket_owner='210987654321'"], "is not account 210987654321's", "artifact.exp"),
        (["aws.role=arn:aws:iam::123456789012:role/nobody"], "there is no role", "policy --for trust"),
        ([f"endpoint.async.error_topic={TOPIC}x"], "there is no topic", "create it"),
    ],
)
def test_what_a_deployment_would_fail_without_stops_it_before_a_byte_moves(
    cloud: Cloud, sets: list[str], words: str, fix: str
) -> None:
    cloud.project(*sets).lock()
    error = refusal(cloud, cloud.project(*sets))
    assert words in str(error)
    assert fix in (error.fix or "")


def test_several_failures_are_told_at_once(cloud: Cloud) -> None:
    sets = ["aws.role=arn:aws:iam::123456789012:role/nobody", f"endpoint.async.error_topic={TOPIC}x"]
    error = refusal(cloud, cloud.project(*sets))
    assert error.message == "2 checks failed, so nothing was sent or changed"
    assert len(error.details) == 4


def test_a_role_that_does_not_trust_sagemaker_stops_a_deployment_and_an_upload_does_not_care(cloud: Cloud) -> None:
    iam = deployments.session_of(cloud.servers).client("iam")
    iam.create_role(RoleName="other", AssumeRolePolicyDocument='{"Version": "2012-10-17", "Statement": []}')
    sets = ["aws.role=arn:aws:iam::123456789012:role/other"]
    assert "does not let sagemaker.amazonaws.com assume it" in refusal(cloud, cloud.project(*sets)).message
    assert cloud.project(*sets).upload().artifact is not None


def test_what_the_role_may_not_do_is_told_before_a_byte_moves_and_stops_nothing(cloud: Cloud) -> None:
    iam, name = client(cloud.servers, "iam"), "sagepack-sandbox"
    policy = cloud.project().policy("execution").document
    policy["Statement"] = [one for one in policy["Statement"] if one["Sid"] not in {"Pull", "Read"}]
    iam.put_role_policy(RoleName=name, PolicyName="everything", PolicyDocument=json.dumps(policy))
    (found,) = [check for check in cloud.project().doctor().checks if check.id == "role-permissions"]
    assert found.verdict == "warning"
    assert "s3:GetObject on arn:aws:s3:::sagepack-sandbox/models/svd/any" in found.detail
    assert "ecr:BatchGetImage on" in found.detail
    assert "logs:" not in found.detail
    project = cloud.project()
    project.deploy()
    assert isinstance(project.progress, RecordedProgress)
    assert (
        "warning: the policies of arn:aws:iam::123456789012:role/sagepack-sandbox do not allow" in project.progress.text
    )


def test_the_printed_policy_is_all_that_the_role_needs(cloud: Cloud) -> None:
    policy = cloud.project().policy("execution").document
    iam = client(cloud.servers, "iam")
    iam.put_role_policy(RoleName="sagepack-sandbox", PolicyName="everything", PolicyDocument=json.dumps(policy))
    assert verdicts(cloud.project().doctor())["role-permissions"] == "ok"


def test_an_endpoint_of_another_spec_stops_a_deployment_without_a_lock_before_a_byte_moves(cloud: Cloud) -> None:
    aws = deployments.session_of(cloud.servers)
    foreign = deployments.published(aws, deployments.deployment("other", endpoint_name="svd"))
    for create in ("model", "endpoint_config", "endpoint"):
        getattr(aws.client("sagemaker"), f"create_{create}")(**getattr(foreign, f"create_{create}_request"))
    plan = cloud.project().plan("deploy")
    assert {action.step: action.status for action in plan.actions}["deploy"] == "blocked"
    error = refusal(cloud, cloud.project())
    assert "belongs to another spec or environment" in error.message
    assert "sagepack:name=other" in error.message
    assert not (cloud.root / "config" / "locks" / "svd-cloud.lock.yaml").exists()
    with pytest.raises(UserError, match="does not belong to svd/cloud"):
        cloud.project().destroy()


def test_nothing_is_destroyed_or_aborted_with_the_keys_of_another_account(cloud: Cloud) -> None:
    project = cloud.project(*OTHER_ACCOUNT)
    for act in (project.deployed_resources, project.destroy, project.garbage, project.gc):
        with pytest.raises(UserError, match=f"but aws.account is {OTHER}"):
            act()


def test_a_deployment_with_nothing_to_do_makes_no_more_requests_than_its_plan(cloud: Cloud) -> None:
    cloud.project().deploy()
    cloud.project().plan("deploy")
    planned = len(cloud.servers.aws.faults.log)
    built = cloud.project().deploy()
    assert [action.step for action in built.actions if action.runs] == []
    assert len(cloud.servers.aws.faults.log) == planned


def test_a_quota_with_which_no_endpoint_can_start_stops_the_first_deployment_and_no_later_one(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    allowed = [0]
    monkeypatch.setattr(quotas, "endpoint_quota", lambda *_args, **_more: allowed[0])
    error = refusal(cloud, cloud.project())
    assert "the quota 'ml.g5.2xlarge for endpoint usage' is 0" in error.message
    assert "request a higher quota" in str(error.fix)
    assert verdicts(cloud.project().doctor())["quota"] == "failed"
    allowed[0] = 8
    cloud.project().deploy()
    allowed[0] = 0
    project = cloud.project("endpoint.tags.team=night")
    project.deploy()
    assert isinstance(project.progress, RecordedProgress)
    assert "warning: the quota 'ml.g5.2xlarge for endpoint usage' is 0" in project.progress.text


def test_doctor_fails_with_every_failed_check_and_no_traceback(cloud: Cloud) -> None:
    sets = [
        "artifact.target=s3://nobody-has-this/models",
        "aws.role=arn:aws:iam::123456789012:role/nobody",
        f"endpoint.async.error_topic={TOPIC}x",
        f"endpoint.alarms.topics=[{TOPIC}y, {TOPIC}z]",
        "image.tag=2.6.0-transformers9.9.9-gpu-py312-cu124-ubuntu22.04",
    ]
    found = cloud.project(*sets).doctor()
    failed = {check.id for check in found.checks if check.verdict == "failed"}
    assert failed == {"bucket", "role", "error-topic", "alarm-topic", "alarm-topic-2", "image"}
    for consequence in ("lifecycle-rule", "stale-uploads", "role-permissions"):
        assert verdicts(found)[consequence] == "unknown"
    assert all(check.fix for check in found.checks if check.verdict == "failed")
    assert found.exit_code == 1


@pytest.mark.parametrize(
    ("spoil", "check", "verdict"),
    [
        (lambda box: client(box, "s3").delete_bucket_lifecycle(Bucket=box.bucket), "lifecycle-rule", "warning"),
        (lambda box: box.aws.scenario.fail_operation("DescribeEndpoint", *NO_RIGHT), "endpoint-owner", "unknown"),
        (lambda box: box.faults.missing_revision("stabilityai/*"), "hub", "failed"),
    ],
)
def test_one_thing_that_is_wrong_is_one_verdict(
    cloud: Cloud, spoil: Callable[[Servers], object], check: str, verdict: str
) -> None:
    cloud.project().lock()
    project = cloud.project()
    spoil(cloud.servers)
    found = verdicts(project.doctor())
    assert {name: given for name, given in found.items() if given != "ok"} == {check: verdict}


def client(box: Servers, service: str) -> Any:
    return deployments.session_of(box).client(service)


def test_a_hub_that_is_not_there_is_unknown_and_does_not_hold_up_the_rest(cloud: Cloud) -> None:
    cloud.project().lock()
    project = cloud.project()
    cloud.servers.faults.status("/api/models/*", 503, times=None)
    found = verdicts(project.doctor())
    assert found.pop("hub") == "unknown"
    assert set(found.values()) == {"ok"}


def test_a_closed_gate_fails_until_every_file_is_in_the_cache(cloud: Cloud) -> None:
    cloud.project().lock()
    access, no_access = cloud.hf_token, cloud.servers.no_access_token
    cloud.hf_token = no_access
    assert verdicts(cloud.project().doctor())["hub"] == "failed"
    cloud.hf_token = access
    cloud.project().package()
    cloud.hf_token = no_access
    assert verdicts(cloud.project().doctor())["hub"] == "warning"


def test_a_price_that_is_not_known_stops_nothing(cloud: Cloud) -> None:
    cloud.servers.aws.denied.set(["pricing:GetProducts"])
    found = cloud.project().doctor()
    (price,) = [check for check in found.checks if check.id == "price"]
    assert (price.verdict, price.detail) == ("unknown", "the price is not known: it takes pricing:GetProducts")
    assert found.exit_code == 0


def test_a_damaged_lock_is_a_verdict(cloud: Cloud) -> None:
    lock = cloud.root / "config" / "locks" / "svd-cloud.lock.yaml"
    lock.parent.mkdir(parents=True, exist_ok=True)
    lock.write_text("<<<<<<< HEAD\n")
    found = verdicts(cloud.project().doctor())
    assert found["lock"] == "failed"
    assert found["disk"] == "unknown"


def test_a_request_with_the_keys_of_another_account_is_told_as_that(cloud: Cloud) -> None:
    with pytest.raises(UserError, match=f"but aws.account is {OTHER}"):
        cloud.project(*OTHER_ACCOUNT).predict()
    with pytest.raises(UserError, match="there is no such endpoint"):
        cloud.project().predict()


def test_a_request_that_may_not_be_written_names_the_policy_for_requests(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request, "MAX_INLINE_SIZE", 0)  # one that goes by way of S3
    cloud.project().deploy()
    project = cloud.project()
    cloud.servers.aws.faults.status("/sagepack-sandbox/async/*", 403, times=None)
    with pytest.raises(UserError, match="AccessDenied") as caught:
        project.predict()
    assert caught.value.fix == "allow the caller s3:PutObject; `invoke policy --for predict` prints the policy for it"


def test_a_deployment_beyond_the_quota_is_warned_of_refused_and_explained(cloud: Cloud) -> None:
    beyond = cloud.project("endpoint.initial_instance_count=9", "endpoint.scaling=null")
    with pytest.raises(UserError, match="is 8 Instances, with current utilization of 0") as caught:
        beyond.deploy()  # the codes of the sandbox's quotas are its own, so only `doctor` finds this one
    assert "request a higher quota 'ml.g5.2xlarge for endpoint usage'" in (caught.value.fix or "")
    cloud.project("endpoint.initial_instance_count=5", "endpoint.scaling=null").deploy()
    (quota,) = [check for check in cloud.project().doctor().checks if check.id == "quota"]
    assert quota.verdict == "ok"  # it does not know what is in use
    larger = cloud.project("endpoint.initial_instance_count=5", "endpoint.scaling=null", "environment.MORE=1")
    with pytest.raises(UserError, match="utilization of 5 Instances and a request delta of 5"):  # both fleets run
        larger.deploy()
