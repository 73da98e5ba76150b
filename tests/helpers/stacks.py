"""What CloudFormation asks of the services for a template, as far as an exported one goes: the inverse of the export."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

ACCOUNT = "123456789012"
MODEL, CONFIG = "<Model.ModelName>", "<EndpointConfig.EndpointConfigName>"
_TARGET = ("ServiceNamespace", "ScalableDimension", "ResourceId")
_UPDATE_ONLY = {"DeploymentConfig", "RetainAllVariantProperties", "ExcludeRetainedVariantProperties"}
Requests = dict[str, dict[str, Any]]


def requests(template: dict[str, Any], **parameters: str) -> Requests:
    """The requests, by operation and name, in the order in which what is referred to comes first.

    Raises:
        Exception: it is no template that this knows.
    """
    stack = _Stack(template, parameters)
    return {name: request for logical in stack.order() for name, request in stack.asked(logical)}


class _Stack:
    def __init__(self, template: dict[str, Any], parameters: dict[str, str]) -> None:
        given = {name: parameters.get(name, each["Default"]) for name, each in template.get("Parameters", {}).items()}
        self._values, self._conditions = given, template.get("Conditions", {})
        self._resources = {
            name: resource
            for name, resource in template["Resources"].items()
            if "Condition" not in resource or self._holds(resource["Condition"])
        }

    def _holds(self, condition: str) -> bool:
        one, other = self._conditions[condition]["Fn::Equals"]
        return bool(self._values[one["Ref"]] == other)

    def order(self) -> list[str]:
        """The logical names, each after those that it refers to."""
        found: list[str] = []

        def visit(name: str) -> None:
            if name not in found:
                for other in [*self._resources[name].get("DependsOn", []), *_referred(self._resources[name])]:
                    visit(other)
                found.append(name)

        for name in self._resources:
            visit(name)
        return found

    def value(self, node: Any) -> Any:
        if isinstance(node, list):
            return [self.value(each) for each in node]
        return self._object(node) if isinstance(node, dict) else node

    def _object(self, node: dict[str, Any]) -> Any:
        match node:
            case {"Ref": str(name)}:
                return self._reference(name)
            case {"Fn::GetAtt": [str(name), str(attribute)]}:
                return self._attribute(name, attribute)
            case {"Fn::Sub": str(text)}:
                return text.replace("${Endpoint.EndpointName}", self._attribute("Endpoint", "EndpointName"))
            case {"Fn::Join": ["", list(parts)]}:
                return "".join(map(str, self.value(parts)))
        return {key: self.value(value) for key, value in node.items()}

    def _attribute(self, name: str, attribute: str) -> str:
        properties = self._resources[name]["Properties"]
        if self._resources[name]["Type"] == "AWS::IAM::Role" and attribute == "Arn":
            return f"arn:aws:iam::{ACCOUNT}:role{properties['Path']}{properties['RoleName']}"
        return str(properties.get(attribute, f"<{name}.{attribute}>"))

    def _reference(self, name: str) -> str:
        properties = self._resources[name]["Properties"]
        kind = self._resources[name]["Type"]
        if kind == "AWS::CloudWatch::Alarm":
            return str(properties["AlarmName"])
        if kind == "AWS::ApplicationAutoScaling::ScalingPolicy":
            return f"<arn of {properties['PolicyName']}>"
        return f"<{name}>"

    def asked(self, logical: str) -> Iterator[tuple[str, dict[str, Any]]]:
        kind, asked = self._resources[logical]["Type"], self.value(self._resources[logical]["Properties"])
        match kind:
            case "AWS::SageMaker::Model" | "AWS::SageMaker::EndpointConfig":
                yield f"Create{kind.rpartition(':')[2]}", asked
            case "AWS::SageMaker::Endpoint":
                yield "CreateEndpoint", {key: value for key, value in asked.items() if key not in _UPDATE_ONLY}
                yield "UpdateEndpoint", {key: value for key, value in asked.items() if key != "Tags"}
            case "AWS::CloudWatch::Alarm":
                yield f"PutMetricAlarm {asked['AlarmName']}", asked
            case "AWS::Logs::LogGroup":
                yield "PutRetentionPolicy", asked
            case "AWS::IAM::Role":
                yield "CreateRole", {key: value for key, value in asked.items() if key != "Policies"}
                for policy in asked["Policies"]:
                    yield "PutRolePolicy", policy
            case "AWS::ApplicationAutoScaling::ScalableTarget":
                actions = asked.pop("ScheduledActions", [])
                yield "RegisterScalableTarget", asked
                of = {key: asked[key] for key in _TARGET}
                for action in actions:
                    yield f"PutScheduledAction {action['ScheduledActionName']}", {**of, **action}
            case "AWS::ApplicationAutoScaling::ScalingPolicy":
                target = asked.pop("ScalingTargetId")
                found = self.value(self._resources[target.strip("<>")]["Properties"])
                yield f"PutScalingPolicy {asked['PolicyName']}", {**{key: found[key] for key in _TARGET}, **asked}
            case _:
                raise ValueError(kind)


def _referred(node: Any) -> Iterator[str]:
    if isinstance(node, list):
        for each in node:
            yield from _referred(each)
    elif isinstance(node, dict):
        match node:
            case {"Ref": str(name)} | {"Fn::GetAtt": [str(name), _]}:
                yield name
            case {"Fn::Sub": str(text)}:
                yield text.partition("${")[2].partition(".")[0]
            case _:
                for each in node.values():
                    yield from _referred(each)


def renamed(node: Any, names: dict[str, str]) -> Any:
    """A document with other texts in place of some."""
    if isinstance(node, dict):
        return {key: renamed(value, names) for key, value in node.items()}
    if isinstance(node, list):
        return [renamed(each, names) for each in node]
    return names.get(node, node) if isinstance(node, str) else node
