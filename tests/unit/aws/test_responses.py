"""Responses of AWS, or of a proxy in its place, that are not as the API describes them."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from sagepack.aws import ecr, sagemaker
from sagepack.aws.autoscaling import describe_scheduled_actions, newest_activity
from sagepack.aws.logs import Tail, describe_log_group, log_group
from sagepack.aws.metrics import newest_value
from sagepack.aws.processing import describe_processing_job
from sagepack.aws.s3 import S3, S3Uri
from sagepack.aws.secrets import secret_text
from sagepack.aws.session import Aws, AwsConnection
from sagepack.deploy.destroy import inventory
from sagepack.deploy.observe import observe, observe_scaling
from sagepack.engine.resolver import find_image
from sagepack.errors import RemoteError
from sagepack.spec.model import Image
from tests.helpers.deployments import ARN, IMAGE, deployment

WAIT = 30
ENDPOINT = {
    "EndpointName": "svd",
    "EndpointArn": "arn:aws:sagemaker:us-east-1:123456789012:endpoint/svd",
    "EndpointConfigName": "svd-0123456789ab",
    "EndpointStatus": "InService",
    "CreationTime": 1.0,
    "LastModifiedTime": 1.0,
}
PAGE = b"<!DOCTYPE html><html><body>Please log in</body></html>"


class Proxy:
    """A server that gives every request the same response, with status 200."""

    def __init__(self) -> None:
        self.response = b""
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                self.send_response(200)
                self.send_header("Content-Length", str(len(proxy.response)))
                self.end_headers()
                self.wfile.write(proxy.response)

            do_GET = do_POST  # noqa: N815 - the name that http.server calls

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        url = f"http://127.0.0.1:{self._server.server_port}"
        self.aws = Aws(AwsConnection("us-east-1", None, url, "AKIA", "none"))

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(WAIT)


@pytest.fixture(scope="module")
def proxy() -> Iterator[Proxy]:
    proxy = Proxy()
    yield proxy
    proxy.stop()


BROKEN: list[Any] = [
    PAGE,
    b"null",
    b"[1]",
    b"5",
    b"{}",
    b"{",
    b"\xff\xfe",
    b"[" * 100_000,
    {**ENDPOINT, "EndpointStatus": 5},
    {**ENDPOINT, "EndpointArn": None},
    {**ENDPOINT, "EndpointConfigName": ["x"]},
    {**ENDPOINT, "LastModifiedTime": "yesterday"},
    {**ENDPOINT, "LastModifiedTime": 1e300},
    {**ENDPOINT, "PendingDeploymentSummary": "svd-1"},
    {**ENDPOINT, "PendingDeploymentSummary": {}},
    {**ENDPOINT, "ProductionVariants": "x"},
    {**ENDPOINT, "ProductionVariants": [None]},
    {**ENDPOINT, "ProductionVariants": [{"VariantName": "AllTraffic", "DesiredInstanceCount": "many"}]},
    {**ENDPOINT, "ProductionVariants": [{"VariantName": "AllTraffic", "DeployedImages": [{"ResolvedImage": 5}]}]},
    {key: value for key, value in ENDPOINT.items() if key != "EndpointStatus"},
]


@pytest.mark.parametrize("response", BROKEN, ids=lambda response: str(response)[:60])
def test_a_malformed_description_of_an_endpoint_is_a_remote_error(proxy: Proxy, response: Any) -> None:
    proxy.response = response if isinstance(response, bytes) else json.dumps(response).encode()
    for look in (observe, inventory):
        with pytest.raises(RemoteError) as caught:
            look(proxy.aws, deployment().owner)
        assert "Error" not in caught.value.message
        assert len(caught.value.message) < 400


CALLS: list[Callable[[Aws], object]] = [
    lambda aws: sagemaker.list_tags(aws, ARN),
    sagemaker.list_endpoints,
    lambda aws: sagemaker.list_endpoint_configs(aws, "x"),
    lambda aws: sagemaker.list_models(aws, "x"),
    lambda aws: sagemaker.invoke_endpoint_async(aws, {"EndpointName": "svd", "InputLocation": "s3://b/k"}),
    lambda aws: observe_scaling(aws, "svd"),
    lambda aws: newest_activity(aws, "endpoint/svd/variant/AllTraffic"),
    lambda aws: describe_scheduled_actions(aws, "endpoint/svd/variant/AllTraffic"),
    lambda aws: newest_value(aws, "svd", "ApproximateBacklogSize"),
    lambda aws: Tail(aws, log_group("svd"), 0).events(),
    lambda aws: describe_log_group(aws, "svd"),
    lambda aws: describe_processing_job(aws, "sagepack-svd-1"),
    lambda aws: secret_text(aws, "arn:aws:secretsmanager:us-east-1:123456789012:secret:token"),
    lambda aws: ecr.members(aws, deployment().image_uri),
    lambda aws: find_image(aws, Image("huggingface-pytorch-inference", IMAGE), "us-east-1"),
]
ODD: list[bytes] = [
    PAGE,
    b"[1]",
    b'{"Tags": [1], "Models": [1], "EndpointConfigs": [1], "Endpoints": [1], "ScalableTargets": [1], "imageDetails": [1]}',
    b'{"Tags": [{}], "Models": [{}], "EndpointConfigs": [{}], "Endpoints": [{}], "ScalableTargets": [{}], "imageDetails": [{}]}',
    b'{"Tags": [{"Key": 1, "Value": 2}], "Models": 1, "EndpointConfigs": "x", "Endpoints": {"a": 1}, "ScalableTargets": 3, "imageDetails": [{"imageDigest": "sha256:x"}]}',
]


@pytest.mark.parametrize("response", ODD)
@pytest.mark.parametrize("number", range(len(CALLS)))
def test_a_malformed_response_of_any_operation_is_a_remote_error(proxy: Proxy, number: int, response: bytes) -> None:
    proxy.response = response
    with pytest.raises(RemoteError):
        CALLS[number](proxy.aws)


@pytest.mark.parametrize("response", [PAGE, b"[1]", b'{"events": [{"message": 5}]}', b'{"events": "x"}'])
def test_a_malformed_log_is_a_problem_and_not_an_error(proxy: Proxy, response: bytes) -> None:
    proxy.response = response
    tail = Tail(proxy.aws, log_group("svd"), 0)
    assert tail.lines() == []
    assert "is not as AWS describes it" in str(tail.problem)


def test_an_object_is_fetched_up_to_the_limit(proxy: Proxy) -> None:
    proxy.response = b"x" * 5000
    assert S3(proxy.aws.client("s3")).get(S3Uri("b", "k"), 99) == b"x" * 100
