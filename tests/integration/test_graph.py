"""A graph shows the plan, of steps that S3 and SageMaker are asked about too."""

from __future__ import annotations

from pathlib import Path

import pytest

from sagepack.errors import UserError
from sagepack.sandbox.servers import Servers
from tests.helpers.cloud import Cloud


@pytest.fixture
def cloud(tmp_path: Path, sandbox: Servers, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    made = Cloud(tmp_path, sandbox, monkeypatch)
    made.project().lock()
    return made


@pytest.mark.parametrize("form", ["text", "mermaid", "svg"])
def test_a_graph_has_the_actions_of_the_plan_and_says_what_each_step_needs(cloud: Cloud, form: str) -> None:
    found, plan = cloud.project().graph("deploy", form, stream=True), cloud.project().plan("deploy", stream=True)
    assert found.actions == plan.actions
    assert found.needs["upload"] == ("download", "checksum")
    assert list(found.needs) == [action.step for action in plan.actions]
    assert (plan.exit_code, found.exit_code) == (2, 0)
    assert (found.document is None) == (form == "text")
    assert found.document is None or "endpoint" in found.document


def test_a_format_that_does_not_exist_is_refused_with_those_that_do(cloud: Cloud) -> None:
    with pytest.raises(UserError, match="there is no format 'png'") as caught:
        cloud.project().graph("deploy", "png")
    assert caught.value.fix == "choose one of text, mermaid, svg"
