"""How long the log of an endpoint is kept."""

from __future__ import annotations

import threading
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from sagepack.aws.logs import describe_log_group
from sagepack.aws.session import AccessDeniedError
from sagepack.deploy.drift import differences
from sagepack.deploy.observe import observe_declared
from sagepack.deploy.reconcile import reconcile
from sagepack.deploy.waiter import WaiterConfig
from sagepack.progress import Silent
from tests.helpers import deployments
from tests.helpers.deployments import deployment, published

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sagepack.aws.session import Aws
    from sagepack.sandbox.servers import Servers

WAITER = WaiterConfig(delay=0.01, timeout=30)


@pytest.fixture
def aws(sandbox: Servers) -> Aws:
    return deployments.session_of(sandbox)


@contextmanager
def before(aws: Aws, event: str, act: Callable[..., None]) -> Iterator[None]:
    """Act before each call of an operation, such as `logs.DescribeLogGroups`."""
    events = aws.client(event.partition(".")[0]).meta.events
    events.register(f"before-call.{event}", act)
    yield
    events.unregister(f"before-call.{event}", act)


@contextmanager
def calls(aws: Aws) -> Iterator[list[str]]:
    """The names of the operations of SageMaker and CloudWatch Logs that are called."""
    names: list[str] = []

    def note(model: Any, **_: Any) -> None:
        names.append(model.name)

    with before(aws, "logs", note), before(aws, "sagemaker", note):
        yield names


def retention(aws: Aws) -> int | None:
    group = describe_log_group(aws, "svd")
    return group.retention_in_days if group else None


def test_the_log_group_is_there_with_its_retention_before_the_endpoint(aws: Aws) -> None:
    value = published(aws, deployment(log_retention_in_days=30))
    with calls(aws) as made:
        reconcile(aws, value, Silent(), WAITER)
    assert made.index("PutRetentionPolicy") < made.index("CreateEndpoint")
    assert retention(aws) == 30
    assert differences(value, observe_declared(aws, value)) == []


def test_another_retention_is_set_without_an_update_of_the_endpoint(aws: Aws) -> None:
    reconcile(aws, published(aws, deployment(log_retention_in_days=30)), Silent(), WAITER)
    value = deployment(log_retention_in_days=365)
    with calls(aws) as made:
        done = reconcile(aws, value, Silent(), WAITER)
    assert [change.reason for change in done.changes] == ["endpoint.log_retention_in_days: 30 -> 365"]
    assert [name for name in made if not name.startswith(("Describe", "List"))] == [
        "CreateLogGroup",
        "PutRetentionPolicy",
    ]
    assert retention(aws) == 365
    assert reconcile(aws, value, Silent(), WAITER).changes == ()


def test_the_log_is_asked_about_only_if_its_retention_is_declared_and_beside_everything_else(aws: Aws) -> None:
    value = published(aws, deployment(log_retention_in_days=30))
    reconcile(aws, value, Silent(), WAITER)
    with calls(aws) as made:
        reconcile(aws, deployment(), Silent(), WAITER)
    assert "DescribeLogGroups" not in made
    assert retention(aws) == 30
    together = threading.Barrier(3, timeout=10)

    def wait(**_: Any) -> None:
        together.wait()

    with ExitStack() as stack:
        for event in ("logs.DescribeLogGroups", "sagemaker.DescribeEndpointConfig", "sagemaker.ListTags"):
            stack.enter_context(before(aws, event, wait))
        assert differences(value, observe_declared(aws, value)) == []


def test_the_log_group_of_an_endpoint_with_a_longer_name_is_another_one(aws: Aws) -> None:
    aws.client("logs").create_log_group(logGroupName="/aws/sagemaker/Endpoints/svd-2")
    assert describe_log_group(aws, "svd") is None


def test_who_may_not_set_the_retention_starts_no_instance(aws: Aws, sandbox: Servers) -> None:
    value = published(aws, deployment(log_retention_in_days=30))
    sandbox.aws.denied.set(["logs:PutRetentionPolicy"])
    with calls(aws) as made, pytest.raises(AccessDeniedError) as caught:
        reconcile(aws, value, Silent(), WAITER)
    assert "allow the caller logs:PutRetentionPolicy" in (caught.value.fix or "")
    assert "CreateEndpoint" not in made
