"""The verdict of each check, over the facts that AWS may give."""

from __future__ import annotations

from typing import Any

import pytest

from sagepack.aws.ec2 import SecurityGroup, Subnet
from sagepack.aws.identity import Caller
from sagepack.aws.kms import Key
from sagepack.aws.sns import Topic
from sagepack.deploy.preflight import judge
from sagepack.digest import Digest
from sagepack.spec.model import Scaling, Vpc
from tests.helpers import deployments

MINE, OTHER = "111111111111", "999999999999"
ROLE = f"arn:aws:iam::{MINE}:role/endpoints"
TOPIC = f"arn:aws:sns:us-east-1:{MINE}:done"
SAGEMAKER = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}


def test_credentials_of_the_declared_account_are_right() -> None:
    found = judge.account(Caller(MINE, f"arn:aws:iam::{MINE}:user/me"), MINE, "AWS_ACCESS_KEY_ID of this shell")
    assert found.verdict == "ok"
    assert "AWS_ACCESS_KEY_ID of this shell" in found.detail


def test_credentials_of_another_account_fail_with_both_accounts_and_their_source() -> None:
    found = judge.account(Caller(OTHER, f"arn:aws:iam::{OTHER}:user/me"), MINE, "~/.aws/credentials, profile x")
    assert found.verdict == "failed"
    assert OTHER in found.detail
    assert MINE in found.detail
    assert found.fix is not None
    assert "profile x" in found.fix


@pytest.mark.parametrize(
    ("facts", "verdict", "words"),
    [
        ({}, "ok", "account 111111111111's, in us-east-1"),
        ({"found": "eu-west-1"}, "failed", "is in eu-west-1, the endpoint in us-east-1"),
        ({"owned": False}, "failed", "not account 111111111111's (aws.account)"),
        ({"owned": None}, "unknown", "s3:ListBucket"),
        ({"owned": False, "found": "eu-west-1"}, "failed", "eu-west-1"),
    ],
)
def test_a_bucket_must_be_in_the_region_and_ours(facts: dict[str, Any], verdict: str, words: str) -> None:
    given: dict[str, Any] = {"region": "us-east-1", "found": "us-east-1", "owner": MINE, "owned": True, **facts}
    found = judge.bucket("b", owner_key="aws.account", **given)
    assert (found.verdict, words in found.detail) == (verdict, True)
    assert (found.fix is not None) == (verdict == "failed")


def test_a_bucket_that_keeps_unfinished_uploads_is_a_warning() -> None:
    assert judge.unfinished_uploads("b", aborted=True).verdict == "ok"
    assert judge.unfinished_uploads("b", aborted=False).verdict == "warning"


@pytest.mark.parametrize(
    ("trust", "verdict", "words"),
    [
        (None, "failed", "there is no role"),
        ({}, "failed", "does not let"),
        ({"Statement": []}, "failed", "does not let"),
        ({"Statement": SAGEMAKER}, "ok", "may assume"),
        ({"Statement": [SAGEMAKER]}, "ok", "may assume"),
        ({"Statement": [{**SAGEMAKER, "Action": ["sts:AssumeRole", "sts:TagSession"]}]}, "ok", "may assume"),
        ({"Statement": [{**SAGEMAKER, "Action": "sts:*"}]}, "ok", "may assume"),
        ({"Statement": [{**SAGEMAKER, "Action": "sts:TagSession"}]}, "failed", "does not let"),
        (
            {
                "Statement": [
                    {**SAGEMAKER, "Principal": {"Service": ["lambda.amazonaws.com", "sagemaker.amazonaws.com"]}}
                ]
            },
            "ok",
            "may assume",
        ),
        ({"Statement": [{**SAGEMAKER, "Principal": {"Service": "ec2.amazonaws.com"}}]}, "failed", "does not let"),
        ({"Statement": [{**SAGEMAKER, "Principal": {"AWS": f"arn:aws:iam::{MINE}:root"}}]}, "failed", "does not let"),
        ({"Statement": [{**SAGEMAKER, "Principal": "*"}]}, "failed", "does not let"),
        ({"Statement": [SAGEMAKER, {**SAGEMAKER, "Effect": "Deny"}]}, "failed", "denies"),
        (
            {"Statement": [{**SAGEMAKER, "Condition": {"StringEquals": {"aws:SourceAccount": MINE}}}]},
            "ok",
            "on a condition that is not judged here",
        ),
    ],
)
def test_a_role_must_trust_sagemaker(trust: dict[str, Any] | None, verdict: str, words: str) -> None:
    found = judge.role(ROLE, trust)
    assert (found.verdict, words in found.detail, ROLE in found.detail) == (verdict, True, True)


def test_what_the_policies_of_a_role_do_not_allow_is_a_warning_since_others_may() -> None:
    assert judge.role_permissions(ROLE, []).verdict == "ok"
    found = judge.role_permissions(ROLE, ["s3:GetObject on arn:aws:s3:::b/x"])
    assert found.verdict == "warning"
    assert "do not allow s3:GetObject on arn:aws:s3:::b/x" in found.detail


def test_an_image_is_there_with_the_locked_digest_or_will_be_locked() -> None:
    digest = Digest.sha256(b"image")
    assert "locked digest" in judge.image("repository:tag", digest, digest).detail
    assert "the lock will say so" in judge.image("repository:tag", digest, None).detail


@pytest.mark.parametrize(
    ("value", "count", "scaling", "verdict", "words"),
    [
        (None, 1, None, "unknown", "does not list"),
        (0, 1, None, "warning", "takes up to 1"),
        (1, 1, None, "warning", "an update of 1 takes 2"),
        (2, 1, None, "ok", "is 2"),
        (3, 1, Scaling(0, 4), "warning", "takes up to 4"),
        (4, 1, Scaling(0, 4), "ok", "is 4"),
        (4, 3, Scaling(0, 4), "warning", "an update of 3 takes 6"),
    ],
)
def test_the_quota_must_be_enough_for_scaling_and_for_an_update(
    value: int | None, count: int, scaling: Scaling | None, verdict: str, words: str
) -> None:
    endpoint = deployments.endpoint(initial_instance_count=count, scaling=scaling)
    found = judge.quota("ml.g5.2xlarge for endpoint usage", value, endpoint)
    assert (found.verdict, words in found.detail) == (verdict, True)


@pytest.mark.parametrize(
    ("found", "verdict", "words"),
    [
        ({}, "failed", "there is no alarm mine"),
        ({"mine": "OK"}, "ok", "is in ALARM"),  # a deployment sets up its own
        ({"mine": "INSUFFICIENT_DATA", "sagepack/svd/failures": "OK"}, "ok", "none of"),
        ({"mine": "OK", "sagepack/svd/failures": "ALARM"}, "failed", "sagepack/svd/failures is in ALARM now"),
    ],
)
def test_a_roll_back_alarm_must_exist_and_not_be_on(found: dict[str, str], verdict: str, words: str) -> None:
    judged = judge.rollback_alarms(["sagepack/svd/failures", "mine"], found)
    assert (judged.verdict, words in judged.detail) == (verdict, True)
    assert (judged.fix is None) == (verdict == "ok")


@pytest.mark.parametrize(
    ("values", "verdict", "words"),
    [
        ({"a": 2}, "ok", "the quota 'a' is 2"),
        ({"a": 1, "b": 1}, "ok", "'a + b' is 2"),
        ({"a": 2, "b": 0}, "failed", "the quota 'b' is 0; SageMaker refuses a pool"),
        ({"a": 2, "b": None}, "unknown", "does not list 'b'"),
    ],
)
def test_each_pool_needs_a_quota_and_all_together_enough_of_it(
    values: dict[str, int | None], verdict: str, words: str
) -> None:
    found = judge.quotas(values, deployments.endpoint())
    assert (found.verdict, words in found.detail) == (verdict, True)


def test_a_topic_must_exist() -> None:
    assert judge.topic(TOPIC, "endpoint.async.error_topic", exists=True).verdict == "ok"
    missing = judge.topic(TOPIC, "endpoint.async.error_topic", exists=False)
    assert (missing.verdict, missing.fix) == ("failed", "create it, or correct endpoint.async.error_topic")


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (None, "failed"),
        (Topic(), "ok"),
        (Topic("alias/aws/sns"), "failed"),
        (Topic("arn:aws:kms:us-east-1:123456789012:alias/aws/sns"), "failed"),
        (Topic("alias/mine"), "ok"),
    ],
)
def test_a_topic_of_an_alarm_must_take_what_cloudwatch_publishes(found: Topic | None, verdict: str) -> None:
    assert judge.alarm_topic(TOPIC, found).verdict == verdict


@pytest.mark.parametrize(
    ("exists", "owned", "verdict"), [(False, False, "ok"), (True, True, "ok"), (True, False, "failed")]
)
def test_an_endpoint_of_another_spec_must_not_be_touched(exists: bool, owned: bool, verdict: str) -> None:
    found = judge.owner("svd", exists=exists, owned=owned, tags="sagepack:name=other")
    assert found.verdict == verdict
    assert ("sagepack:name=other" in found.detail) == (verdict == "failed")


SUBNETS = (Subnet("subnet-1", "vpc-1", "us-east-1a"), Subnet("subnet-2", "vpc-1", "us-east-1b"))
GROUPS = (SecurityGroup("sg-1", "vpc-1"),)


@pytest.mark.parametrize(
    ("facts", "verdict", "words"),
    [
        ({}, "ok", "2 subnets in 2 zones of vpc-1, with an endpoint for S3"),
        ({"has_s3_endpoint": None}, "ok", "whose way to S3 was not looked at"),
        ({"has_s3_endpoint": False}, "warning", "vpc-1 has no endpoint for S3"),
        ({"subnets": SUBNETS[:1]}, "failed", "the account has no subnet-2 in us-east-1"),
        ({"subnets": (), "groups": ()}, "failed", "no sg-1, subnet-1, subnet-2"),
        ({"groups": (SecurityGroup("sg-1", "vpc-2"),)}, "failed", "several VPCs: vpc-1, vpc-2"),
        (
            {"subnets": (SUBNETS[0], Subnet("subnet-2", "vpc-1", "us-east-1a"))},
            "warning",
            "all subnets are in us-east-1a",
        ),
    ],
)
def test_the_network_of_the_containers_must_exist_and_reach_s3(facts: dict[str, Any], verdict: str, words: str) -> None:
    given: dict[str, Any] = {"subnets": SUBNETS, "groups": GROUPS, "has_s3_endpoint": True, **facts}
    found = judge.vpc(Vpc(("subnet-1", "subnet-2"), ("sg-1",)), "us-east-1", **given)
    assert (found.verdict, words in found.detail) == (verdict, True)
    assert (found.fix is None) == (verdict == "ok")


@pytest.mark.parametrize(
    ("found", "verdict", "words"),
    [
        (Key("arn:key", "Enabled", "SYMMETRIC_DEFAULT"), "ok", "arn:key is enabled"),
        (Key("arn:key", "PendingDeletion", "SYMMETRIC_DEFAULT"), "failed", "is PendingDeletion"),
        (Key("arn:key", "Enabled", "RSA_2048"), "failed", "RSA_2048"),
        (None, "failed", "there is no key alias/x"),
    ],
)
def test_a_key_must_be_there_and_enabled(found: Key | None, verdict: str, words: str) -> None:
    judged = judge.key("alias/x", "endpoint.kms_key_id", found)
    assert (judged.verdict, words in judged.detail) == (verdict, True)
    assert ("endpoint.kms_key_id" in (judged.fix or "")) == (verdict == "failed")
