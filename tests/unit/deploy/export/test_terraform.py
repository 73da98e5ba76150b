from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given

from sagepack.deploy.export.cloudformation import template
from sagepack.deploy.export.terraform import document, snake
from tests.helpers.exports import EVERYTHING, FULL, PLAIN, deployments
from tests.helpers.provider import violations
from tests.unit.deploy.export.test_cloudformation import PERMISSIONS, other, places

if TYPE_CHECKING:
    from sagepack.deploy.deployment import Deployment

WITHOUT_POOLS = [name for name in EVERYTHING if name != "pools"]


def exported(value: Deployment, made: dict[str, Any] | None = None) -> dict[str, Any]:
    names = {"model_name": value.model_name, "config_name": value.endpoint_config_name}
    of = made or template(value, "terraform", permissions=PERMISSIONS)
    return document(of, **names, account="123456789012", region="us-east-1")


@pytest.mark.parametrize("name", WITHOUT_POOLS)
def test_the_provider_knows_every_name_and_type_and_misses_none(name: str) -> None:
    assert violations(exported(EVERYTHING[name])["resource"]) == []


@given(deployments().filter(lambda value: not value.endpoint.instance_pools))
def test_the_provider_knows_whatever_a_spec_can_say(value: Deployment) -> None:
    assert violations(exported(value)["resource"]) == []


def test_the_judge_sees_a_wrong_name_a_wrong_type_and_what_is_missing() -> None:
    resources = exported(FULL)["resource"]
    resources["aws_sagemaker_endpoint"]["endpoint"]["retain_all_variant_properties"] = True
    del resources["aws_sagemaker_model"]["model"]["execution_role_arn"]
    resources["aws_cloudwatch_metric_alarm"]["wake_alarm"]["period"] = "often"
    resources["aws_sagemaker_endpoint_configuration"]["endpoint_config"]["async_inference_config"]["output_config"].pop(
        "s3_output_path"
    )
    assert sorted(violations(resources)) == [
        "aws_cloudwatch_metric_alarm.wake_alarm.period: no number",
        "aws_sagemaker_endpoint.endpoint.retain_all_variant_properties: unknown",
        "aws_sagemaker_endpoint_configuration.endpoint_config.async_inference_config.output_config.s3_output_path: missing",
        "aws_sagemaker_model.model.execution_role_arn: missing",
    ]


def test_a_difference_in_any_property_is_seen_but_in_those_that_the_provider_does_not_know() -> None:
    whole = template(FULL, "terraform", permissions=PERMISSIONS)
    before, unseen = exported(FULL, whole), set()
    for logical, resource in whole["Resources"].items():
        for path in places(resource["Properties"]):
            node: Any = copy.deepcopy(resource)
            changed = {**whole, "Resources": {**whole["Resources"], logical: node}}
            node = node["Properties"]
            for key in path[:-1]:
                node = node[key]
            if isinstance(node[path[-1]], (dict, list)):
                continue
            node[path[-1]] = other(node[path[-1]])
            try:
                after = exported(FULL, changed)
            except KeyError:  # a reference to nothing
                continue
            if after == before:
                unseen.add(".".join([logical, *map(str, path)]))
    assert unseen == {
        "EndpointConfig.MetricsConfig.EnableDetailedObservability",
        "Endpoint.RetainAllVariantProperties",
        "Endpoint.ExcludeRetainedVariantProperties.0.VariantPropertyType",
        # Names of attributes, and the text around a reference, which are the same in every template.
        "EndpointConfig.ProductionVariants.0.ModelName.Fn::GetAtt.1",
        "Endpoint.EndpointConfigName.Fn::GetAtt.1",
        "ScalableTarget.ResourceId.Fn::Sub",
    }


def test_the_module_asks_for_the_provider_that_its_names_are_of_and_gives_out_the_endpoint() -> None:
    made = exported(PLAIN)
    aws = {"source": "hashicorp/aws", "version": "~> 6.45"}
    assert made["terraform"] == {"required_version": ">= 1.3", "required_providers": {"aws": aws}}
    assert made["provider"] == {"aws": {"region": "us-east-1", "allowed_account_ids": ["123456789012"]}}
    endpoint = "aws_sagemaker_endpoint.endpoint"
    assert made["output"] == {
        "endpoint_name": {"value": f"${{{endpoint}.name}}"},
        "endpoint_arn": {"value": f"${{{endpoint}.arn}}"},
    }


def test_terraform_evaluates_nothing_of_what_a_user_wrote() -> None:
    resources = exported(FULL)["resource"]
    assert (
        resources["aws_sagemaker_model"]["model"]["primary_container"]["environment"]["GREETING"]
        == "$${HOME} %%{x} it's: yes"
    )


def test_a_new_model_and_a_new_configuration_are_made_before_the_old_ones_go() -> None:
    resources = exported(PLAIN)["resource"]
    for kind, name, called in (
        ("aws_sagemaker_model", "model", PLAIN.model_name),
        ("aws_sagemaker_endpoint_configuration", "endpoint_config", PLAIN.endpoint_config_name),
    ):
        assert resources[kind][name]["name"] == called
        assert resources[kind][name]["lifecycle"] == {"create_before_destroy": True}
    endpoint = resources["aws_sagemaker_endpoint"]["endpoint"]
    assert endpoint["endpoint_config_name"] == "${aws_sagemaker_endpoint_configuration.endpoint_config.name}"


def test_the_log_group_is_there_before_the_endpoint_and_stays_after_it() -> None:
    resources = exported(FULL)["resource"]
    assert resources["aws_sagemaker_endpoint"]["endpoint"]["depends_on"] == ["aws_cloudwatch_log_group.log"]
    assert resources["aws_cloudwatch_log_group"]["log"]["skip_destroy"] is True


def test_the_policy_of_a_role_is_text_of_json() -> None:
    policy = exported(PLAIN)["resource"]["aws_iam_role_policy"]["role"]
    assert json.loads(policy["policy"]) == PERMISSIONS
    assert policy["role"] == "${aws_iam_role.role.name}"


@pytest.mark.parametrize(
    ("name", "spelt"),
    [
        ("S3OutputPath", "s3_output_path"),
        ("VolumeSizeInGB", "volume_size_in_gb"),
        ("ExecutionRoleArn", "execution_role_arn"),
    ],
)
def test_names_are_spelt_as_the_provider_spells_them(name: str, spelt: str) -> None:
    assert snake(name) == spelt
