"""Requests and responses of the sandbox's AWS over WSGI, for everything that moto does not handle itself."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from html import escape
from io import BytesIO
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from _typeshed.wsgi import StartResponse, WSGIEnvironment

JsonObject = dict[str, Any]
"""A JSON document of an AWS service: a request or response, or a part of one."""

INVOCATION = re.compile(r"/endpoints/([^/]+)/(async-)?invocations")
"""Path of an invocation: the endpoint, and whether it is asynchronous."""

# S3's error codes, as the services with JSON and with forms call the same errors.
_JSON_CODES = {
    "AccessDenied": "AccessDeniedException",
    "ExpiredToken": "ExpiredTokenException",
    "InvalidAccessKeyId": "UnrecognizedClientException",
    "SignatureDoesNotMatch": "InvalidSignatureException",
}
_FORM_CODES = {"InvalidAccessKeyId": "InvalidClientTokenId"}


class AwsError(Exception):
    """An error response of AWS, with its error code, message and HTTP status."""

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.code, self.message, self.status = code, message, status


@dataclass(frozen=True)
class WsgiResponse:
    """A response: status, body and headers."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    def send(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Send it as a WSGI application does."""
        headers = {"Content-Length": str(len(self.body)), **self.headers}
        start_response(f"{self.status} {'OK' if self.status < 300 else 'Error'}", list(headers.items()))
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [self.body]


def headers_of(environ: WSGIEnvironment) -> dict[str, str]:
    """Headers of a request, without those of the body's type and length: names in lower case -> values."""
    return {
        name.removeprefix("HTTP_").replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_")
    }


def read_body(environ: WSGIEnvironment) -> bytes:
    """The body of a request. It stays readable for whoever handles the request next."""
    body: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = BytesIO(body)
    return body


def json_response(status: int, document: object, headers: Mapping[str, str] | None = None) -> WsgiResponse:
    """A response with a JSON document."""
    content_type = {"Content-Type": "application/x-amz-json-1.1"}
    return WsgiResponse(status, json.dumps(document).encode(), {**content_type, **(headers or {})})


def error_response(environ: WSGIEnvironment, error: AwsError, headers: Mapping[str, str] | None = None) -> WsgiResponse:
    """An error in the format of the service that the request is for.

    There are four: JSON with `X-Amz-Target`, XML for services that take forms, EC2's own form of that, and S3's XML.
    """
    code, message = error.code, error.message
    if environ.get("HTTP_X_AMZ_TARGET") or INVOCATION.fullmatch(environ["PATH_INFO"]):
        code = _JSON_CODES.get(code, code)
        document = {"__type": code, "message": message, "Message": message}
        return json_response(error.status, document, {"x-amzn-ErrorType": code, **(headers or {})})
    if "form-urlencoded" in environ.get("CONTENT_TYPE", ""):
        details = f"<Code>{_FORM_CODES.get(code, code)}</Code><Message>{escape(message)}</Message>"
        is_ec2 = "/ec2/aws4_request" in environ.get("HTTP_AUTHORIZATION", "")
        body = (
            f"<Response><Errors><Error>{details}</Error></Errors></Response>"
            if is_ec2
            else f"<ErrorResponse><Error><Type>Sender</Type>{details}</Error></ErrorResponse>"
        )
    else:
        body = f"<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
    return WsgiResponse(error.status, body.encode(), {"Content-Type": "application/xml", **(headers or {})})
