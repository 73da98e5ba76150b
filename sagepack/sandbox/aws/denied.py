"""Actions that the caller of the sandbox's AWS is denied, as by an IAM policy that does not allow them.

A model of IAM, not evidence about it: an action is denied on every resource, or allowed on every one.
"""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from sagepack.sandbox.aws import moto_state
from sagepack.sandbox.aws.hosting_rules import arn_of
from sagepack.sandbox.aws.wsgi import INVOCATION, AwsError, JsonObject, headers_of, read_body
from sagepack.sandbox.identity import ACCOUNT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from _typeshed.wsgi import WSGIEnvironment

_CALLER = f"arn:aws:sts::{ACCOUNT}:user/moto"  # the ARN in moto's GetCallerIdentity
# Signing name of a service -> prefix of its actions, where they differ; SNS writes its own in capitals.
_PREFIXES = {"monitoring": "cloudwatch", "sns": "SNS"}
# Error codes of services that have one of their own.
_CODES = {"sns": "AuthorizationError", "ec2": "UnauthorizedOperation"}
_S3_BUCKET = {
    "GET": {
        "lifecycle": "GetLifecycleConfiguration",
        "uploads": "ListBucketMultipartUploads",
        "location": "GetBucketLocation",
        "": "ListBucket",
    },
    "HEAD": {"": "ListBucket"},
    "PUT": {"lifecycle": "PutLifecycleConfiguration", "": "CreateBucket"},
    "POST": {"": "DeleteObject"},
    "DELETE": {"": "DeleteBucket"},
}
_S3_OBJECT = {
    "GET": {"uploadId": "ListMultipartUploadParts", "tagging": "GetObjectTagging", "": "GetObject"},
    "HEAD": {"": "GetObject"},
    "PUT": {"tagging": "PutObjectTagging", "": "PutObject"},
    "POST": {"": "PutObject"},
    "DELETE": {"uploadId": "AbortMultipartUpload", "": "DeleteObject"},
}


class _Action(NamedTuple):
    name: str
    resource: str


class DeniedActions:
    """The denied actions: patterns such as `s3:PutObject` and `sagemaker:Delete*`.

    Attributes:
        patterns: the patterns.
    """

    def __init__(self) -> None:
        self.patterns: tuple[str, ...] = ()

    def set(self, patterns: Iterable[str]) -> None:
        """Deny the actions that match these patterns, and no others."""
        self.patterns = tuple(patterns)

    def check(self, environ: WSGIEnvironment, service: str, region: str) -> None:
        """Check that the caller may make a request.

        Args:
            environ: the request.
            service: signing name of the service that it is for.
            region: its region.

        Raises:
            AwsError: one of the actions that it needs is denied; with the code and the words of the service.
        """
        if not self.patterns or service == "sts":  # nothing can deny GetCallerIdentity
            return
        for action in _actions(environ, service, region):
            if any(fnmatchcase(action.name.lower(), pattern.lower()) for pattern in self.patterns):
                raise _denial(environ, service, _CALLER, action)


def check_role(environ: WSGIEnvironment, service: str, region: str, role: str) -> None:
    """Check that the policies of a role allow a request of one who has assumed it; arguments as of `DeniedActions.check`.

    Raises:
        AwsError: they do not.
    """
    for action in () if service == "sts" else _actions(environ, service, region):
        if not moto_state.role_allows(role, *action):
            caller = f"{role.replace(':iam:', ':sts:').replace(':role/', ':assumed-role/')}/SageMaker"
            raise _denial(environ, service, caller, action)


def _denial(environ: WSGIEnvironment, service: str, caller: str, action: _Action) -> AwsError:
    quoted = f'"{action.resource}"' if service == "s3" else action.resource
    message = (
        f"User: {caller} is not authorized to perform: {action.name} on resource: {quoted} because no "
        f"identity-based policy allows the {action.name} action"
    )
    status = 400 if environ.get("HTTP_X_AMZ_TARGET") else 403
    return AwsError(_CODES.get(service, "AccessDenied"), message, status)


def _actions(environ: WSGIEnvironment, service: str, region: str) -> Iterator[_Action]:
    """The actions that a request needs."""
    if service == "s3":
        yield from _s3_actions(environ)
        return
    prefix = _PREFIXES.get(service, service)
    if invocation := INVOCATION.fullmatch(environ["PATH_INFO"]):
        name = "InvokeEndpointAsync" if invocation[2] else "InvokeEndpoint"
        yield _Action(f"{prefix}:{name}", arn_of(region, "endpoint", invocation[1]))
    elif target := environ.get("HTTP_X_AMZ_TARGET"):
        body = json.loads(read_body(environ) or b"{}")
        yield _Action(f"{prefix}:{target.rpartition('.')[2]}", _resource(region, body))
        if role := body.get("ExecutionRoleArn") or body.get("RoleArn"):
            yield _Action("iam:PassRole", role)
    else:
        form = parse_qs(read_body(environ).decode())
        yield _Action(f"{prefix}:{form.get('Action', [''])[0]}", form.get("TopicArn", ["*"])[0])


def _resource(region: str, body: JsonObject) -> str:
    fields = {
        "ModelName": "model",
        "EndpointName": "endpoint",
        "EndpointConfigName": "endpoint-config",
        "ProcessingJobName": "processing-job",
    }
    named = [arn_of(region, kind, body[field]) for field, kind in fields.items() if field in body]
    return str(body.get("ResourceArn") or body.get("SecretId") or body.get("KeyId") or (named[0] if named else "*"))


def _s3_actions(environ: WSGIEnvironment) -> Iterator[_Action]:
    bucket, _, key = unquote(urlsplit(environ["REQUEST_URI"]).path).lstrip("/").partition("/")
    method, query = environ["REQUEST_METHOD"], parse_qs(environ["QUERY_STRING"], keep_blank_values=True)
    headers = headers_of(environ)
    if not bucket:
        yield _Action("s3:ListAllMyBuckets", "*")
        return
    known = (_S3_OBJECT if key else _S3_BUCKET)[method]
    name = next((known[parameter] for parameter in known if parameter in query), known[""])
    yield _Action(f"s3:{name}", f"arn:aws:s3:::{bucket}/{key}" if key else f"arn:aws:s3:::{bucket}")
    if "x-amz-tagging" in headers:
        yield _Action("s3:PutObjectTagging", f"arn:aws:s3:::{bucket}/{key}")
    if source := headers.get("x-amz-copy-source"):
        yield _Action("s3:GetObject", f"arn:aws:s3:::{unquote(source).lstrip('/')}")
    if name == "GetObject" and not moto_state.has_objects(f"s3://{bucket}/{key}", prefix=False):
        # Whoever may not list the bucket is not told that the object does not exist.
        yield _Action("s3:ListBucket", f"arn:aws:s3:::{bucket}")
