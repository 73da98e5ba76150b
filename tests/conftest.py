"""Fixtures for everybody: a sandbox in this process, on free ports of 127.0.0.1, one for each xdist worker."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

from tests.helpers import fault_proxy

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sagepack.sandbox.faults import Faults
    from sagepack.sandbox.servers import Service


# No deadlines: how long an example takes says more of the machine than of the law.
settings.register_profile("fast", max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("thorough", max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))


@pytest.fixture(scope="session")
def _service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    from sagepack.sandbox.servers import Service  # noqa: PLC0415 - unit tests do not wait for moto

    service = Service(tmp_path_factory.mktemp("models"))
    service.start()
    fault_proxy.HOSTS[service.aws_url] = service.aws.hosts
    yield service
    service.stop()


@pytest.fixture
def sandbox(_service: Service) -> Service:
    """Hub and AWS as they are when they start: no faults, an empty bucket and a role.

    It has hub_url, hf_token, stranger_token (no access to gated repositories), aws_url, access_key, secret_key,
    account, region, bucket, role; `faults` of the Hub with their log of requests; `hub.content.add(name, folder)` to
    serve more repositories; `aws` with what endpoints and S3 do wrong.
    """
    _service.reset()
    return _service


@pytest.fixture
def faults(sandbox: Service) -> Faults:
    """What goes wrong at the sandbox's Hub, and its log of requests."""
    return sandbox.faults


@pytest.fixture(scope="session")
def _clients(_service: Service) -> Callable[[str], Any]:
    """Clients by service, made once: botocore reads megabytes of JSON for each."""
    import boto3  # noqa: PLC0415 - unit tests do not wait for it
    from botocore.config import Config  # noqa: PLC0415

    @cache
    def make(service: str) -> Any:
        return boto3.client(
            service,
            region_name=_service.region,
            endpoint_url=_service.aws_url,
            aws_access_key_id=_service.access_key,
            aws_secret_access_key=_service.secret_key,
            config=Config(s3={"addressing_style": "path"}, retries={"mode": "standard", "max_attempts": 3}),
        )

    return make


@pytest.fixture
def client(sandbox: Service, _clients: Callable[[str], Any]) -> Callable[[str], Any]:
    """Gives boto3 clients of the sandbox's AWS by the name of the service."""
    del sandbox  # as it is when it starts
    return _clients
