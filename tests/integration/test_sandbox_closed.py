"""Attacks on the sandbox's servers over sockets: by web pages, by other users of the machine, and on unusual routes."""

from __future__ import annotations

import http.client
import threading
import time
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore import UNSIGNED
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError

from sagepack.sandbox.aws import signature
from sagepack.sandbox.faults import Faults
from sagepack.sandbox.servers import Servers

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import tzinfo

SERVERS = ("hub", "aws")
INVOKE = "/endpoints/e/async-invocations"
TARGET = {"X-Amz-Target": "SageMaker.CreateModel", "Content-Type": "application/x-amz-json-1.1"}


class Response:
    """One response: status, headers in lower case, body."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read()


def send(
    url: str, method: str = "GET", target: str = "/", headers: Mapping[str, str] | None = None, body: bytes = b""
) -> Response:
    """Send exactly this request: without a `Host` header unless it is in `headers`."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
    try:
        connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
        for name, value in (headers or {}).items():
            connection.putheader(name, value)
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        return Response(connection.getresponse())
    finally:
        connection.close()


def host(url: str) -> dict[str, str]:
    return {"Host": urlsplit(url).netloc}


def signed(
    sandbox: Servers, method: str, target: str, service: str = "s3", region: str = "us-east-1", body: bytes = b""
) -> dict[str, str]:
    """Headers of a request with a signature by botocore and the sandbox's own keys."""
    request = AWSRequest(method, sandbox.aws_url + target, data=body)
    SigV4Auth(Credentials(sandbox.access_key, sandbox.secret_key), service, region).add_auth(request)
    return {**host(sandbox.aws_url), **dict(request.headers.items())}


@pytest.fixture
def url(sandbox: Servers, request: pytest.FixtureRequest) -> str:
    return str(getattr(sandbox, f"{request.param}_url"))


def cors(response: Response) -> list[str]:
    return [name for name in response.headers if name.startswith("access-control")]


@pytest.mark.parametrize("url", SERVERS, indirect=True)
@pytest.mark.parametrize(
    "page",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"oRiGiN": "http://127.0.0.1:80"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
def test_requests_of_web_pages_are_rejected(url: str, page: dict[str, str]) -> None:
    for method, target in (("GET", "/"), ("POST", "/moto-api/reset"), ("PUT", "/sagepack-sandbox/k"), ("GET", "/a/b")):
        response = send(url, method, target, {**host(url), **page}, b"x")
        assert (response.status, cors(response)) == (403, []), (method, target)


@pytest.mark.parametrize("url", SERVERS, indirect=True)
def test_preflight_requests_are_rejected_with_and_without_an_origin(url: str) -> None:
    preflight = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "x-amz-target"}
    for origin in ({}, {"Origin": "http://evil.example"}):
        for target in ("/", "/sagepack-sandbox/k", INVOKE, "/nobody/nothing", "/moto-api/reset"):
            response = send(url, "OPTIONS", target, {**host(url), **preflight, **origin})
            assert (response.status, cors(response)) == (403, []), target


def test_no_response_has_a_header_that_lets_web_pages_read_it(sandbox: Servers, client: Callable[[str], Any]) -> None:
    rule = {"AllowedMethods": ["GET"], "AllowedOrigins": ["*"]}
    client("s3").put_bucket_cors(Bucket=sandbox.bucket, CORSConfiguration={"CORSRules": [rule]})
    client("s3").put_object(Bucket=sandbox.bucket, Key="k", Body=b"x")
    sandbox.aws.faults.status("/broken", 500)
    for target, status in (("/sagepack-sandbox/k", 200), ("/sagepack-sandbox/none", 404), ("/broken", 500)):
        response = send(sandbox.aws_url, "GET", target, signed(sandbox, "GET", target))
        assert (response.status, cors(response)) == (status, []), target
    for target, status in (("/api/models/nobody/nothing", 401), ("/nothing", 404)):
        response = send(sandbox.hub_url, "GET", target, host(sandbox.hub_url))
        assert (response.status, cors(response)) == (status, []), target


@pytest.mark.parametrize("url", SERVERS, indirect=True)
def test_only_requests_to_a_loopback_name_with_the_servers_port_are_accepted(url: str) -> None:
    port = urlsplit(url).port or 0
    target = "/api/models/llava-hf/llava-1.5-7b-hf/refs"
    known = [f"127.0.0.1:{port}", f"localhost:{port}", f"LOCALHOST:{port}"]
    expected = [send(url, "GET", target, {"Host": name}).body for name in known]
    for name in (
        *(f"evil.example:{port}", f"127.0.0.1.evil.example:{port}", f"127.0.0.1:{port}.evil.example", "127.0.0.1"),
        *(f"127.0.0.1:{port + 1}", f"[::1]:{port}", f"0.0.0.0:{port}", f"me@127.0.0.1:{port}", "", "s3.amazonaws.com"),
        *("motoapi.amazonaws.com", f"{known[0]},{known[0]}", f"bucket.localhost:{port}"),
    ):
        response = send(url, "GET", target, {"Host": name})
        assert response.status == 403, name
        assert response.body not in expected
    assert send(url, "GET", target).status == 403
    assert send(url, "GET", f"http://evil.example{target}", host(url)).status == 403
    assert send(url, "GET", f"http://{known[0]}{target}", {"Host": "evil.example"}).status == 403


ROUTES = [
    "/moto-api/reset",
    "//moto-api/reset",
    "///moto-api/reset",
    "/./moto-api/reset",
    "/x/../moto-api/reset",
    "/moto%2Dapi/reset",
    "/%6doto-api/reset",
    "/moto-api%2Freset",
    "/%2Fmoto-api/reset",
    "/moto-api//reset",
    "/moto-api/reset/",
    "/moto-api/reset?x",
    "/moto-api/recorder/start-recording",
    "//moto-api/recorder/start-recording",
    "/moto-api/recorder/reset-recording",
    "/moto-api/recorder/replay-recording",
    "/moto-api/seed?a=1",
    "/moto-api/state-manager/set-transition",
    "/moto-api/static/sagemaker/endpoint-results",
    "/moto-api/config",
    "/moto-api/data.json",
    "/moto-api/",
    "/favicon.ico",
    "/latest/meta-data/iam/security-credentials/",
]
SCOPES = [("s3", "us-east-1"), ("moto_api", "us-east-1"), ("motoapi", "amazonaws.com"), ("lambda", "us-east-1")]


@pytest.mark.parametrize("route", ROUTES)
def test_the_control_routes_of_moto_cannot_be_reached(
    sandbox: Servers, client: Callable[[str], Any], route: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the recorder writes into the folder of the process
    client("s3").put_object(Bucket=sandbox.bucket, Key="k", Body=b"kept")
    for method in ("POST", "GET", "PUT", "DELETE"):
        assert send(sandbox.aws_url, method, route, host(sandbox.aws_url)).status == 403
        for service, region in SCOPES:
            response = send(sandbox.aws_url, method, route, signed(sandbox, method, route, service, region))
            assert response.status in {403, 404, 405}, (method, service, response.body)
            assert b"moto" not in response.body.lower().replace(b"moto-api", b"")
    assert client("s3").get_object(Bucket=sandbox.bucket, Key="k")["Body"].read() == b"kept"
    assert not list(tmp_path.iterdir())


def test_the_reset_route_needs_the_token_and_removes_all_objects(
    sandbox: Servers, client: Callable[[str], Any]
) -> None:
    client("s3").put_object(Bucket=sandbox.bucket, Key="k", Body=b"gone")
    control = {**host(sandbox.aws_url), "X-Sandbox-Token": sandbox.credentials.control}
    assert send(sandbox.aws_url, "POST", "/_sandbox/reset", host(sandbox.aws_url)).status == 403
    assert client("s3").list_objects_v2(Bucket=sandbox.bucket)["KeyCount"] == 1
    assert send(sandbox.aws_url, "POST", "/_sandbox/reset", control).status == 200
    assert client("s3").list_objects_v2(Bucket=sandbox.bucket)["KeyCount"] == 0


def test_requests_without_a_signature_are_rejected(sandbox: Servers) -> None:
    url = sandbox.aws_url
    for method, target, headers, body in (
        ("POST", "/", TARGET, b'{"ModelName": "m"}'),
        ("POST", INVOKE, {"X-Amzn-SageMaker-InputLocation": "s3://a/b"}, b""),
        (
            "POST",
            "/",
            {"Content-Type": "application/x-www-form-urlencoded"},
            b"Action=GetCallerIdentity&Version=2011-06-15",
        ),
        ("PUT", "/sagepack-sandbox/k", {}, b"x"),
        ("GET", "/sagepack-sandbox?list-type=2", {}, b""),
        ("POST", "/sagepack-sandbox", {"Content-Type": "multipart/form-data; boundary=b"}, b"--b--"),
        ("GET", "/sts_us-east-1/x", {}, b""),
    ):
        for authorization in (
            {},
            {"Authorization": f"AWS {sandbox.access_key}:AAAA"},
            {"Authorization": f"AWS4-HMAC-SHA256 Credential={sandbox.access_key}/20260101/us-east-1/s3/aws4_request"},
            {"Authorization": f"Bearer {sandbox.access_key}"},
        ):
            response = send(url, method, target, {**host(url), **headers, **authorization}, body)
            assert response.status == 403, (method, target, authorization)
            assert b"AccessDenied" in response.body
            assert sandbox.access_key.encode() not in response.body


OTHER_KEYS = {
    "none": ({}, Config(signature_version=UNSIGNED), {"AccessDenied", "AccessDeniedException"}),
    "a user's own": (
        {"aws_access_key_id": "AKIAIOSFODNN7EXAMPLE", "aws_secret_access_key": "users-own"},
        Config(),
        {"InvalidAccessKeyId", "InvalidClientTokenId", "UnrecognizedClientException"},
    ),
    "a wrong secret": (
        {"aws_access_key_id": "", "aws_secret_access_key": "guessed"},
        Config(),
        {"SignatureDoesNotMatch", "InvalidSignatureException"},
    ),
}
CALLS: dict[str, Callable[[Any], Any]] = {
    "s3": lambda client: client.list_buckets(),
    "sagemaker": lambda client: client.list_endpoints(),
    "sagemaker-runtime": lambda client: client.invoke_endpoint_async(EndpointName="e", InputLocation="s3://b/k"),
    "sts": lambda client: client.get_caller_identity(),
    "iam": lambda client: client.list_roles(),
    "sns": lambda client: client.list_topics(),
    "logs": lambda client: client.describe_log_groups(),
    "cloudwatch": lambda client: client.describe_alarms(),
    "application-autoscaling": lambda client: client.describe_scalable_targets(ServiceNamespace="sagemaker"),
    "ecr": lambda client: client.describe_repositories(),
}


@pytest.mark.parametrize("keys_of", OTHER_KEYS)
@pytest.mark.parametrize("service", CALLS)
def test_requests_with_other_keys_fail_with_the_error_code_of_each_service(
    sandbox: Servers, service: str, keys_of: str
) -> None:
    keys, config, codes = OTHER_KEYS[keys_of]
    keys = {name: value or sandbox.access_key for name, value in keys.items()}
    make = partial(boto3.client, service, region_name=sandbox.region, endpoint_url=sandbox.aws_url, config=config)
    with pytest.raises(ClientError) as caught:
        CALLS[service](make(**keys))
    response = caught.value.response
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert response["Error"]["Code"] in codes
    assert "sandbox" in response["Error"]["Message"] or "secret key" in response["Error"]["Message"]


def test_a_signature_is_valid_only_for_the_request_that_was_signed(sandbox: Servers) -> None:
    url, body = sandbox.aws_url, b'{"NameContains": "e"}'
    request = AWSRequest("POST", f"{url}/", data=body, headers={**TARGET, "X-Amz-Target": "SageMaker.ListEndpoints"})
    SigV4Auth(Credentials(sandbox.access_key, sandbox.secret_key), "sagemaker", "us-east-1").add_auth(request)
    headers = {**host(url), **dict(request.headers.items())}
    assert send(url, "POST", "/", headers, body).status == 200
    assert send(url, "POST", "/", headers, body.replace(b"e", b"f")).status == 403
    assert send(url, "POST", "/?a=b", headers, body).status == 403
    assert send(url, "POST", "/", {**headers, "X-Amz-Target": "SageMaker.ListModels"}, body).status == 403
    assert send(url, "POST", "/", {**headers, "X-Amz-Date": "20200101T000000Z"}, body).status == 403


@pytest.fixture
def signer(sandbox: Servers) -> Any:
    """A client that presigns URLs with Signature Version 4, which is not the default in us-east-1."""
    keys = {"aws_access_key_id": sandbox.access_key, "aws_secret_access_key": sandbox.secret_key}
    config = Config(signature_version="s3v4")
    return boto3.client("s3", region_name=sandbox.region, endpoint_url=sandbox.aws_url, config=config, **keys)


@pytest.mark.parametrize("key", ["plain", "a b/ü+&=~%41.txt", "a//b", "x?y#z", "'(!*)'"])
def test_keys_of_objects_may_have_any_character(sandbox: Servers, signer: Any, key: str) -> None:
    signer.put_object(Bucket=sandbox.bucket, Key=key, Body=b"x", Metadata={"some": "thing  else"}, Tagging="a=b%20c")
    assert signer.get_object(Bucket=sandbox.bucket, Key=key)["Body"].read() == b"x"
    assert [item["Key"] for item in signer.list_objects_v2(Bucket=sandbox.bucket, Prefix=key[:3])["Contents"]] == [key]
    address = signer.generate_presigned_url("get_object", {"Bucket": sandbox.bucket, "Key": key})
    assert send(address, "GET", address.removeprefix(sandbox.aws_url), host(sandbox.aws_url)).body == b"x"


def test_a_presigned_url_gives_access_to_one_object_until_it_expires(
    sandbox: Servers, signer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in ("k", "other"):
        signer.put_object(Bucket=sandbox.bucket, Key=key, Body=key.encode())
    address = signer.generate_presigned_url("get_object", {"Bucket": sandbox.bucket, "Key": "k"}, ExpiresIn=900)
    target = address.removeprefix(sandbox.aws_url)
    get = partial(send, sandbox.aws_url, "GET", headers=host(sandbox.aws_url))
    assert get(target=target).body == b"k"
    assert get(target=target.replace("/k?", "/other?")).status == 403
    assert get(target=target.replace("Expires=900", "Expires=901")).status == 403
    assert get(target=target.replace("X-Amz-Signature=", "X-Amz-Signature=%FF")).status == 403
    assert send(sandbox.aws_url, "DELETE", target, host(sandbox.aws_url)).status == 403

    class Later(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Later:
            return cls.fromtimestamp(time.time() + 901, tz)

    monkeypatch.setattr(signature, "datetime", Later)
    late = get(target=target)
    assert late.status == 403
    assert b"expired" in late.body


def test_files_of_the_gated_model_need_the_token_of_this_sandbox(sandbox: Servers) -> None:
    url, target = sandbox.hub_url, "/stabilityai/stable-video-diffusion-img2vid-xt-1-1/resolve/main/model_index.json"
    get = partial(send, url, "GET", target)
    assert get({**host(url), "Authorization": f"Bearer {sandbox.hf_token}"}).status == 200
    for token in ("", "hf_sandbox", "hf_users_own"):
        assert get({**host(url), "Authorization": f"Bearer {token}"}).status == 401
    assert get({**host(url), "Authorization": f"Bearer {sandbox.no_access_token}"}).status == 403


FILE = "/llava-hf/llava-1.5-7b-hf/resolve/main/config.json"
REQUESTS: dict[str, Callable[[Servers], Response]] = {
    "document": lambda box: send(box.hub_url, "GET", "/api/models/llava-hf/llava-1.5-7b-hf", host(box.hub_url)),
    "error": lambda box: send(box.hub_url, "GET", "/api/models/nobody/nothing", host(box.hub_url)),
    "head": lambda box: send(box.hub_url, "HEAD", FILE, host(box.hub_url)),
    "file": lambda box: send(box.hub_url, "GET", FILE, host(box.hub_url)),
    "one byte": lambda box: send(box.hub_url, "GET", FILE, {**host(box.hub_url), "Range": "bytes=0-0"}),
    "range": lambda box: send(box.hub_url, "GET", FILE, {**host(box.hub_url), "Range": "bytes=5-90"}),
    "no range": lambda box: send(box.hub_url, "GET", FILE, {**host(box.hub_url), "Range": "bytes=9999999-"}),
    "aws": lambda box: send(box.aws_url, "GET", "/none", signed(box, "GET", "/none")),
}


def log_of(sandbox: Servers, kind: str) -> Faults:
    return sandbox.aws.faults if kind == "aws" else sandbox.faults


@pytest.mark.parametrize("kind", REQUESTS)
def test_a_client_that_has_the_whole_response_finds_its_request_in_the_log(
    sandbox: Servers, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    record = Faults.record

    def slow(*arguments: Any) -> None:
        time.sleep(0.15)
        record(*arguments)

    monkeypatch.setattr(Faults, "record", slow)
    response = REQUESTS[kind](sandbox)
    (seen,) = log_of(sandbox, kind).log
    assert seen.status == response.status
    assert seen.sent == (0 if kind == "aws" else len(response.body))


@pytest.mark.parametrize("kind", ["file", "aws"])
def test_a_request_that_began_before_a_reset_is_not_in_the_log_after_it(
    sandbox: Servers, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    record, reached, go_on = Faults.record, threading.Event(), threading.Event()

    def held(*arguments: Any) -> None:
        reached.set()
        assert go_on.wait(20)
        record(*arguments)

    monkeypatch.setattr(Faults, "record", held)
    asking = threading.Thread(target=REQUESTS[kind], args=[sandbox])
    asking.start()
    assert reached.wait(20)
    sandbox.reset()
    go_on.set()
    asking.join(20)
    assert not asking.is_alive()
    assert log_of(sandbox, kind).log == []
