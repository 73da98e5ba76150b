"""The template of CloudFormation as a document for Terraform's provider `hashicorp/aws`. Pure.

The provider has the names of the API in another spelling, lists of tags and dimensions as maps, and scheduled actions as resources of
their own. It sees another configuration only by another name (its documentation of `aws_sagemaker_endpoint`): the names that `deploy`
gives, by the digest of what they name, are just that. What it does not know is left out here, and told by `limits`.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from sagepack.deploy.deployment import VARIANT_NAME

if TYPE_CHECKING:
    from sagepack.aws.session import Document

PROVIDER_VERSION = "~> 6.45"
_KINDS = {
    "AWS::IAM::Role": "aws_iam_role",
    "AWS::Logs::LogGroup": "aws_cloudwatch_log_group",
    "AWS::CloudWatch::Alarm": "aws_cloudwatch_metric_alarm",
    "AWS::SageMaker::Model": "aws_sagemaker_model",
    "AWS::SageMaker::EndpointConfig": "aws_sagemaker_endpoint_configuration",
    "AWS::SageMaker::Endpoint": "aws_sagemaker_endpoint",
    "AWS::ApplicationAutoScaling::ScalableTarget": "aws_appautoscaling_target",
    "AWS::ApplicationAutoScaling::ScalingPolicy": "aws_appautoscaling_policy",
}
_TARGET = ("service_namespace", "scalable_dimension", "resource_id")
# Where the provider's name is not the API's in another spelling; by kind where it is one of many.
_NAMES = {
    "OKActions": "ok_actions",
    "StepAdjustments": "step_adjustment",
    "LogGroupName": "name",
    "RoleName": "name",
    "EndpointName": "name",
    "PolicyName": "name",
    "AssumeRolePolicyDocument": "assume_role_policy",
}
_LEFT_OUT = {
    "MetricsConfig",
    "RetainAllVariantProperties",
    "ExcludeRetainedVariantProperties",
    "Policies",
    "ScheduledActions",
}
_MAPS = {"Tags": ("Key", "Value"), "Dimensions": ("Name", "Value")}


def document(template: Document, *, model_name: str, config_name: str, account: str, region: str) -> Document:
    """What Terraform makes of `main.tf.json`, as far as the provider can say what the template says.

    Args:
        template: as `cloudformation.template` makes it.
        model_name: name of the model, by the digest of what it names.
        config_name: name of the configuration, likewise.
        account: the only one in which Terraform may make it.
        region: where.
    """
    return {
        "terraform": {
            "required_version": ">= 1.3",
            "required_providers": {"aws": {"source": "hashicorp/aws", "version": PROVIDER_VERSION}},
        },
        "provider": {"aws": {"region": region, "allowed_account_ids": [account]}},
        "resource": _Resources(template["Resources"], {"Model": model_name, "EndpointConfig": config_name}).document(),
        "output": {
            "endpoint_name": {"value": "${aws_sagemaker_endpoint.endpoint.name}"},
            "endpoint_arn": {"value": "${aws_sagemaker_endpoint.endpoint.arn}"},
        },
    }


class _Resources:
    """The resources of a template, by their logical names, and the names of those that the template leaves to CloudFormation."""

    def __init__(self, resources: Document, names: dict[str, str]) -> None:
        self._resources, self._names = resources, names

    def document(self) -> Document:
        found: Document = {}
        for logical, resource in self._resources.items():
            found.setdefault(_KINDS[resource["Type"]], {})[snake(logical)] = self._resource(logical, resource)
            for kind, name, body in self._parts(logical, resource["Properties"]):
                found.setdefault(kind, {})[name] = body
        return found

    def _resource(self, logical: str, resource: Document) -> Document:
        body = self._value(resource["Properties"], resource["Type"])
        if logical in self._names:
            body = {"name": self._names[logical], **body, "lifecycle": {"create_before_destroy": True}}
        if resource.get("DeletionPolicy") == "Retain":
            body["skip_destroy"] = True
        if after := resource.get("DependsOn"):
            body["depends_on"] = [self._address(each) for each in after]
        return dict(body)

    def _parts(self, logical: str, properties: Document) -> list[tuple[str, str, Document]]:
        """What the provider has as resources of their own, and CloudFormation as a part of another."""
        address, name = self._address(logical), snake(logical)
        policies = [
            (
                "aws_iam_role_policy",
                name,
                {
                    "name": policy["PolicyName"],
                    "role": f"${{{address}.name}}",
                    "policy": _policy(policy["PolicyDocument"]),
                },
            )
            for policy in properties.get("Policies", ())
        ]
        actions = [
            (
                "aws_appautoscaling_scheduled_action",
                f"schedule_{number}",
                {
                    "name": action["ScheduledActionName"],
                    **{key: f"${{{address}.{key}}}" for key in _TARGET},
                    **self._value({key: value for key, value in action.items() if key != "ScheduledActionName"}),
                },
            )
            for number, action in enumerate(properties.get("ScheduledActions", ()), 1)
        ]
        return [*policies, *actions]

    def _value(self, value: Any, kind: str = "") -> Any:
        if isinstance(value, list):
            return [self._value(each) for each in value]
        if isinstance(value, str):
            return _escaped(value)
        return self._object(value, kind) if isinstance(value, dict) else value

    def _object(self, value: Document, kind: str) -> Any:
        match value:
            case {"Ref": str(name)}:
                return f"${{{self._address(name)}.{self._identity(name)}}}"
            case {"Fn::GetAtt": [str(name), str(attribute)]}:
                return f"${{{self._address(name)}.{'arn' if attribute == 'Arn' else 'name'}}}"
            case {"Fn::Sub": _}:
                return f"endpoint/${{{self._address('Endpoint')}.name}}/variant/{VARIANT_NAME}"
        found: Document = {}
        for name, each in value.items():
            if name not in _LEFT_OUT:
                found.update(self._member(name, each, kind))
        return found

    def _member(self, name: str, value: Any, kind: str) -> Document:
        if name == "ScalingTargetId":
            return {key: f"${{{self._address(value['Ref'])}.{key}}}" for key in _TARGET}
        of_volumes = name == "KmsKeyId" and kind == "AWS::SageMaker::EndpointConfig"
        return {"kms_key_arn" if of_volumes else _NAMES.get(name, snake(name)): self._argument(name, value, kind)}

    def _argument(self, name: str, value: Any, kind: str) -> Any:
        if name == "AssumeRolePolicyDocument":
            return _policy(value)
        if name == "Environment":  # whose names are the user's
            return {key: _escaped(text) for key, text in value.items()}
        if name == "Tags" or (name == "Dimensions" and kind):  # of an alarm; a scaling policy has them as a list
            key, of = _MAPS[name]
            return {each[key]: _escaped(each[of]) for each in value}
        if name == "ScalableTargetAction":
            return {snake(bound): str(count) for bound, count in value.items()}
        return str(value) if name == "MetricIntervalLowerBound" else self._value(value)

    def _address(self, logical: str) -> str:
        return f"{_KINDS[self._resources[logical]['Type']]}.{snake(logical)}"

    def _identity(self, logical: str) -> str:
        """The attribute that is what `Ref` gives."""
        return "alarm_name" if self._resources[logical]["Type"] == "AWS::CloudWatch::Alarm" else "arn"


def snake(name: str) -> str:
    """A name of the API as the provider spells it: `S3OutputPath` is `s3_output_path`, `VolumeSizeInGB` `volume_size_in_gb`."""
    return re.sub("(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _policy(policy: Document) -> str:
    return _escaped(json.dumps(policy))


def _escaped(text: str) -> str:
    """A text in which Terraform finds nothing to evaluate."""
    return re.sub(r"([$%])\{", r"\1\1{", text)
