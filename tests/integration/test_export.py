"""The task `export`: what it writes, prints, compares and refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from sagepack.errors import UserError
from tests.helpers.cloud import Cloud
from tests.helpers.deployments import RecordedProgress
from tests.helpers.signing import KeyPair

if TYPE_CHECKING:
    from sagepack.api.results import Exported
    from sagepack.sandbox.servers import Servers

TEMPLATE = "export/svd-cloud/cloudformation/endpoint.template.yaml"


@pytest.fixture
def cloud(tmp_path: Path, sandbox: Servers, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    made = Cloud(tmp_path, sandbox, monkeypatch)
    made.project().lock()
    return made


def states(result: Exported) -> dict[str, str]:
    return {Path(file.path).name: file.state for file in result.files}


def test_an_export_is_written_for_the_project_and_says_whether_the_package_is_published(cloud: Cloud) -> None:
    before = cloud.project().export()
    assert states(before) == {"endpoint.template.yaml": "written", "README.md": "written"}
    assert before.files[0].path == TEMPLATE
    assert before.published is False
    cloud.project().upload()
    after = cloud.project().export()
    assert (after.published, after.exit_code) == (True, 0)
    assert set(states(after).values()) == {"unchanged"}
    text = (cloud.root / TEMPLATE).read_text()
    template = yaml.safe_load(text)
    source = template["Resources"]["Model"]["Properties"]["PrimaryContainer"]["ModelDataSource"]["S3DataSource"]
    assert source["S3Uri"] == after.package
    assert str(cloud.root) not in text
    readme = (cloud.root / TEMPLATE).with_name("README.md").read_text()
    assert all(limit in readme for limit in after.limits)
    assert all(command in readme for command in after.next)
    assert "`sagepack export --format cloudformation --config config/svd.yaml --env cloud --check`" in readme
    assert str(cloud.root) not in readme


def test_a_check_says_what_is_not_as_the_spec_says_and_asks_aws_nothing(cloud: Cloud) -> None:
    missing = cloud.project().export(check=True)
    assert (set(states(missing).values()), missing.exit_code) == ({"missing"}, 2)
    assert not (cloud.root / TEMPLATE).exists()
    cloud.project().export()
    project = cloud.project("endpoint.initial_instance_count=2")
    cloud.servers.aws.faults.log.clear()
    found = project.export(check=True)
    assert (states(found)["endpoint.template.yaml"], found.exit_code) == ("changed", 2)
    assert "+        InitialInstanceCount: 2" in found.files[0].diff
    assert "-        InitialInstanceCount: 1" in found.files[0].diff
    assert found.published is None
    assert cloud.servers.aws.faults.log == []
    assert cloud.project().export(check=True).exit_code == 0


def test_a_file_that_no_export_made_is_never_overwritten(cloud: Cloud, tmp_path: Path) -> None:
    readme = tmp_path / "own" / "README.md"
    readme.parent.mkdir()
    readme.write_text("# Our infrastructure\n")
    with pytest.raises(UserError, match="no export made") as caught:
        cloud.project().export(output=str(readme.parent))
    assert "--output" in str(caught.value.fix)
    assert readme.read_text() == "# Our infrastructure\n"
    assert not (readme.parent / "endpoint.template.yaml").exists()
    checked = cloud.project().export(output=str(readme.parent), check=True)
    assert states(checked)["README.md"] == "foreign"
    assert not checked.files[-1].diff, "what somebody else wrote is not shown"


def test_an_export_of_something_else_in_the_same_folder_is_not_overwritten(cloud: Cloud) -> None:
    folder = cloud.root / "infra"
    cloud.project().export(output=str(folder))
    before = (folder / "endpoint.template.yaml").read_text()
    other = cloud.project("name=other", "endpoint.name=other")
    other.lock()
    for project, tool in ((other, "cloudformation"), (cloud.project(), "terraform")):
        with pytest.raises(UserError, match="an export of another format, spec or environment made") as caught:
            project.export(tool, str(folder))
        assert "--output" in str(caught.value.fix)
        checked = project.export(tool, str(folder), check=True)
        assert (states(checked)["README.md"], checked.exit_code) == ("other", 2)
    assert (folder / "endpoint.template.yaml").read_text() == before
    assert not (folder / "main.tf.json").exists()


def test_the_readme_names_the_command_that_checks_its_own_folder(cloud: Cloud, tmp_path: Path) -> None:
    for output, said in (
        (cloud.root / "infra" / "my endpoint", "--output 'infra/my endpoint' --check`"),
        (tmp_path.parent / f"{tmp_path.name}-elsewhere", "--output <this folder> --check`"),
    ):
        cloud.project().export(output=str(output))
        readme = (output / "README.md").read_text()
        assert said in readme
        assert str(tmp_path) not in readme


def test_lines_that_end_as_on_windows_are_no_difference(cloud: Cloud) -> None:
    cloud.project().export()
    path = cloud.root / TEMPLATE
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert cloud.project().export(check=True).exit_code == 0


def test_a_template_is_printed_and_nothing_is_written(cloud: Cloud) -> None:
    result = cloud.project().export(output="-")
    assert result.folder is None
    (file,) = result.files
    assert yaml.safe_load(file.text or "")["Resources"]["Endpoint"]
    assert not (cloud.root / "export").exists()
    with pytest.raises(UserError, match="nothing to be compared with"):
        cloud.project().export(output="-", check=True)


def test_an_app_for_the_cdk_is_a_folder_of_files_that_say_who_made_them(cloud: Cloud) -> None:
    result = cloud.project().export("cdk")
    folder = cloud.root / "export/svd-cloud/cdk"
    assert {path.name for path in folder.iterdir()} == set(states(result))
    assert {"app.ts", "construct.ts", "include.ts", "endpoint.template.json", "package.json", "cdk.json"} <= set(
        states(result)
    )
    context = json.loads((folder / "cdk.json").read_text())["context"]
    assert context == {"account": "123456789012", "region": "us-east-1", "stack": "svd-cloud", "variant": "construct"}
    again = cloud.project().export("cdk")
    assert set(states(again).values()) == {"unchanged"}
    assert cloud.project("environment.HF_HUB_OFFLINE='0'").export("cdk").exit_code == 0, (
        "each file is known as one of an export"
    )
    with pytest.raises(UserError, match="several files"):
        cloud.project().export("cdk", "-")


def test_a_document_for_terraform_is_one_file_of_json_and_refuses_what_the_provider_does_not_know(cloud: Cloud) -> None:
    document = json.loads(cloud.project().export("terraform", "-").files[0].text or "")
    assert document["provider"]["aws"] == {"region": "us-east-1", "allowed_account_ids": ["123456789012"]}
    assert document["resource"]["aws_sagemaker_endpoint"]["endpoint"]["tags"]["sagepack:managed-by"] == "terraform"
    pools = "endpoint.instance_pools=[{instance_type: ml.g5.2xlarge, priority: 1}, {instance_type: ml.g6.2xlarge, priority: 2}]"
    with pytest.raises(UserError, match="no instance pools") as caught:
        cloud.project("endpoint.instance_type=null", pools).export("terraform")
    assert caught.value.where == "endpoint.instance_pools"


def test_the_role_that_is_made_is_allowed_what_the_policy_says(cloud: Cloud) -> None:
    text = cloud.project().export(output="-", create_role=True).files[0].text
    role = yaml.safe_load(text or "")["Resources"]["Role"]["Properties"]
    assert role["Policies"][0]["PolicyDocument"] == cloud.project().policy("execution").document
    assert role["AssumeRolePolicyDocument"] == cloud.project().policy("trust").document
    assert role["RoleName"] == "sagepack-sandbox"
    assert "CAPABILITY_NAMED_IAM" in cloud.project().export(output="-", create_role=True).next[0]


def test_there_is_no_export_without_a_lock_and_of_no_other_tool(cloud: Cloud) -> None:
    with pytest.raises(UserError, match="no format 'pulumi'"):
        cloud.project().export("pulumi")
    with pytest.raises(UserError, match="there is no lock for this spec"):
        cloud.project("model.variant=fp32").export()


def test_what_is_not_known_of_s3_does_not_stop_an_export(cloud: Cloud) -> None:
    project = cloud.project()
    project.progress = progress = RecordedProgress()
    cloud.servers.aws.denied.set(["s3:*"])
    result = project.export()
    assert (result.published, result.exit_code) == (None, 0)
    assert "could not be found out" in progress.text


@pytest.mark.slow
def test_an_unsigned_package_is_refused_where_signatures_count(cloud: Cloud, tmp_path: Path) -> None:
    private, _ = KeyPair.of("ours").write(cloud.root / "config" / "keys")
    private.rename(tmp_path.parent / f"{tmp_path.name}.pem")
    sign, verify = f"trust.sign=file:{tmp_path.parent}/{tmp_path.name}.pem", "trust.verify=[config/keys/key.pub]"
    with pytest.raises(UserError, match="not published"):
        cloud.project(verify).export()
    cloud.project().upload()
    with pytest.raises(UserError, match="not signed"):
        cloud.project(verify).export()
    assert cloud.project(verify).export(check=True).exit_code == 2
    assert not (cloud.root / "export").exists()
    cloud.project(sign, verify).sign()
    project = cloud.project(verify)
    project.progress = progress = RecordedProgress()
    signed = project.export()
    assert signed.published is True
    assert "the package is what config/keys/key.pub signed on" in progress.text
    assert "ETag is left out" in str(signed.limits)
