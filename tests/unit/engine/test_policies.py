"""The IAM policies of a spec: what they allow exists, is of the right partition, and fits the names that a deployment has."""

from __future__ import annotations

import functools
import json
import re
from typing import Any

import botocore.session
import pytest
from msgspec import structs

from sagepack.api.results import PURPOSES
from sagepack.aws.permissions import ACTIONS
from sagepack.engine.policies import POLICIES
from sagepack.errors import UserError
from sagepack.spec.model import Alarms, Remote, Sample, Scaling, Spec, Trust, Update, Vpc
from tests.helpers import deployments
from tests.helpers.iam import allows

# Service of botocore, where it is not the prefix of the actions.
SERVICES = {"servicequotas": "service-quotas"}
# Actions that are no operations: the permissions of IAM itself, and those of S3, which has names of its own (see ACTIONS).
NO_OPERATIONS = {"iam:PassRole", "s3:ListBucket", "s3:ListMultipartUploadParts", "s3:ListBucketMultipartUploads"}
NO_OPERATIONS |= {"s3:GetLifecycleConfiguration"}
TOPIC = "arn:aws:sns:us-east-1:123456789012:done"


def spec(region: str = "us-east-1", **changes: Any) -> Spec:
    found = deployments.spec("SVD-xt", **changes)
    partition = "aws-cn" if region.startswith("cn-") else "aws-us-gov" if region.startswith("us-gov-") else "aws"
    role = f"arn:{partition}:iam::123456789012:role/endpoints"
    artifact = structs.replace(found.artifact, sse="aws:kms", kms_key_id="1234", tags={"a": "b"})
    asynchronous = structs.replace(
        found.endpoint.asynchronous,
        success_topic=TOPIC.replace("arn:aws:", f"arn:{partition}:").replace("us-east-1", region),
        kms_key_id="5678",
    )
    endpoint = structs.replace(
        found.endpoint,
        asynchronous=asynchronous,
        kms_key_id="9012",
        log_retention_in_days=30,
        vpc=Vpc(("subnet-01234567",), ("sg-01234567",)),
    )
    aws = structs.replace(found.aws, region=region, role=role)
    remote = Remote(
        role=f"arn:{partition}:iam::123456789012:role/publisher",
        token_secret=f"arn:{partition}:secretsmanager:{region}:123456789012:secret:sagepack/hub-token-a1B2c3",
        vpc=endpoint.vpc,
    )
    return structs.replace(
        found, aws=aws, artifact=artifact, endpoint=endpoint, trust=Trust(sign="kms:3456"), remote=remote
    )


def everything(name: str) -> Spec:
    """A spec that declares all for which there are permissions, with the long names that large companies have."""
    region, partition = "us-gov-west-1", "aws-us-gov"
    bucket = f"s3://acme-machine-learning-production-{region}"
    topics = [
        f"arn:{partition}:sns:{region}:123456789012:sagepack-{name}" for name in ("done", "failed", "on-call", "team")
    ]
    keys = [f"arn:{partition}:kms:{region}:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890a{n}" for n in range(4)]
    found = spec(region, endpoint_name=name)
    artifact = structs.replace(
        found.artifact, target=f"{bucket}/models", reuse_from=(f"{bucket}-dev/models",), kms_key_id=keys[0]
    )
    asynchronous = structs.replace(
        found.endpoint.asynchronous,
        s3_output_path=f"{bucket}/async/{name}/output/",
        s3_failure_path=f"{bucket}/async/{name}/failure/",
        success_topic=topics[0],
        error_topic=topics[1],
        kms_key_id=keys[1],
    )
    endpoint = structs.replace(
        found.endpoint,
        asynchronous=asynchronous,
        kms_key_id=keys[2],
        scaling=Scaling(0, 4),
        alarms=Alarms(topics=tuple(topics[2:])),
        update=Update(rollback_alarms=("failures",)),
    )
    return structs.replace(
        found,
        name=name,
        artifact=artifact,
        endpoint=endpoint,
        sample=Sample(request={}),
        trust=Trust(sign=f"kms:{keys[3]}"),
    )


def actions(policy: dict[str, Any]) -> set[str]:
    found: set[str] = set()
    for statement in policy["Statement"]:
        named = statement["Action"]
        found |= {named} if isinstance(named, str) else set(named)
    return found


@functools.cache
def operations(service: str) -> frozenset[str]:
    return frozenset(botocore.session.get_session().get_service_model(service).operation_names)


def test_each_purpose_has_a_policy() -> None:
    assert tuple(POLICIES) == PURPOSES


@pytest.mark.parametrize("purpose", PURPOSES)
def test_every_action_exists(purpose: str) -> None:
    named = actions(POLICIES[purpose](spec()))
    assert named
    for action in named - NO_OPERATIONS:
        prefix, _, operation = action.partition(":")
        service = SERVICES.get(prefix, prefix)
        places = [service] if operation != "InvokeEndpointAsync" else ["sagemaker-runtime"]
        assert any(operation in operations(place) for place in places), action


def test_every_operation_of_the_table_exists_and_so_does_its_action_in_a_policy() -> None:
    allowed = set().union(*(actions(make(spec())) for make in POLICIES.values()))
    called = "s3 sagemaker sagemaker-runtime application-autoscaling cloudwatch logs ecr ec2 kms iam sns sts service-quotas pricing secretsmanager"
    services = called.split()
    for operation, needed in ACTIONS.items():
        assert any(operation in operations(service) for service in services), operation
        assert set(needed) <= allowed, operation


@pytest.mark.parametrize(
    ("region", "partition"), [("eu-west-1", "aws"), ("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")]
)
@pytest.mark.parametrize("purpose", [purpose for purpose in PURPOSES if purpose != "trust"])
def test_every_resource_is_of_the_partition_and_region(purpose: str, region: str, partition: str) -> None:
    policy = POLICIES[purpose](spec(region))
    for resource in (each for statement in policy["Statement"] for each in statement["Resource"] if each != "*"):
        _, found, service, place, account, _ = resource.split(":", 5)
        assert found == partition, resource
        assert (place, account) == ("", "") if service == "s3" else place in {region, ""}, resource


@pytest.mark.parametrize("name", ["svd", "a" * 63, "Stable-Video-Diffusion-xt"])
@pytest.mark.parametrize("purpose", PURPOSES)
def test_a_policy_fits_iam_with_everything_declared(purpose: str, name: str) -> None:
    policy = POLICIES[purpose](everything(name))
    assert len(json.dumps(policy, separators=(",", ":"))) <= 6144  # characters of a managed policy, without white space
    names = [statement["Sid"] for statement in policy["Statement"] if purpose != "trust"]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9]+", name) for name in names)
    assert all("*" not in action for action in actions(policy))


def test_whoever_deploys_what_is_tried_may_do_what_a_caller_of_the_endpoint_may() -> None:
    value = everything("svd")
    deployer, caller = POLICIES["deploy"](value), POLICIES["predict"](value)
    for one in caller["Statement"]:
        for action in one["Action"]:
            for resource in one["Resource"]:
                prefixes = one.get("Condition", {}).get("StringLike", {}).get("s3:prefix", [""])
                assert all(allows(deployer, action, resource, {"s3:prefix": prefix}) for prefix in prefixes), action
    untried = POLICIES["deploy"](structs.replace(value, smoke=False))
    assert "sagemaker:InvokeEndpointAsync" not in actions(untried)


def test_the_deployer_may_work_on_its_own_names_and_on_no_others() -> None:
    policy, value = POLICIES["deploy"](spec()), deployments.deployment("SVD-xt")
    arn = "arn:aws:sagemaker:us-east-1:123456789012:"
    for verb in ("Create", "Delete", "Describe"):
        assert allows(policy, f"sagemaker:{verb}Model", f"{arn}model/{value.model_name}")
        assert allows(policy, f"sagemaker:{verb}Model", f"{arn}model/{value.model_name.lower()}")
        assert allows(policy, f"sagemaker:{verb}EndpointConfig", f"{arn}endpoint-config/{value.endpoint_config_name}")
        assert allows(policy, f"sagemaker:{verb}Endpoint", f"{arn}endpoint/svd-xt")
        assert not allows(policy, f"sagemaker:{verb}Model", f"{arn}model/other-0123456789ab")
    for verb in ("Create", "Update", "Delete"):
        assert not allows(policy, f"sagemaker:{verb}Endpoint", f"{arn}endpoint/svd-xt-2")
    for verb in ("Create", "Update"):
        assert allows(policy, f"sagemaker:{verb}Endpoint", f"{arn}endpoint-config/{value.endpoint_config_name}")


def test_whoever_plans_changes_nothing() -> None:
    policy = POLICIES["plan"](spec())
    named = {action.partition(":")[2] for action in actions(policy)}
    assert {
        name for name in named if not name.startswith(("Get", "List", "Describe", "BatchGet", "Filter", "Simulate"))
    } == set()
    whole = actions(POLICIES["publish"](spec())) | actions(POLICIES["deploy"](spec()))
    assert actions(policy) < whole
    assert "sagemaker:DescribeModel" in actions(policy)


def test_the_execution_role_is_passed_to_sagemaker_alone() -> None:
    policy = POLICIES["deploy"](spec())
    role = spec().aws.role
    assert allows(policy, "iam:PassRole", role, {"iam:PassedToService": "sagemaker.amazonaws.com"})
    assert not allows(policy, "iam:PassRole", role, {"iam:PassedToService": "ec2.amazonaws.com"})
    assert not allows(policy, "iam:PassRole", f"{role}-2", {"iam:PassedToService": "sagemaker.amazonaws.com"})


def test_the_execution_role_reads_packages_and_requests_and_writes_answers() -> None:
    policy, bucket = POLICIES["execution"](spec()), "arn:aws:s3:::sagepack-sandbox"
    for key in ("models/SVD-xt/0123456789abcdef/model.tar.gz", "async/SVD-xt/input/1"):
        assert allows(policy, "s3:GetObject", f"{bucket}/{key}")
        assert not allows(policy, "s3:PutObject", f"{bucket}/{key}")
    for key in ("async/SVD-xt/output/1", "async/SVD-xt/failure/1"):
        assert allows(policy, "s3:PutObject", f"{bucket}/{key}")
    assert not allows(policy, "s3:GetObject", f"{bucket}/models/other/0123456789abcdef/model.tar.gz")
    assert allows(policy, "sns:Publish", TOPIC)
    assert allows(
        policy, "ecr:BatchGetImage", "arn:aws:ecr:us-east-1:763104351884:repository/huggingface-pytorch-inference"
    )


def test_a_caller_of_the_endpoint_may_not_touch_packages() -> None:
    policy = POLICIES["predict"](spec())
    assert not any(allows(policy, action, "arn:aws:s3:::sagepack-sandbox/models/x") for action in actions(policy))


def test_answers_in_another_bucket_are_listed_there() -> None:
    here = spec()
    asynchronous = structs.replace(here.endpoint.asynchronous, s3_failure_path="s3://failures/svd/")
    here = structs.replace(here, endpoint=structs.replace(here.endpoint, asynchronous=asynchronous))
    policy = POLICIES["predict"](here)
    assert allows(policy, "s3:ListBucket", "arn:aws:s3:::failures", {"s3:prefix": "svd/1"})
    assert allows(policy, "s3:ListBucket", "arn:aws:s3:::sagepack-sandbox", {"s3:prefix": "async/SVD-xt/output/1"})
    assert not allows(policy, "s3:ListBucket", "arn:aws:s3:::sagepack-sandbox", {"s3:prefix": "models/"})


def test_without_settings_no_permission_is_for_them() -> None:
    plain = structs.replace(deployments.spec("svd"), remote=Remote("arn:aws:iam::123456789012:role/publisher"))
    text = json.dumps([make(plain) for make in POLICIES.values()])
    assert not re.search(r"kms:|sns:|ec2:|secretsmanager:|Tagging", text)


def test_the_execution_role_makes_network_interfaces_in_a_vpc() -> None:
    policy = POLICIES["execution"](spec())
    assert allows(policy, "ec2:CreateNetworkInterface", "*")
    assert len([action for action in actions(policy) if action.startswith("ec2:")]) == 9
    assert not allows(POLICIES["deploy"](spec()), "ec2:CreateNetworkInterface", "*")


def test_whoever_starts_a_job_writes_no_package_and_its_role_does() -> None:
    caller, role = POLICIES["remote"](spec()), POLICIES["remote-execution"](spec())
    bucket = "arn:aws:s3:::sagepack-sandbox/models/SVD-xt"
    package, given = f"{bucket}/0123456789abcdef/model.tar.gz", f"{bucket}/remote/0123456789abcdef/input.tar.gz"
    assert not allows(caller, "s3:PutObject", package)
    assert allows(caller, "s3:PutObject", given)
    for key in (package, given):
        assert allows(role, "s3:PutObject", key)
        assert allows(role, "s3:GetObject", key)
    assert allows(role, "s3:DeleteObject", given)
    assert not allows(role, "s3:DeleteObject", package)


def test_the_token_is_read_by_the_role_of_the_job_alone() -> None:
    secret = "arn:aws:secretsmanager:us-east-1:123456789012:secret:sagepack/hub-token-a1B2c3"
    readers = [name for name, make in POLICIES.items() if allows(make(spec()), "secretsmanager:GetSecretValue", secret)]
    assert readers == ["remote-execution"]
    assert not allows(POLICIES["remote-execution"](spec()), "secretsmanager:GetSecretValue", f"{secret}2")


def test_the_role_of_a_job_pulls_the_image_that_it_runs_in() -> None:
    pull, endpoint = "ecr:BatchGetImage", "arn:aws:ecr:us-east-1:763104351884:repository/huggingface-pytorch-inference"
    assert allows(POLICIES["remote-execution"](spec()), pull, endpoint)
    image = "111122223333.dkr.ecr.us-east-1.amazonaws.com/tools/python:3.12-slim"
    own = structs.replace(spec(), remote=Remote("arn:aws:iam::123456789012:role/publisher", image=image))
    policy = POLICIES["remote-execution"](own)
    assert allows(policy, pull, "arn:aws:ecr:us-east-1:111122223333:repository/tools/python")
    assert not allows(policy, pull, endpoint)


def test_a_policy_for_a_job_that_is_not_declared_is_refused_with_where_to_declare_it() -> None:
    for purpose in ("remote", "remote-execution"):
        with pytest.raises(UserError, match="has no `remote`") as caught:
            POLICIES[purpose](deployments.spec("svd"))
        assert "config/env/" in str(caught.value.fix)


def test_each_key_may_be_used_by_those_who_need_it() -> None:
    package, results, volume = (f"arn:aws:kms:us-east-1:123456789012:key/{key}" for key in ("1234", "5678", "9012"))
    role, caller, deployer = (POLICIES[purpose](spec()) for purpose in ("execution", "predict", "deploy"))
    assert allows(role, "kms:Decrypt", package)
    for action in ("kms:Decrypt", "kms:GenerateDataKey"):
        assert allows(role, action, results)
        assert allows(caller, action, results)
        assert not allows(caller, action, package)
    for policy in (role, deployer):
        assert allows(policy, "kms:CreateGrant", volume)
        assert not allows(policy, "kms:CreateGrant", results)
    assert not allows(role, "kms:Decrypt", volume)


def test_the_deployer_sets_the_retention_of_its_own_log_alone() -> None:
    policy, group = (
        POLICIES["deploy"](spec()),
        "arn:aws:logs:us-east-1:123456789012:log-group:/aws/sagemaker/Endpoints/",
    )
    for action in ("logs:CreateLogGroup", "logs:PutRetentionPolicy"):
        assert allows(policy, action, f"{group}SVD-xt")
        assert not allows(policy, action, f"{group}SVD-xt-2")
        assert not allows(POLICIES["deploy"](deployments.spec("SVD-xt")), action, f"{group}SVD-xt")


def test_a_worker_sends_parts_and_records_and_writes_nothing_that_others_believe() -> None:
    policy, objects = (
        POLICIES["worker"](everything("svd")),
        "arn:aws-us-gov:s3:::acme-machine-learning-production-us-gov-west-1/models",
    )
    package = f"{objects}/svd/0123456789abcdef"
    for action, key in (
        ("s3:PutObject", f"{package}/model.tar.gz"),
        ("s3:ListMultipartUploadParts", f"{package}/model.tar.gz"),
        ("s3:PutObject", f"{package}/upload/an-id/00001.json"),
        ("s3:GetObject", f"{objects}/another/fedcba9876543210/model.tar.gz"),
    ):
        assert allows(policy, action, key, {}), key
    for key in (
        f"{package}/index.json",
        f"{package}/manifest.json",
        f"{objects}/svd/releases/x.json",
        f"{objects}/contents/0.json",
    ):
        assert not allows(policy, "s3:PutObject", key, {}), key
    assert not allows(policy, "s3:PutObject", f"{objects}/another/fedcba9876543210/model.tar.gz", {})
    assert not allows(policy, "s3:DeleteObject", f"{package}/upload/an-id/00001.json", {})
    assert not {action for action in actions(policy) if "List" in action} - {"s3:ListMultipartUploadParts"}


def test_a_worker_sends_the_files_of_a_prefix_and_not_the_list_of_them() -> None:
    found = everything("svd")
    policy = POLICIES["worker"](structs.replace(found, artifact=structs.replace(found.artifact, layout="prefix")))
    package = "arn:aws-us-gov:s3:::acme-machine-learning-production-us-gov-west-1/models/svd/0123456789abcdef"
    assert allows(policy, "s3:PutObject", f"{package}/model/unet/a.safetensors", {})
    assert not allows(policy, "s3:PutObject", f"{package}/files.json", {})
