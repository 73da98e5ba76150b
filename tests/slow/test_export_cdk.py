"""The app for the CDK is installed from npm, type-checked and synthesised, and what it makes is what the template makes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from sagepack.deploy.export.cloudformation import template
from sagepack.deploy.export.formats import exported
from tests.helpers.deployments import spec
from tests.helpers.environments import node_modules
from tests.helpers.exports import EVERYTHING, FULL
from tests.helpers.paths import ROOT
from tests.helpers.stacks import requests

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sagepack.deploy.deployment import Deployment

pytestmark = [pytest.mark.slow, pytest.mark.skipif(shutil.which("npm") is None, reason="there is no Node.js here")]
PERMISSIONS = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": ["*"]}],
}
# What the construct sets besides. SageMaker takes the first two for what is left out; the third means the same.
BESIDES = [
    "CreateModel.PrimaryContainer.Mode: SingleModel",
    "CreateEndpointConfig.ProductionVariants.0.InitialVariantWeight: 1",
]
BY_URL = ["CreateModel.PrimaryContainer.ModelDataUrl", "-CreateModel.PrimaryContainer.ModelDataSource"]
QUIET = {"CDK_DISABLE_CLI_TELEMETRY": "true", "AWS_EC2_METADATA_DISABLED": "true", "NO_COLOR": "1"}


class App:
    """The app in a folder, with its packages."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, value: Deployment, permissions: dict[str, Any] | None = None) -> dict[str, Any]:
        """Write the files for a deployment; returns its template."""
        self.folder.mkdir(exist_ok=True)
        for name, text in exported(spec(), value, "cdk", "--env local", permissions).files.items():
            (self.folder / name).write_text(text)
        if not (self.folder / "node_modules").exists():
            modules = node_modules("cdk", ROOT / "sagepack/templates/cdk/package.json")
            (self.folder / "node_modules").symlink_to(modules)
        return template(value, "cdk", permissions=permissions)

    def run(self, *command: str, **environment: str) -> str:
        """What a command writes."""
        done = subprocess.run(
            command,
            check=False,
            cwd=self.folder,
            env={**os.environ, **QUIET, **environment},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def synthesised(self, variant: str) -> dict[str, Any]:
        """The template that the compiled app makes; what the CLI adds is only the reading of cdk.json."""
        context = json.loads((self.folder / "cdk.json").read_text())["context"]
        out = self.folder / f"{variant}.out"
        self.run(
            "node", "dist/app.js", CDK_CONTEXT_JSON=json.dumps({**context, "variant": variant}), CDK_OUTDIR=str(out)
        )
        return dict(json.loads((out / "svd-local.template.json").read_text()))


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> App:
    """The app, type-checked and compiled: its program is the same for every deployment."""
    made = App(tmp_path_factory.mktemp("cdk") / "app")
    made.write(FULL)
    made.run("npx", "tsc")
    return made


def differences(made: Any, asked: Any, path: str = "") -> Iterator[str]:
    """Where what a stack makes differs from what the template asks for."""
    if isinstance(made, dict) and isinstance(asked, dict):
        for key in sorted(made.keys() | asked.keys()):
            inner = f"{path}.{key}".strip(".")
            if key not in made:
                yield f"-{inner}"
            elif key not in asked:
                yield f"{inner}: {made[key]}"
            else:
                yield from differences(made[key], asked[key], inner)
    elif path.endswith(".Tags"):
        yield from (f"{path}: {tag['Key']}" for tag in made if tag not in asked)
        yield from (f"-{path}: {tag['Key']}" for tag in asked if tag not in made)
    elif isinstance(made, list) and isinstance(asked, list) and len(made) == len(asked):
        for number, pair in enumerate(zip(made, asked, strict=True)):
            yield from differences(*pair, f"{path}.{number}")
    elif made != asked:
        yield f"{path}: {made}, not {asked}"


def without_requests(template: dict[str, Any]) -> dict[str, Any]:
    """What a template says beside what it asks of the services."""
    resources = {
        name: {key: value for key, value in resource.items() if key not in {"Properties", "DependsOn"}}
        for name, resource in template["Resources"].items()
    }
    about = ("Description", "Parameters", "Conditions", "Outputs")
    return {**{name: template.get(name) for name in about}, "Resources": resources}


@pytest.mark.parametrize("name", EVERYTHING)
def test_the_construct_makes_what_the_template_makes_but_for_what_it_always_sets(app: App, name: str) -> None:
    asked = app.write(EVERYTHING[name])
    made = app.synthesised("construct")
    by_url = [] if name == "prefix" else [f"{BY_URL[0]}: {EVERYTHING[name].model_data_uri}", BY_URL[1]]
    for switch in ("Enabled", "Disabled"):
        found = differences(requests(made, AutoScaling=switch), requests(asked, AutoScaling=switch))
        assert sorted(found) == sorted([*BESIDES, *by_url])
    assert without_requests(made) == without_requests(asked)
    order = list(requests({**made, "Resources": dict(reversed(made["Resources"].items()))}))
    assert order.index("CreateModel") < order.index("CreateEndpointConfig") < order.index("CreateEndpoint")
    if "Log" in asked["Resources"]:
        assert order.index("PutRetentionPolicy") < order.index("CreateEndpoint")


@pytest.mark.parametrize("name", EVERYTHING)
def test_the_included_template_is_the_template(app: App, name: str) -> None:
    asked = app.write(EVERYTHING[name])
    made = app.synthesised("include")
    assert made["Metadata"].pop("Comment")
    assert made == asked


def test_the_app_makes_the_role_too(app: App) -> None:
    asked = requests(app.write(FULL, PERMISSIONS))
    for variant in ("construct", "include"):
        made = requests(app.synthesised(variant))
        for name in ("CreateRole", "PutRolePolicy"):
            assert made[name] == asked[name]
        assert made["CreateModel"]["ExecutionRoleArn"] == FULL.role_arn


@pytest.mark.parametrize("variant", ["construct", "include"])
def test_the_command_of_the_cdk_synthesises_the_app_without_network_or_credentials(app: App, variant: str) -> None:
    asked = app.write(FULL)
    command = ["npx", "cdk", "synth", "--quiet", "--no-notices", "-c", f"variant={variant}"]
    said = app.run(*command, AWS_CONFIG_FILE="/dev/null", HTTPS_PROXY="http://127.0.0.1:9")
    assert "CloudFormation Validate" not in said, "the CDK's own judge of templates"
    made = json.loads((app.folder / "cdk.out/svd-local.template.json").read_text())
    assert made["Resources"].keys() - {"CDKMetadata"} == asked["Resources"].keys()
