"""docs/failures.md lists what the program recognises, and each failure there is one that something produces."""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from functools import cache
from typing import Any

import botocore.exceptions
import pytest

from sagepack.aws.session import aws_call
from sagepack.deploy.error_hints import hint_for, with_hints
from sagepack.deploy.failure import explained
from sagepack.deploy.known_failures import OF_AWS, OF_CONTAINERS, KnownFailure
from sagepack.errors import RemoteError, SagepackError, UserError
from tests.helpers.golden import Golden
from tests.helpers.paths import ROOT
from tests.helpers.reference.failures import CHECKS, MESSAGES, OF_CALLS, RULES, Entry, failures_page

SESSION = ROOT / "sagepack" / "aws" / "session.py"


def test_the_page_of_failures_is_what_the_program_recognises(golden: Golden) -> None:
    Golden(golden.update, ROOT / "docs").check({"failures.md": failures_page()})


def test_an_id_stands_for_one_failure() -> None:
    ids = [*(failure.id for failure in (*OF_AWS, *OF_CONTAINERS)), *(entry.name for entry in OF_CALLS)]
    # A key of KMS is one failure, whether S3 or SageMaker says it.
    assert {name for name, count in Counter(ids).items() if count > 1} == {"kms-key"}


@pytest.mark.parametrize("failure", OF_AWS, ids=lambda failure: failure.id)
def test_what_aws_says_is_recognised(failure: KnownFailure) -> None:
    found = hint_for(f"creating failed: ValidationException: {failure.symptom}")
    assert found is not None
    assert found.id == failure.id
    kind = UserError if failure.user_can_fix else RemoteError
    with pytest.raises(kind) as caught, with_hints():
        raise RemoteError(failure.symptom)
    assert caught.value.to_json()["id"] == failure.id
    assert "{" not in str(caught.value.fix)


@pytest.mark.parametrize("failure", OF_CONTAINERS, ids=lambda failure: failure.id)
def test_what_a_container_says_is_recognised_as_a_failure_of_the_endpoint_or_of_the_request(
    failure: KnownFailure,
) -> None:
    # The image's toolkit answers 400 to every exception of the handler.
    body = json.dumps({"code": 400, "type": "x", "message": failure.symptom}).encode()
    error = explained(body, "svd", "i", "s3://b/failure/i.out")
    kind = UserError if failure.user_can_fix else RemoteError
    assert (type(error), error.failure) == (kind, failure.id)
    assert failure.fix.partition("{")[0] in (error.fix or "")


def test_a_mistake_of_the_request_is_no_known_failure_of_a_container() -> None:
    error = explained(b'{"code": 400, "message": "unknown field: num_step"}', "svd", "i", "s3://b/failure/i.out")
    assert (type(error), error.failure) == (UserError, None)


def client_error(code: str, text: str = "", status: int = 400, operation: str = "CreateModel") -> Exception:
    response: Any = {"Error": {"Code": code, "Message": text}, "ResponseMetadata": {"HTTPStatusCode": status}}
    error: Exception = botocore.exceptions.ClientError(response, operation)
    return error


DENIED = "User: arn:aws:iam::1:user/u is not authorized to perform: sagemaker:CreateModel on resource: arn:x because"
URL = {"endpoint_url": "https://api.sagemaker.us-east-1.amazonaws.com"}
# What boto3 raises -> id, exit code, and what the advice says.
CALLS: list[tuple[Exception, str, int, str]] = [
    (botocore.exceptions.NoCredentialsError(), "credentials-missing", 1, "AWS_PROFILE"),
    (botocore.exceptions.PartialCredentialsError(provider="env", cred_var="x"), "credentials-missing", 1, "log in"),
    (client_error("ExpiredToken", "The provided token has expired."), "credentials-expired", 1, "log in again"),
    (client_error("ExpiredTokenException"), "credentials-expired", 1, "log in again"),
    (client_error("400", "Bad Request", operation="HeadObject"), "credentials-expired", 1, "log in again"),
    (client_error("RequestExpired"), "credentials-expired", 1, "log in again"),
    (botocore.exceptions.UnauthorizedSSOTokenError(), "credentials-expired", 1, "aws sso login"),
    (botocore.exceptions.TokenRetrievalError(provider="sso", error_msg="x"), "credentials-expired", 1, "log in again"),
    (client_error("UnrecognizedClientException"), "credentials-refused", 1, "aws.region is enabled"),
    (client_error("InvalidClientTokenId", status=403), "credentials-refused", 1, "credentials of this shell"),
    (client_error("InvalidSignatureException", "Signature expired: 20260101T000000Z is now"), "clock", 1, "set the clock"),
    (client_error("InvalidSignatureException", "The request signature we calculated"), "credentials-refused", 1, "check"),
    (client_error("RequestTimeTooSkewed", status=403), "clock", 1, "set the clock"),
    (client_error("AccessDeniedException", f"{DENIED} no policy allows it"), "permission-missing", 1, "--for deploy"),
    (client_error("AccessDenied", status=403), "permission-missing", 1, "sagemaker:CreateModel"),
    (client_error("AccessDeniedException", f"{DENIED} with an explicit deny in a service control policy"), "permission-denied-by-policy", 1, "who wrote it"),
    (client_error("ResourceLimitExceeded", "You have reached the limit of endpoints"), "quota", 1, "Service Quotas"),
    (client_error("OptInRequired"), "region-not-enabled", 1, "enable that region"),
    (client_error("ValidationException", "1 validation error detected"), "request-refused", 1, "what the message names"),
    (client_error("KMS.NotFoundException"), "kms-key", 1, "check the key"),
    (client_error("ThrottlingException", "Rate exceeded"), "service-unavailable", 3, "run the command again"),
    (client_error("SlowDown", status=503), "service-unavailable", 3, "run the command again"),
    (client_error("InternalFailure", status=500), "service-unavailable", 3, "run the command again"),
    (botocore.exceptions.EndpointConnectionError(**URL, error="x"), "network", 3, "check the network"),
    (botocore.exceptions.ConnectionClosedError(**URL), "network", 3, "check the network"),
    (botocore.exceptions.ReadTimeoutError(**URL), "network", 3, "check the network"),
    (botocore.exceptions.SSLError(**URL, error="certificate verify failed"), "certificate-not-trusted", 3, "AWS_CA_BUNDLE"),
]  # fmt: skip


@pytest.mark.parametrize(("raised", "failure", "exit_code", "advice"), CALLS)
def test_what_a_call_meets_has_an_id_an_exit_code_and_advice(
    raised: Exception, failure: str, exit_code: int, advice: str
) -> None:
    with pytest.raises(SagepackError) as caught, aws_call("creating", "model m"):
        raise raised
    assert (caught.value.failure, caught.value.exit_code) == (failure, exit_code)
    assert advice in (caught.value.fix or "")


def test_each_failure_of_a_call_is_listed_and_produced() -> None:
    text = SESSION.read_text()
    known = {*re.findall(r'failure="([a-z-]+)"', text), *re.findall(r'\.failure = "([a-z-]+)"', text)}
    (table,) = re.findall(r"^_MISTAKES.*?^\)$", text, re.MULTILINE | re.DOTALL)
    known |= set(re.findall(r'^(?:    \(|        )"([a-z-]+)",', table, re.MULTILINE))
    assert known == {entry.name for entry in OF_CALLS}
    assert known == {failure for _, failure, _, _ in CALLS}


@cache
def literals() -> tuple[str, ...]:
    """The texts in the program, with nothing where a value is put in."""
    found = []
    for path in (ROOT / "sagepack").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            parts = node.values if isinstance(node, ast.JoinedStr) else [node]
            found.append("".join(str(part.value) for part in parts if isinstance(part, ast.Constant)))
    return tuple(filter(None, found))


@pytest.mark.parametrize("entry", [*CHECKS, *RULES, *MESSAGES], ids=lambda entry: f"{entry.name}: {entry.symptom}"[:40])
def test_each_message_of_the_page_is_one_of_the_program(entry: Entry) -> None:
    pieces = [re.escape(piece.strip()) for piece in entry.symptom.split("…") if piece.strip()]
    assert any(re.search(".*".join(pieces), text) for text in literals())
