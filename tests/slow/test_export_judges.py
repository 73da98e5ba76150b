"""Programs that nobody here wrote judge what is exported."""

from __future__ import annotations

import copy
import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from sagepack.aws.logs import log_group
from sagepack.deploy.deployment import TAG_MANAGED_BY
from sagepack.deploy.export.cloudformation import template
from sagepack.deploy.export.formats import exported
from tests.helpers import provider
from tests.helpers.deployments import changed, spec
from tests.helpers.environments import environment, node_modules
from tests.helpers.exports import EVERYTHING, FULL
from tests.helpers.paths import ROOT
from tests.helpers.stacks import renamed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.slow
PERMISSIONS = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": ["*"]}],
}


# What moto's CloudFormation does not know: these kinds, pools, newer types, and a name of the endpoint.
KNOWN_TYPE = "ml.p3.2xlarge"
NOT_POOLS = [name for name in EVERYTHING if name != "pools"]


@pytest.fixture(scope="module")
def cfn_lint() -> Callable[[Path], str]:
    """What cfn-lint, AWS's own judge of templates, says of the templates in a folder, warnings included; empty if nothing."""
    program = environment("cfn-lint", ["cfn-lint==1.58.0"]) / "cfn-lint"

    def judge(folder: Path) -> str:
        command = [
            str(program),
            "--regions",
            "us-east-1",
            "eu-central-1",
            "--template",
            *map(str, folder.iterdir()),
        ]
        return subprocess.run(command, check=False, capture_output=True, text=True, timeout=300).stdout

    return judge


def test_templates_are_clean(tmp_path: Path, cfn_lint: Callable[[Path], str]) -> None:
    for name, value in EVERYTHING.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(template(value)))
    (tmp_path / "role.json").write_text(json.dumps(template(FULL, permissions=PERMISSIONS)))
    (tmp_path / "as_written.yaml").write_text(exported(spec(), FULL, "cloudformation", "--env local").main)
    assert cfn_lint(tmp_path) == ""


@pytest.mark.skipif(shutil.which("npm") is None, reason="there is no Node.js here")
def test_what_is_known_of_the_provider_of_terraform_is_what_its_bindings_say(tmp_path: Path) -> None:
    package = tmp_path / "package.json"
    package.write_text(json.dumps({"dependencies": {provider.PACKAGE: provider.VERSION}}))
    bindings = node_modules("terraform-provider", package) / provider.PACKAGE
    assert json.loads(provider.DATA.read_text()) == provider.arguments(bindings / "lib")


def test_the_judge_sees_what_is_wrong(tmp_path: Path, cfn_lint: Callable[[Path], str]) -> None:
    wrong = copy.deepcopy(template(FULL))
    model, endpoint = (wrong["Resources"][name]["Properties"] for name in ("Model", "Endpoint"))
    source: dict[str, Any] = model["PrimaryContainer"]["ModelDataSource"]["S3DataSource"]
    source["ETag"] = "0123"
    endpoint["RetainAllVariantProperties"] = "perhaps"
    (tmp_path / "wrong.json").write_text(json.dumps(wrong))
    found = cfn_lint(tmp_path)
    assert "'ETag' was unexpected" in found
    assert "'perhaps' is not of type 'boolean'" in found


@pytest.mark.parametrize("name", NOT_POOLS)
def test_a_stack_makes_what_the_requests_of_the_api_make(name: str, tmp_path: Path) -> None:
    """In moto, whose CloudFormation nobody here wrote; it skips scaling and alarms."""
    value = changed(EVERYTHING[name], instance_type=KNOWN_TYPE)
    (tmp_path / "template.yaml").write_text(
        exported(spec(), value, "cloudformation", "--env local", PERMISSIONS).main, encoding="utf-8"
    )
    logs = {"logGroupName": log_group(value.endpoint_name)}
    requests = [
        ("logs", "create_log_group", logs),
        ("logs", "put_retention_policy", {**logs, "retentionInDays": value.endpoint.log_retention_in_days}),
        ("sagemaker", "create_model", value.create_model_request),
        ("sagemaker", "create_endpoint_config", value.create_endpoint_config_request),
        ("sagemaker", "create_endpoint", value.create_endpoint_request),
    ]
    asked = requests if value.endpoint.log_retention_in_days else requests[2:]
    (tmp_path / "requests.json").write_text(json.dumps(asked), encoding="utf-8")
    python = environment("moto", ["moto[cloudformation,iam,logs,s3,sagemaker]==5.2.5"]) / "python"
    done = subprocess.run(
        [
            *(str(python), str(ROOT / "tests/slow/judges/stack.py")),
            *(str(tmp_path / "template.yaml"), str(tmp_path / "requests.json"), "us-east-1"),
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none"},
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    stack, of_stack = found["stack"], found["made by the stack"]
    assert stack["status"] == "CREATE_COMPLETE"
    assert stack["outputs"] == {
        "EndpointName": of_stack["Endpoint"][0]["EndpointName"],
        "EndpointArn": of_stack["Endpoint"][0]["EndpointArn"],
    }
    assert [role["Arn"] for role in of_stack.pop("Role")] == [value.role_arn]
    by_api = found["made by the requests"]
    assert not by_api.pop("Role")
    # moto names the endpoint, too.
    named = [(kind, part) for kind in ("Model", "EndpointConfig", "Endpoint") for part in ("Name", "Arn")]
    names = {of_stack[kind][0][f"{kind}{part}"]: by_api[kind][0][f"{kind}{part}"] for kind, part in named}
    assert comparable(renamed(of_stack, names)) == comparable(by_api)
    assert list(stack["left"]) == (["Log"] if by_api["Log"] else []), "the lines outlive the stack"


def comparable(made: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """Descriptions without times, and without the tag of who manages."""
    return {kind: [_without_times(each) for each in described] for kind, described in made.items()}


def _without_times(described: dict[str, Any]) -> dict[str, Any]:
    tags = {tag["Key"]: tag["Value"] for tag in described.get("Tags", []) if tag["Key"] != TAG_MANAGED_BY}
    kept = {key: value for key, value in described.items() if not key.lower().endswith("time")}
    return {**kept, "Tags": tags}
