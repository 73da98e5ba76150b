"""What AWS refuses, in its own words, as an error that says who can fix it and how."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from sagepack.aws import identity, quotas, sagemaker, sns
from sagepack.aws.outage import Outage
from sagepack.aws.permissions import ACTIONS, policy_for
from sagepack.aws.session import (
    AccessDeniedError,
    Aws,
    AwsConnection,
    CredentialsError,
    Patience,
    UnknownOperationError,
    is_outage,
)
from sagepack.errors import RemoteError, SagepackError, UserError
from tests.helpers.deployments import stubbed

if TYPE_CHECKING:
    from sagepack.sandbox.servers import Servers

ROLE = "arn:aws:iam::123456789012:role/path/endpoints"
TOPIC = "arn:aws:sns:us-east-1:123456789012:done"
DENIED = "User: arn:aws:iam::1:user/u is not authorized to perform: sagemaker:DescribeModel on resource: arn:x because"


def refused(code: str, text: str = "", status: int = 400) -> SagepackError:
    """The error of a call that AWS refuses."""
    aws, stubs = stubbed("sagemaker")
    stubs["sagemaker"].add_client_error("describe_model", code, text, http_status_code=status)
    with pytest.raises((UserError, RemoteError)) as caught:
        sagemaker.describe_model(aws, "m")
    return caught.value


@pytest.mark.parametrize(
    ("code", "text", "kind", "fix"),
    [
        (
            "ExpiredTokenException",
            "The security token included in the request is expired",
            CredentialsError,
            "log in again",
        ),
        ("UnrecognizedClientException", "The security token is invalid", CredentialsError, "aws.region is enabled"),
        (
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match",
            CredentialsError,
            "credentials",
        ),
        ("InvalidSignatureException", "Signature expired: 20260101T000000Z is now earlier", UserError, "set the clock"),
        ("RequestTimeTooSkewed", "The difference between the request time", UserError, "set the clock"),
        ("OptInRequired", "The AWS Access Key Id needs a subscription", UserError, "enable that region"),
        ("KMS.NotFoundException", "Key 'arn:x' does not exist", UserError, "artifact.kms_key_id"),
        ("ResourceLimitExceeded", "The account-level service limit", UserError, "Service Quotas"),
        ("ValidationException", "1 validation error detected", UserError, "correct what the message names"),
        ("InternalFailure", "try again", RemoteError, None),
    ],
)
def test_who_can_fix_a_refusal_follows_from_its_code(
    code: str, text: str, kind: type[Exception], fix: str | None
) -> None:
    error = refused(code, text)
    assert (isinstance(error, kind), error.public_type()) == (True, kind.__name__)
    assert (fix or "") in (error.fix or "")
    assert text in error.message


@pytest.mark.parametrize(
    ("text", "actions"),
    [
        (f"{DENIED} no identity-based policy allows it", ("sagemaker:DescribeModel",)),
        ("", ("sagemaker:DescribeModel",)),
    ],
)
def test_a_missing_permission_is_named_with_the_policy_that_has_it(text: str, actions: tuple[str, ...]) -> None:
    error = refused("AccessDeniedException", text)
    assert isinstance(error, AccessDeniedError)
    assert error.actions == actions
    assert (
        error.fix == "allow the caller sagemaker:DescribeModel; `invoke policy --for deploy` prints the policy for it"
    )


def test_an_explicit_deny_is_told_as_one_that_no_policy_of_the_caller_overrules() -> None:
    error = refused("AccessDeniedException", f"{DENIED} with an explicit deny in a service control policy")
    assert "no other policy overrules" in (error.fix or "")


def test_a_web_page_in_place_of_a_message_is_not_repeated() -> None:
    error = refused("500", "<!doctype html>\n<html lang=en><title>500 Internal Server Error</title>", 500)
    assert "html" not in str(error)
    assert "the service responded with a web page (status 500)" in error.message


@pytest.mark.parametrize(
    ("code", "text", "status", "lasts"),
    [
        ("UnknownOperationException", "", 400, True),
        ("500", "<!doctype html>", 500, True),
        ("NotImplemented", "", 501, True),
        ("503", "<html>", 503, False),
        ("500", "", 500, False),
        ("InternalFailure", "try again", 500, False),
    ],
)
def test_what_does_not_know_a_request_is_no_outage(code: str, text: str, status: int, lasts: bool) -> None:
    error = refused(code, text, status)
    assert isinstance(error, UnknownOperationError) is lasts
    assert is_outage(error) is not lasts


def test_a_very_long_message_is_cut() -> None:
    assert len(str(refused("InternalFailure", "x" * 100_000))) < 25_000


def test_every_operation_but_one_is_allowed_by_a_policy() -> None:
    assert [name for name in ACTIONS if policy_for(name) is None] == ["GetCallerIdentity"]
    assert policy_for("SomethingElse") is None
    assert {policy_for(name) for name in ACTIONS} == {
        *(None, "publish", "sign", "predict", "deploy", "gc"),
        *("remote", "remote-execution"),
    }


@pytest.fixture
def own_shell(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> pytest.MonkeyPatch:
    """A shell without AWS settings."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    return monkeypatch


def test_the_source_of_credentials_is_told(own_shell: pytest.MonkeyPatch, tmp_path: Any) -> None:
    with pytest.raises(CredentialsError, match="no AWS credentials") as caught:
        assert Aws(AwsConnection("us-east-1")).credentials_source
    assert "AWS_PROFILE" in (caught.value.fix or "")
    keys = "aws_access_key_id = AKIA\naws_secret_access_key = s\n"
    (tmp_path / "credentials").write_text(f"[dev]\n{keys}")
    assert Aws(AwsConnection("us-east-1", "dev")).credentials_source == "~/.aws/credentials, profile dev"
    own_shell.setenv("AWS_ACCESS_KEY_ID", "AKIA")
    own_shell.setenv("AWS_SECRET_ACCESS_KEY", "s")
    assert Aws(AwsConnection("us-east-1")).credentials_source == "AWS_ACCESS_KEY_ID of this shell"
    given = Aws(AwsConnection("us-east-1", access_key="AKIA", secret_key="s"))
    assert given.credentials_source == "this environment's settings"


def test_a_call_without_credentials_is_an_error_of_credentials(own_shell: pytest.MonkeyPatch) -> None:
    del own_shell
    with pytest.raises(CredentialsError, match="no AWS credentials while"):
        identity.caller(Aws(AwsConnection("us-east-1")))


def test_a_session_with_other_patience_shares_the_credentials_and_not_the_clients() -> None:
    aws, _ = stubbed("sts")
    quick = aws.with_patience(Patience(connect=1, read=2, attempts=1))
    config = quick.client("sts").meta.config
    assert (config.connect_timeout, config.read_timeout, config.retries["total_max_attempts"]) == (1, 2, 1)
    assert quick.client("sts") is not aws.client("sts")
    assert quick._session is aws._session
    usual = aws.client("sts").meta.config
    assert (usual.connect_timeout, usual.read_timeout, usual.retries["total_max_attempts"]) == (10, 60, 7)


def test_commands_for_one_connection_share_boto3s_clients_and_each_tells_its_own_outage() -> None:
    connection = AwsConnection("us-east-1", None, "http://127.0.0.1:9", "AKIASHARED", "s")
    (one, told), (other, told_other) = ((Aws.shared(connection), list[str]()) for _ in range(2))
    assert one.client("sts")._endpoint is other.client("sts")._endpoint
    assert Aws(connection).client("sts")._endpoint is not one.client("sts")._endpoint
    assert Aws.shared(dataclasses.replace(connection, region="us-west-2"))._session is not one._session
    quick = [each.with_patience(Patience(connect=1, read=1, attempts=1)) for each in (one, other)]
    outages = [Outage(notes.append, lasts=0.02, delay=0.01) for notes in (told, told_other)]
    with one.surviving(outages[0]):
        with other.surviving(outages[1]), pytest.raises(RemoteError):
            identity.caller(quick[1])
        assert (len(told), len(told_other)) == (0, 1)
        with pytest.raises(RemoteError):
            identity.caller(quick[0])
    assert (len(told), len(told_other)) == (1, 1)


def test_the_next_command_of_a_process_sees_a_new_login(own_shell: pytest.MonkeyPatch, tmp_path: Any) -> None:
    connection, file = AwsConnection("us-east-1"), tmp_path / "credentials"

    def key() -> str:
        return str(Aws.shared(connection).client("sts")._request_signer._credentials.access_key)

    for name in ("AKIAFIRST", "AKIASECONDS"):
        file.write_text(f"[default]\naws_access_key_id = {name}\naws_secret_access_key = none\n")
        assert (key(), key()) == (name, name)
    own_shell.setenv("AWS_ACCESS_KEY_ID", "AKIASHELL")
    own_shell.setenv("AWS_SECRET_ACCESS_KEY", "none")
    assert key() == "AKIASHELL"


def test_credentials_that_aws_refuses_are_looked_for_anew(sandbox: Servers) -> None:
    aws = Aws(AwsConnection(sandbox.region, None, sandbox.aws_url, "AKIAWRONG", sandbox.secret_key))
    before = aws.client("sts")
    for _ in range(2):
        with pytest.raises(CredentialsError):
            identity.caller(aws)
    assert aws.client("sts")._endpoint is not before._endpoint


def test_new_credentials_of_the_user_are_used_after_a_renewal(own_shell: pytest.MonkeyPatch, tmp_path: Any) -> None:
    def log_in(key: str) -> None:
        file.write_text(f"[default]\naws_access_key_id = {key}\naws_secret_access_key = none\n")

    def key_of(aws: Aws) -> str:
        return str(aws.client("sts")._request_signer._credentials.access_key)

    file = tmp_path / "credentials"
    own_shell.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
    log_in("AKIAOLD")
    aws = Aws(AwsConnection("us-east-1"))
    quick = aws.with_patience(Patience(attempts=1))
    assert (key_of(aws), key_of(quick)) == ("AKIAOLD", "AKIAOLD")
    log_in("AKIANEW")
    assert key_of(aws) == "AKIAOLD"
    quick.renew_credentials()
    assert (key_of(aws), key_of(quick)) == ("AKIANEW", "AKIANEW")


def test_the_trust_policy_is_that_of_the_role_with_the_same_path() -> None:
    aws, stubs = stubbed("iam")
    role = {"Path": "/path/", "RoleName": "endpoints", "RoleId": "AROA0000000000000000", "CreateDate": "2026-01-01"}
    for arn in (ROLE, ROLE.replace("/path/", "/other/")):
        document = {**role, "Arn": arn, "AssumeRolePolicyDocument": "%7B%22Statement%22%3A%20%5B%5D%7D"}
        stubs["iam"].add_response("get_role", {"Role": document}, {"RoleName": "endpoints"})
    stubs["iam"].add_client_error("get_role", "NoSuchEntity", http_status_code=404)
    assert identity.trust_policy(aws, ROLE) == {"Statement": []}
    assert identity.trust_policy(aws, ROLE) is None
    assert identity.trust_policy(aws, ROLE) is None


QUOTA = {"QuotaName": "ml.g5.2xlarge for endpoint usage", "Value": 3.0}


def test_a_quota_whose_code_is_known_is_one_request() -> None:
    aws, stubs = stubbed("service-quotas")
    expected = {"ServiceCode": "sagemaker", "QuotaCode": "L-9614C779"}
    stubs["service-quotas"].add_response("get_service_quota", {"Quota": QUOTA}, expected)
    assert quotas.endpoint_quota(aws, "ml.g5.2xlarge", search=False) == 3


@pytest.mark.parametrize("answer", [{"Quota": {**QUOTA, "QuotaName": "another"}}, None])
def test_a_code_that_has_another_name_or_is_gone_is_searched_for_by_name(answer: dict[str, Any] | None) -> None:
    aws, stubs = stubbed("service-quotas")
    stub = stubs["service-quotas"]
    for _ in range(2):
        if answer:
            stub.add_response("get_service_quota", answer)
        else:
            stub.add_client_error("get_service_quota", "NoSuchResourceException")
    assert quotas.endpoint_quota(aws, "ml.g5.2xlarge", search=False) is None
    stub.add_response("list_service_quotas", {"Quotas": [{"QuotaName": "x", "Value": 1.0}], "NextToken": "t"})
    stub.add_response("list_service_quotas", {"Quotas": [QUOTA]})
    assert quotas.endpoint_quota(aws, "ml.g5.2xlarge") == 3


def test_a_quota_without_a_known_code_is_not_searched_for_in_a_hurry() -> None:
    aws, stubs = stubbed("service-quotas")
    assert quotas.endpoint_quota(aws, "ml.inf2.xlarge", search=False) is None
    stubs["service-quotas"].add_response("list_service_quotas", {"Quotas": []})
    assert quotas.endpoint_quota(aws, "ml.inf2.xlarge") is None


def test_a_topic_exists_or_not() -> None:
    aws, stubs = stubbed("sns")
    stubs["sns"].add_response("get_topic_attributes", {"Attributes": {}}, {"TopicArn": TOPIC})
    stubs["sns"].add_client_error("get_topic_attributes", "NotFound", http_status_code=404)
    stubs["sns"].add_client_error("get_topic_attributes", "AuthorizationError", http_status_code=403)
    assert sns.describe_topic(aws, TOPIC) == sns.Topic()
    assert sns.describe_topic(aws, TOPIC) is None
    with pytest.raises(AccessDeniedError, match="AuthorizationError") as caught:
        sns.describe_topic(aws, TOPIC)
    assert caught.value.actions == ("sns:GetTopicAttributes",)


def test_what_a_role_may_not_do_is_told_for_each_resource() -> None:
    aws, stubs = stubbed("iam")
    each = [
        {"EvalResourceName": "arn:aws:s3:::b/x", "EvalResourceDecision": "allowed"},
        {"EvalResourceName": "arn:aws:s3:::b/y", "EvalResourceDecision": "explicitDeny"},
    ]
    results = [
        {"EvalActionName": "s3:GetObject", "EvalDecision": "explicitDeny", "ResourceSpecificResults": each},
        {"EvalActionName": "ecr:GetAuthorizationToken", "EvalDecision": "implicitDeny"},
        {"EvalActionName": "s3:PutObject", "EvalResourceName": "arn:aws:s3:::b/x", "EvalDecision": "allowed"},
    ]
    expected = {"PolicySourceArn": ROLE, "ActionNames": ["s3:GetObject"], "ResourceArns": ["arn:aws:s3:::b/x"]}
    stubs["iam"].add_response("simulate_principal_policy", {"EvaluationResults": results}, expected)
    denied = identity.denied_actions(aws, ROLE, ["s3:GetObject"], ["arn:aws:s3:::b/x"])
    assert denied == ["s3:GetObject on arn:aws:s3:::b/y", "ecr:GetAuthorizationToken on *"]


def test_a_profile_that_does_not_exist_is_an_error_of_credentials(own_shell: pytest.MonkeyPatch) -> None:
    del own_shell
    with pytest.raises(CredentialsError, match="nobody") as caught:
        identity.caller(Aws(AwsConnection("us-east-1", "nobody")))
    assert "aws configure list-profiles" in (caught.value.fix or "")


def test_a_service_that_cannot_be_reached_names_what_to_check(own_shell: pytest.MonkeyPatch) -> None:
    del own_shell
    nobody = AwsConnection("us-east-1", None, "http://127.0.0.1:9", "AKIA", "s")
    with pytest.raises(RemoteError, match="Could not connect") as caught:
        identity.caller(Aws(nobody).with_patience(Patience(connect=1, read=1, attempts=1)))
    assert "aws.region" in (caught.value.fix or "")
