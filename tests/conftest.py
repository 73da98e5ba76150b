"""Fixtures for all tests: a sandbox in this process, on free ports of 127.0.0.1, one for each xdist worker."""

from __future__ import annotations

import gc
import os
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

from tests.helpers import fault_proxy, lending, request_rules
from tests.helpers.golden import Golden

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sagepack.sandbox.faults import Faults
    from sagepack.sandbox.servers import Servers


# No deadlines: the time of an example depends on the machine more than on the code.
settings.register_profile("fast", max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("thorough", max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))

# A make that a test runs is not a part of the `make test` that runs the tests.
for _name in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MAKE_TERMERR", "MAKE_TERMOUT"):
    os.environ.pop(_name, None)

# What is published says who built it: the same in CI and elsewhere.
os.environ.pop("GITHUB_ACTIONS", None)

# Where Python is told to write no bytecode, as in many containers, every program that a test starts would compile sagepack anew,
# and every worker all tests.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that writes golden files."""
    parser.addoption(
        "--update-goldens", action="store_true", help="write tests/data/golden/ instead of comparing with it"
    )


def pytest_collection_finish() -> None:
    """Let the garbage collector leave alone what lives as long as the process: it took a fifth of the time."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


@pytest.fixture(scope="session", autouse=True)
def _xet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """hf_xet writes its logs elsewhere than in the user's cache, and waits no seconds before it sends a request again."""
    settings = {"HF_XET_CACHE": str(tmp_path_factory.mktemp("xet")), "HF_XET_CLIENT_RETRY_BASE_DELAY": "20ms"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="session")
def golden(request: pytest.FixtureRequest) -> Golden:
    """Compares an output with its golden file, or writes that with `--update-goldens`."""
    return Golden(bool(request.config.getoption("--update-goldens")))


@pytest.fixture(scope="session")
def _servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    from sagepack.sandbox.servers import Servers  # noqa: PLC0415 - unit tests do not wait for moto

    servers = Servers(tmp_path_factory.mktemp("models"))
    servers.aws.violations = request_rules.violations
    servers.start()
    gc.freeze()  # moto too
    fault_proxy.HOSTS[servers.aws_url] = servers.aws.hosts
    yield servers
    servers.stop()


@pytest.fixture(scope="session", autouse=True)
def _requests() -> Iterator[list[str]]:
    with request_rules.checked() as found:
        yield found


@pytest.fixture(autouse=True)
def _valid_requests(_requests: list[str]) -> Iterator[None]:
    """No request of this program, to whatever service, is one that AWS's own description of the operation forbids."""
    _requests.clear()
    yield
    lending.take_back()
    assert _requests == []


@pytest.fixture
def sandbox(_servers: Servers) -> Servers:
    """Hub and AWS in their initial state: no faults, an empty bucket and a role.

    Whatever a test sends, AWS refuses what its own description of the request forbids (services with JSON requests).

    It has hub_url, hf_token, no_access_token (without access to gated repositories), aws_url, access_key, secret_key,
    account, region, bucket, role; `faults` of the Hub with its log of requests; `hub.repositories.add(name, folder)` to
    serve more repositories; `aws.scenario`, `aws.invocations`, `aws.faults` and `aws.denied` to decide what AWS does, and
    `aws.clock` to turn the time by which endpoints change their states, fall asleep and wake.
    """
    _servers.reset()
    return _servers


@pytest.fixture
def faults(sandbox: Servers) -> Faults:
    """The faults of the sandbox's Hub, and its log of requests."""
    return sandbox.faults


@pytest.fixture(scope="session")
def _clients(_servers: Servers) -> Callable[[str], Any]:
    """Clients by service, made once: botocore reads megabytes of JSON for each."""
    import boto3  # noqa: PLC0415 - unit tests do not wait for it
    from botocore.config import Config  # noqa: PLC0415

    @cache
    def make(service: str) -> Any:
        return boto3.client(
            service,
            region_name=_servers.region,
            endpoint_url=_servers.aws_url,
            aws_access_key_id=_servers.access_key,
            aws_secret_access_key=_servers.secret_key,
            config=Config(s3={"addressing_style": "path"}, retries={"mode": "standard", "max_attempts": 3}),
        )

    return make


@pytest.fixture
def client(sandbox: Servers, _clients: Callable[[str], Any]) -> Callable[[str], Any]:
    """A function from the name of a service to its boto3 client for the sandbox's AWS."""
    del sandbox  # requested for its reset
    return _clients
