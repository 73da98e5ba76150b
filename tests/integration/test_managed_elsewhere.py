"""What another tool manages, from an export, is looked at and used, and never changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sagepack.deploy.deployment import Owner, tag_list
from sagepack.deploy.observe import observe
from sagepack.errors import UserError
from tests.helpers.cloud import Cloud
from tests.helpers.deployments import session_of

if TYPE_CHECKING:
    from pathlib import Path

    from sagepack.aws.session import Aws
    from sagepack.sandbox.servers import Servers

CHANGED = "endpoint.initial_instance_count=2"


@pytest.fixture
def aws(sandbox: Servers) -> Aws:
    return session_of(sandbox)


def give_to(aws: Aws, tool: str) -> None:
    """Let a tool manage the endpoint, its configuration and its model, which have names as `deploy` gives them."""
    client = aws.client("sagemaker")
    endpoint = client.describe_endpoint(EndpointName="svd")
    config = client.describe_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"])
    model = client.describe_model(ModelName=config["ProductionVariants"][0]["ModelName"])
    for arn in (endpoint["EndpointArn"], config["EndpointConfigArn"], model["ModelArn"]):
        client.add_tags(ResourceArn=arn, Tags=tag_list({"sagepack:managed-by": tool}))


@pytest.mark.slow
def test_deploy_rollback_destroy_and_gc_leave_alone_what_another_tool_manages(
    tmp_path: Path, sandbox: Servers, aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud = Cloud(tmp_path, sandbox, monkeypatch)
    cloud.project().deploy()
    cloud.project(CHANGED).deploy()
    give_to(aws, "terraform")
    cloud.servers.aws.faults.log.clear()

    refused = "endpoint svd is managed by Terraform"
    (step,) = [action for action in cloud.project().plan("deploy").actions if action.step == "deploy"]
    assert step.status == "blocked"
    assert refused in step.reasons[0]
    for act, fix in (
        (lambda: cloud.project().deploy(), "run `invoke export`"),
        (lambda: cloud.project().rollback(), "go back in git"),
        (lambda: cloud.project().destroy(), "delete the stack"),
    ):
        with pytest.raises(UserError, match=refused) as caught:
            act()
        assert fix in str(caught.value.fix)
    cloud.project().gc(keep=1, older_than_hours=0)
    live = observe(aws, Owner("svd", "svd", "cloud"))
    assert live is not None
    assert live.endpoint_config is not None
    assert live.model_description is not None

    assert cloud.project().status().managed_by == "Terraform"
    assert cloud.project(CHANGED).predict().files
    assert cloud.project(CHANGED).upload().artifact

    give_to(aws, "sagepack")
    assert cloud.project().deploy().endpoint is not None
    assert cloud.project().destroy()
