"""What moto's CloudFormation makes of a template, and what its services make of the requests of the API: one line of JSON.

python stack.py TEMPLATE REQUESTS REGION

Runs in an environment of its own, since `moto[cloudformation]` is not installed beside this program.
"""

# mypy: disable-error-code="import-not-found,import-untyped"

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import boto3
from moto import mock_aws

STACK = "stack"


def made(region: str) -> dict[str, Any]:
    """Everything that exists, as the services describe it."""
    sagemaker, logs = boto3.client("sagemaker", region), boto3.client("logs", region)
    models, configs, endpoints = (
        sagemaker.list_models()["Models"],
        sagemaker.list_endpoint_configs()["EndpointConfigs"],
        sagemaker.list_endpoints()["Endpoints"],
    )
    found: dict[str, list[dict[str, Any]]] = {
        "Model": [sagemaker.describe_model(ModelName=each["ModelName"]) for each in models],
        "EndpointConfig": [
            sagemaker.describe_endpoint_config(EndpointConfigName=each["EndpointConfigName"]) for each in configs
        ],
        "Endpoint": [sagemaker.describe_endpoint(EndpointName=each["EndpointName"]) for each in endpoints],
    }
    for kind, described in found.items():
        for each in described:
            each["Tags"] = sagemaker.list_tags(ResourceArn=each[f"{kind}Arn"])["Tags"]
            del each["ResponseMetadata"]
    groups = logs.describe_log_groups()["logGroups"]
    return {**found, "Log": groups, "Role": boto3.client("iam").list_roles()["Roles"]}


@mock_aws
def by_stack(template: str, region: str) -> dict[str, Any]:
    """What a stack makes; how that ended, what the stack gives out, and what is left once it is deleted."""
    client = boto3.client("cloudformation", region)
    client.create_stack(StackName=STACK, TemplateBody=template, Capabilities=["CAPABILITY_NAMED_IAM"])
    (stack,) = client.describe_stacks(StackName=STACK)["Stacks"]
    found = made(region)
    client.delete_stack(StackName=STACK)
    outputs = {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}
    left = {kind: each for kind, each in made(region).items() if each}
    return {
        "stack": {"status": stack["StackStatus"], "outputs": outputs, "left": left},
        "made by the stack": found,
    }


@mock_aws
def by_requests(requests: list[tuple[str, str, dict[str, Any]]], region: str) -> dict[str, Any]:
    """What requests make: service, operation, and members of each."""
    for service, operation, members in requests:
        getattr(boto3.client(service, region), operation)(**members)
    return {"made by the requests": made(region)}


def plain(value: Any) -> str:
    """A time as text."""
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(value)


if __name__ == "__main__":
    template, requests, region = sys.argv[1:]
    document = json.loads(Path(requests).read_text(encoding="utf-8"))
    found = {**by_stack(Path(template).read_text(encoding="utf-8"), region), **by_requests(document, region)}
    sys.stdout.write(json.dumps(found, default=plain))
