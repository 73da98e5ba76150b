"""Answers of the sandbox's AWS that are not moto's, in the three forms that its services have."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

Environ = dict[str, Any]

INVOCATION = re.compile(r"/endpoints/([^/]+)/(async-)?invocations")
"""Path of an invocation: the endpoint, and whether it is asynchronous."""

# What other services call the errors of S3.
_JSON_CODES = {
    "AccessDenied": "AccessDeniedException",
    "InvalidAccessKeyId": "UnrecognizedClientException",
    "SignatureDoesNotMatch": "InvalidSignatureException",
}
_QUERY_CODES = {"InvalidAccessKeyId": "InvalidClientTokenId"}


@dataclass(frozen=True)
class Reply:
    """An answer: status, body and headers."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    def send(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer with it, as WSGI wants it."""
        headers = {"Content-Length": str(len(self.body)), **self.headers}
        start_response(f"{self.status} {'OK' if self.status < 300 else 'Error'}", list(headers.items()))
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [self.body]


def json_reply(status: int, document: Any, headers: Mapping[str, str] | None = None) -> Reply:
    """An answer that is a JSON document."""
    kind = {"Content-Type": "application/x-amz-json-1.1"}
    return Reply(status, json.dumps(document).encode(), {**kind, **(headers or {})})


def error_reply(
    environ: Environ, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
) -> Reply:
    """An error as the service that is asked words it: JSON, XML of the services that take forms, or XML of S3."""
    if environ.get("HTTP_X_AMZ_TARGET") or INVOCATION.fullmatch(environ["PATH_INFO"]):
        code = _JSON_CODES.get(code, code)
        document = {"__type": code, "message": message, "Message": message}
        return json_reply(status, document, {"x-amzn-ErrorType": code, **(headers or {})})
    if "form-urlencoded" in environ.get("CONTENT_TYPE", ""):
        error = f"<Code>{_QUERY_CODES.get(code, code)}</Code><Message>{escape(message)}</Message>"
        body = f"<ErrorResponse><Error><Type>Sender</Type>{error}</Error></ErrorResponse>"
    else:
        body = f"<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
    return Reply(status, body.encode(), {"Content-Type": "application/xml", **(headers or {})})
