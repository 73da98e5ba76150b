"""Programs that nobody here wrote judge what is exported."""

from __future__ import annotations

import copy
import json
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from sagepack.deploy.export.cloudformation import template
from sagepack.deploy.export.formats import exported
from tests.helpers import provider
from tests.helpers.deployments import spec
from tests.helpers.environments import environment, node_modules
from tests.helpers.exports import EVERYTHING, FULL

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.slow
PERMISSIONS = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": ["*"]}],
}


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
