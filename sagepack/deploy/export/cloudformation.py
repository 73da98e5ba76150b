"""A `Deployment` as a CloudFormation template. Pure.

The requests of the API go into it as they are: CloudFormation has the same names for them. Three things differ. Models and endpoint
configurations get no name, since CloudFormation makes another one before it removes the old one, and cannot do that under one name; what
belongs together is joined by references, which also say the order; and an ETag has no place there.

CloudFormation changes scaling after the endpoint, and SageMaker refuses another instance type as long as the variant is scaled. So
a parameter takes the scaling away: update with `Disabled`, then change the type, then update with `Enabled`.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from sagepack.aws.autoscaling import DIMENSION, SERVICE
from sagepack.aws.logs import log_group
from sagepack.deploy.alarm_names import alarm_name
from sagepack.deploy.alarms import desired_alarms
from sagepack.deploy.deployment import TAG_MANAGED_BY, VARIANT_NAME, tag_list
from sagepack.deploy.iam_policy import trust_policy
from sagepack.deploy.scaling import desired_scaling, scaling_names
from sagepack.spec.model import ALARM_KEYS

if TYPE_CHECKING:
    from sagepack.aws.session import Document
    from sagepack.deploy.deployment import Deployment, Owner

ROLE_POLICY = "sagepack"
"""Name of the policy of a role that the stack makes."""
# Whether a time of a schedule is past depends on when one asks; what is exported does not.
_ALWAYS = datetime.min.replace(tzinfo=timezone.utc)
_SWITCH = "AutoScaling"
_SWITCHED = {"Condition": "AutoScaled"}


def template(
    deployment: Deployment, manager: str = "cloudformation", *, permissions: Document | None = None
) -> Document:
    """The template of a stack that makes what `deployment` says.

    Args:
        deployment: what the endpoint should be.
        manager: who manages what the stack makes, for its tags.
        permissions: policy of the execution role, if the stack makes that role too, under the name that the spec gives it.
    """
    tags = tag_list({**deployment.tags, TAG_MANAGED_BY: manager})
    scales = deployment.endpoint.scaling is not None
    owner = deployment.owner
    resources = {
        **(_role(deployment, permissions, tags) if permissions else {}),
        **_log(deployment),
        **_alarms(deployment, tags),
        "Model": _resource("SageMaker::Model", _model(deployment, tags, makes_role=permissions is not None)),
        "EndpointConfig": _resource("SageMaker::EndpointConfig", _endpoint_config(deployment, tags)),
        "Endpoint": _endpoint(deployment, tags),
        **_scaling(deployment, tags),
    }
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"{owner.name} ({owner.env}): the asynchronous SageMaker endpoint {owner.endpoint_name}",
        "Metadata": {"sagepack": {"manifest": str(deployment.manifest_digest), "package": deployment.model_data_uri}},
        **(_switch() if scales else {}),
        "Resources": resources,
        "Outputs": {
            "EndpointName": {"Value": _attribute("Endpoint", "EndpointName")},
            "EndpointArn": {"Value": {"Ref": "Endpoint"}},
        },
    }


def stack_name(owner: Owner) -> str:
    """A name for the stack, of the characters that CloudFormation allows."""
    name = re.sub("[^A-Za-z0-9]+", "-", f"{owner.name}-{owner.env}").strip("-")
    return name if name[0].isalpha() else f"model-{name}"


def logical_alarm(key: str) -> str:
    """The name within the template of the alarm that a key of `endpoint.alarms` declares."""
    return "".join(word.capitalize() for word in key.split("_")) + "Alarm"


def _resource(kind: str, properties: Document, **attributes: object) -> Document:
    return {"Type": f"AWS::{kind}", **attributes, "Properties": properties}


def _attribute(resource: str, name: str) -> Document:
    return {"Fn::GetAtt": [resource, name]}


def _switch() -> Document:
    description = (
        "SageMaker refuses another instance type as long as the endpoint is scaled: update the stack with Disabled, then with the "
        "new type, then with Enabled."
    )
    return {
        "Parameters": {
            _SWITCH: {
                "Type": "String",
                "Default": "Enabled",
                "AllowedValues": ["Enabled", "Disabled"],
                "Description": description,
            }
        },
        "Conditions": {_SWITCHED["Condition"]: {"Fn::Equals": [{"Ref": _SWITCH}, "Enabled"]}},
    }


def _role(deployment: Deployment, permissions: Document, tags: list[dict[str, str]]) -> Document:
    path, _, name = deployment.role_arn.partition(":role/")[2].rpartition("/")
    properties: Document = {
        "RoleName": name,
        "Path": f"/{path}/" if path else "/",
        "AssumeRolePolicyDocument": trust_policy(),
        "Policies": [{"PolicyName": ROLE_POLICY, "PolicyDocument": permissions}],
        "Tags": tags,
    }
    return {"Role": _resource("IAM::Role", properties)}


def _log(deployment: Deployment) -> Document:
    """The log group, which has to be there before SageMaker makes one that keeps its lines for ever. The lines outlive the stack."""
    days = deployment.endpoint.log_retention_in_days
    if days is None:
        return {}
    properties = {"LogGroupName": log_group(deployment.endpoint_name), "RetentionInDays": days}
    return {"Log": _resource("Logs::LogGroup", properties, DeletionPolicy="Retain", UpdateReplacePolicy="Retain")}


def _alarms(deployment: Deployment, tags: list[dict[str, str]]) -> Document:
    desired = desired_alarms(deployment)
    names = {key: alarm_name(deployment.endpoint_name, key) for key in ALARM_KEYS}
    return {
        logical_alarm(key): _resource("CloudWatch::Alarm", {"AlarmName": name, **desired[name], "Tags": tags})
        for key, name in names.items()
        if name in desired
    }


def _model(deployment: Deployment, tags: list[dict[str, str]], *, makes_role: bool) -> Document:
    properties = {key: value for key, value in deployment.create_model_request.items() if key != "ModelName"}
    container = properties["PrimaryContainer"]
    source = {key: value for key, value in container["ModelDataSource"]["S3DataSource"].items() if key != "ETag"}
    properties["PrimaryContainer"] = {**container, "ModelDataSource": {"S3DataSource": source}}
    if makes_role:
        properties["ExecutionRoleArn"] = _attribute("Role", "Arn")
    return {**properties, "Tags": tags}


def _endpoint_config(deployment: Deployment, tags: list[dict[str, str]]) -> Document:
    request = deployment.create_endpoint_config_request
    properties = {key: value for key, value in request.items() if key != "EndpointConfigName"}
    (variant,) = properties["ProductionVariants"]
    properties["ProductionVariants"] = [{**variant, "ModelName": _attribute("Model", "ModelName")}]
    return {**properties, "Tags": tags}


def _endpoint(deployment: Deployment, tags: list[dict[str, str]]) -> Document:
    """The endpoint, with what an update of it says: CloudFormation takes both from one place."""
    scales = deployment.endpoint.scaling is not None
    properties = {
        **deployment.create_endpoint_request,
        **deployment.update_endpoint_request(retain_instance_count=scales),
        "EndpointConfigName": _attribute("EndpointConfig", "EndpointConfigName"),
        "Tags": tags,
    }
    if guarded := properties.get("DeploymentConfig", {}).get("AutoRollbackConfiguration"):
        own = {alarm_name(deployment.endpoint_name, key): {"Ref": logical_alarm(key)} for key in ALARM_KEYS}
        alarms = [{"AlarmName": own.get(alarm["AlarmName"], alarm["AlarmName"])} for alarm in guarded["Alarms"]]
        properties["DeploymentConfig"] = {
            **properties["DeploymentConfig"],
            "AutoRollbackConfiguration": {"Alarms": alarms},
        }
    after = {"DependsOn": ["Log"]} if deployment.endpoint.log_retention_in_days is not None else {}
    return _resource("SageMaker::Endpoint", properties, **after)


def _scaling(deployment: Deployment, tags: list[dict[str, str]]) -> Document:
    desired, names = desired_scaling(deployment.endpoint, _ALWAYS), scaling_names(deployment.endpoint_name)
    if desired.target is None:
        return {}
    actions = [
        {"ScheduledActionName": name, **_without_none(action.document)} for name, action in desired.actions.items()
    ]
    target = {
        **SERVICE,
        **DIMENSION,
        "ResourceId": {"Fn::Sub": f"endpoint/${{Endpoint.EndpointName}}/variant/{VARIANT_NAME}"},
        **desired.target.document,
        **({"ScheduledActions": actions} if actions else {}),
    }
    resources = {"ScalableTarget": _resource("ApplicationAutoScaling::ScalableTarget", target, **_SWITCHED)}
    logical = {names.backlog_policy: "BacklogPolicy", names.wake_policy: "WakePolicy"}
    for name, policy in desired.policies.items():
        properties = {"PolicyName": name, "ScalingTargetId": {"Ref": "ScalableTarget"}, **policy}
        resources[logical[name]] = _resource("ApplicationAutoScaling::ScalingPolicy", properties, **_SWITCHED)
    for name, alarm in desired.alarms.items():
        properties = {"AlarmName": name, "AlarmActions": [{"Ref": "WakePolicy"}], **alarm, "Tags": tags}
        resources["WakeAlarm"] = _resource("CloudWatch::Alarm", properties, **_SWITCHED)
    return resources


def _without_none(document: Document) -> Document:
    """What is there of a document of the API, in which None stands for what is not."""
    return {
        key: _without_none(value) if isinstance(value, dict) else value
        for key, value in document.items()
        if value is not None
    }
