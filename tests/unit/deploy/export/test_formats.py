from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import yaml
from hypothesis import given

from sagepack.api.results import TOOLS
from sagepack.deploy.export.cloudformation import template
from sagepack.deploy.export.formats import MARK, exported
from tests.helpers.deployments import deployment, spec
from tests.helpers.exports import EVERYTHING, FULL, deployments
from tests.unit.deploy.export.test_cloudformation import PERMISSIONS

if TYPE_CHECKING:
    from sagepack.deploy.deployment import Deployment


@pytest.mark.parametrize("name", EVERYTHING)
def test_the_template_is_written_as_it_is_and_without_aliases(name: str) -> None:
    """CloudFormation reads no aliases, which PyYAML writes for what occurs twice."""
    text = exported(spec(), EVERYTHING[name], "cloudformation", "--env local").main
    assert yaml.safe_load(text) == template(EVERYTHING[name])
    assert "&id" not in text


@given(deployments())
def test_every_text_of_a_spec_is_read_from_the_template_as_it_was(value: Deployment) -> None:
    text = exported(spec(), value, "cloudformation", "--env local").main
    assert yaml.safe_load(text) == template(value)


@pytest.mark.parametrize(
    "text", ["1e3", "12E5", "-1.e+9", "0o17", "y", "N", "no", "0x1F", "1_000", "12:30:00", "~", "5"]
)
def test_a_text_that_some_reader_of_yaml_takes_for_something_else_has_quotes(text: str) -> None:
    main = exported(spec(), deployment(environment={text: text}), "cloudformation", "--env local").main
    assert f"'{text}': '{text}'" in main


@pytest.mark.parametrize("tool", TOOLS)
def test_each_file_says_that_an_export_made_it_and_is_the_same_every_time(tool: str) -> None:
    once, again = (exported(spec(), FULL, tool, "--env local", PERMISSIONS) for _ in range(2))
    assert once == again
    assert once.mark.startswith(f"{MARK} --format {tool}` from the spec svd for local:")
    for name, text in once.files.items():
        assert once.mark in text[:500], name
        assert text.endswith("\n")
        assert "\r" not in text
    readme = once.files["README.md"]
    assert f"`sagepack export --format {tool} --env local --create-role --check`" in readme
    assert all(f"- {each}\n" in readme for each in once.limits)


def test_the_files_of_json_have_a_comment_and_are_otherwise_what_they_should_be() -> None:
    files = exported(spec(), FULL, "cdk", "--env local").files
    document = json.loads(files["endpoint.template.json"])
    assert document["Metadata"].pop("Comment")
    assert document == template(FULL, "cdk"), "a section that CloudFormation does not know would be refused"
    assert json.loads(files["cdk.json"])["//"]
    versions = json.loads(files["package.json"])
    for each in (*versions["dependencies"].values(), *versions["devDependencies"].values()):
        assert each[0].isdigit(), "a version and no range"


def test_the_readme_of_the_cdk_says_what_each_file_is_for() -> None:
    made = exported(spec(), FULL, "cdk", "--env local").files
    programs = [name for name in made if name.endswith(".ts")]
    assert not [name for name in programs if f"`{name}`" not in made["README.md"]]
    assert "app.ts" not in exported(spec(), FULL, "terraform", "--env local").files["README.md"]
