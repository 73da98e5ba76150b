"""AWS Signature Version 4, checked: whoever asks the sandbox's AWS must hold its secret key, as with the real one.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html

It is computed here because botocore only makes signatures; that it makes the same ones is what every client of the tests
shows. Of the body, a request's own `x-amz-content-sha256` is believed: S3's checksums are compared by `s3_checks`.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, unquote_to_bytes

from sagepack.sandbox.aws.hosting_rules import AwsError

if TYPE_CHECKING:
    from sagepack.sandbox.credentials import Credentials

Environ = dict[str, Any]

_SCOPE = r"([^/,\s]+)/(\d{8})/([^/,\s]+)/([^/,\s]+)/aws4_request"
_HEADER = re.compile(rf"AWS4-HMAC-SHA256 +Credential={_SCOPE}, *SignedHeaders=([^,\s]+), *Signature=([0-9a-f]{{64}})")
_CREDENTIAL = re.compile(_SCOPE)


@dataclass(frozen=True)
class Claim:
    """What a request says of its signature.

    Attributes:
        access_key: id of the key.
        date: day of the scope, YYYYMMDD.
        region: region of the scope.
        service: signing name of the service, such as `s3`.
        headers: names of the headers that are signed.
        signature: 64 hex digits.
        time: when it was made, YYYYMMDDTHHMMSSZ.
        lifetime: seconds a signed address is good for; None if the signature came in a header.
    """

    access_key: str
    date: str
    region: str
    service: str
    headers: tuple[str, ...]
    signature: str
    time: str
    lifetime: int | None = None


def check(environ: Environ, credentials: Credentials) -> Claim:
    """Read and check the signature of a request.

    Args:
        environ: of WSGI; a body that is signed is read from it and put back.
        credentials: those that it must be signed with.

    Raises:
        AwsError: there is no signature, it is by another key, wrong, or too old.
    """
    claim = _claim(environ)
    if claim is None:
        raise AwsError("AccessDenied", "The sandbox wants signed requests; `invoke sandbox.env` shows its keys.", 403)
    if not hmac.compare_digest(claim.access_key.encode(), credentials.access_key.encode()):
        raise AwsError("InvalidAccessKeyId", "The access key is not the sandbox's; `invoke sandbox.env` shows it.", 403)
    if not hmac.compare_digest(claim.signature.encode(), _signature(environ, claim, credentials.secret_key).encode()):
        raise AwsError("SignatureDoesNotMatch", "The signature is not the one that the secret key gives.", 403)
    if claim.lifetime is not None:
        made = datetime.strptime(claim.time, "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)
        if datetime.now(timezone.utc) > made + timedelta(seconds=claim.lifetime):
            raise AwsError("AccessDenied", "Request has expired", 403)
    return claim


def _claim(environ: Environ) -> Claim | None:
    """What the header `Authorization` or else the query says; None if neither says all of it."""
    if match := _HEADER.fullmatch(environ.get("HTTP_AUTHORIZATION", "")):
        key, date, region, service, headers, signature = match.groups()
        time = environ.get("HTTP_X_AMZ_DATE", "")
        return Claim(key, date, region, service, tuple(headers.split(";")), signature, time)
    query = {name: values[-1] for name, values in parse_qs(environ["QUERY_STRING"]).items()}
    match = _CREDENTIAL.fullmatch(query.get("X-Amz-Credential", ""))
    time, lifetime = query.get("X-Amz-Date", ""), query.get("X-Amz-Expires", "")
    if match is None or not re.fullmatch(r"\d{8}T\d{6}Z", time) or not re.fullmatch(r"\d{1,6}", lifetime):
        return None
    signed = tuple(query.get("X-Amz-SignedHeaders", "").split(";"))
    key, date, region, service = match.groups()
    return Claim(key, date, region, service, signed, query.get("X-Amz-Signature", ""), time, int(lifetime))


def _signature(environ: Environ, claim: Claim, secret_key: str) -> str:
    """The signature that the request should have."""
    raw_path = environ["REQUEST_URI"].partition("?")[0]
    request = "\n".join(
        [
            environ["REQUEST_METHOD"],
            # S3 alone encodes the path once; it came encoded.
            quote(unquote_to_bytes(raw_path) if claim.service == "s3" else raw_path, safe="/-_.~"),
            _canonical_query(environ["QUERY_STRING"]),
            *[f"{name}:{' '.join(_header(environ, name).split())}" for name in claim.headers],
            "",
            ";".join(claim.headers),
            _payload(environ, claim),
        ]
    )
    scope = f"{claim.date}/{claim.region}/{claim.service}/aws4_request"
    hashed = hashlib.sha256(request.encode("latin-1", "replace")).hexdigest()  # as WSGI decoded it
    key = f"AWS4{secret_key}".encode()
    for text in (*scope.split("/"), f"AWS4-HMAC-SHA256\n{claim.time}\n{scope}\n{hashed}"):
        key = hmac.digest(key, text.encode(), "sha256")
    return key.hex()


def _canonical_query(query: str) -> str:
    pairs = (item.partition("=") for item in query.split("&") if item)
    encoded = [[quote(unquote_to_bytes(text), safe="-_.~") for text in (name, value)] for name, _, value in pairs]
    return "&".join(f"{name}={value}" for name, value in sorted(encoded) if name != "X-Amz-Signature")


def _header(environ: Environ, name: str) -> str:
    key = name.upper().replace("-", "_")
    return str(environ.get(key if key in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{key}", ""))


def _payload(environ: Environ, claim: Claim) -> str:
    """The hash of the body: the request's own, or that of what came where a service takes none."""
    if given := environ.get("HTTP_X_AMZ_CONTENT_SHA256"):
        return str(given)
    if claim.lifetime is not None and claim.service == "s3":
        return "UNSIGNED-PAYLOAD"
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = BytesIO(body)
    return hashlib.sha256(body).hexdigest()
