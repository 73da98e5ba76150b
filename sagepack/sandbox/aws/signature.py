"""Verification of AWS Signature Version 4: requests must be signed with the sandbox's secret key, as with the real AWS.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html

The signature is computed here because botocore can only sign requests, not verify them. A request's own
`x-amz-content-sha256` is taken as the hash of the body without reading the body; `s3_checks` compares S3's checksums.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Protocol
from urllib.parse import parse_qs, quote, unquote_to_bytes

from sagepack.sandbox.aws.wsgi import AwsError, read_body

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed.wsgi import WSGIEnvironment

    from sagepack.sandbox.identity import Credentials

_SCOPE = r"([^/,\s]+)/(\d{8})/([^/,\s]+)/([^/,\s]+)/aws4_request"
_HEADER = re.compile(rf"AWS4-HMAC-SHA256 +Credential={_SCOPE}, *SignedHeaders=([^,\s]+), *Signature=([0-9a-f]{{64}})")
_CREDENTIAL = re.compile(_SCOPE)


@dataclass(frozen=True)
class SignatureParameters:
    """The parameters of a signature, from the header `Authorization` or the query of a presigned URL.

    Attributes:
        access_key: access key id.
        date: date of the credential scope, YYYYMMDD.
        region: region of the credential scope.
        service: signing name of the service, such as `s3`.
        headers: names of the signed headers.
        signature: 64 hex digits.
        time: when it was signed, YYYYMMDDTHHMMSSZ.
        lifetime: seconds for which a presigned URL is valid; None if the signature is in the header.
    """

    access_key: str
    date: str
    region: str
    service: str
    headers: tuple[str, ...]
    signature: str
    time: str
    lifetime: int | None = None


class SessionKeys(Protocol):
    """Temporary credentials."""

    @property
    def secret_key(self) -> str:
        """What requests are signed with."""

    @property
    def token(self) -> str:
        """What they carry beside the signature."""


def check(
    environ: WSGIEnvironment, credentials: Credentials, session: Callable[[str], SessionKeys | None] = lambda _key: None
) -> SignatureParameters:
    """Verify the signature of a request and return its parameters.

    Args:
        environ: the request.
        credentials: the credentials that it must be signed with.
        session: the temporary ones of an access key, with which it may be signed as well.

    Raises:
        AwsError: there is no signature, it was made with another key, does not match, or has expired.
    """
    parameters = _parameters(environ)
    if parameters is None:
        raise AwsError(
            "AccessDenied", "The sandbox requires signed requests; `invoke sandbox.env` shows its keys.", 403
        )
    own = hmac.compare_digest(parameters.access_key.encode(), credentials.access_key.encode())
    temporary = None if own else session(parameters.access_key)
    if not own and temporary is None:
        raise AwsError(
            "InvalidAccessKeyId", "This is not the access key of the sandbox; `invoke sandbox.env` shows it.", 403
        )
    if not hmac.compare_digest(
        parameters.signature.encode(), _signature(environ, parameters, (temporary or credentials).secret_key).encode()
    ):
        raise AwsError(
            "SignatureDoesNotMatch", "The signature does not match the request and the sandbox's secret key.", 403
        )
    if temporary and not hmac.compare_digest(
        environ.get("HTTP_X_AMZ_SECURITY_TOKEN", "").encode(), temporary.token.encode()
    ):
        raise AwsError("InvalidToken", "The provided token is malformed or otherwise invalid.", 400)
    if parameters.lifetime is not None:
        made = datetime.strptime(parameters.time, "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)
        if datetime.now(timezone.utc) > made + timedelta(seconds=parameters.lifetime):
            raise AwsError("AccessDenied", "Request has expired", 403)
    return parameters


def _parameters(environ: WSGIEnvironment) -> SignatureParameters | None:
    """The parameters in the header `Authorization`, otherwise in the query; None if neither has all of them."""
    if match := _HEADER.fullmatch(environ.get("HTTP_AUTHORIZATION", "")):
        key, date, region, service, headers, signature = match.groups()
        time = environ.get("HTTP_X_AMZ_DATE", "")
        return SignatureParameters(key, date, region, service, tuple(headers.split(";")), signature, time)
    query = {name: values[-1] for name, values in parse_qs(environ["QUERY_STRING"]).items()}
    match = _CREDENTIAL.fullmatch(query.get("X-Amz-Credential", ""))
    time, lifetime = query.get("X-Amz-Date", ""), query.get("X-Amz-Expires", "")
    if match is None or not re.fullmatch(r"\d{8}T\d{6}Z", time) or not re.fullmatch(r"\d{1,6}", lifetime):
        return None
    signed = tuple(query.get("X-Amz-SignedHeaders", "").split(";"))
    key, date, region, service = match.groups()
    return SignatureParameters(
        key, date, region, service, signed, query.get("X-Amz-Signature", ""), time, int(lifetime)
    )


def _signature(environ: WSGIEnvironment, parameters: SignatureParameters, secret_key: str) -> str:
    """The signature of the request with a secret key, as hex digits."""
    raw_path = environ["REQUEST_URI"].partition("?")[0]
    request = "\n".join(
        [
            environ["REQUEST_METHOD"],
            # All services but S3 encode the path, which is encoded in the request, once more.
            quote(unquote_to_bytes(raw_path) if parameters.service == "s3" else raw_path, safe="/-_.~"),
            _canonical_query(environ["QUERY_STRING"]),
            *[f"{name}:{' '.join(_header(environ, name).split())}" for name in parameters.headers],
            "",
            ";".join(parameters.headers),
            _payload(environ, parameters),
        ]
    )
    scope = f"{parameters.date}/{parameters.region}/{parameters.service}/aws4_request"
    hashed = hashlib.sha256(request.encode("latin-1", "replace")).hexdigest()  # the encoding of WSGI's strings
    key = f"AWS4{secret_key}".encode()
    for text in (*scope.split("/"), f"AWS4-HMAC-SHA256\n{parameters.time}\n{scope}\n{hashed}"):
        key = hmac.digest(key, text.encode(), "sha256")
    return key.hex()


def _canonical_query(query: str) -> str:
    pairs = (item.partition("=") for item in query.split("&") if item)
    encoded = [[quote(unquote_to_bytes(text), safe="-_.~") for text in (name, value)] for name, _, value in pairs]
    return "&".join(f"{name}={value}" for name, value in sorted(encoded) if name != "X-Amz-Signature")


def _header(environ: WSGIEnvironment, name: str) -> str:
    key = name.upper().replace("-", "_")
    return str(environ.get(key if key in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{key}", ""))


def _payload(environ: WSGIEnvironment, parameters: SignatureParameters) -> str:
    """The hash of the body for the signature: the request's own if it has one."""
    if given := environ.get("HTTP_X_AMZ_CONTENT_SHA256"):
        return str(given)
    if parameters.lifetime is not None and parameters.service == "s3":
        return "UNSIGNED-PAYLOAD"
    return hashlib.sha256(read_body(environ)).hexdigest()
