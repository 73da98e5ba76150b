from __future__ import annotations

import copy
import dataclasses
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given

from sagepack.deploy.alarms import desired_alarms
from sagepack.deploy.deployment import TAG_MANAGED_BY, Deployment, Owner, tag_list
from sagepack.deploy.export.cloudformation import stack_name, template
from sagepack.deploy.scaling import desired_scaling
from sagepack.spec.keys import build, by_key, keys_of
from sagepack.spec.model import Endpoint, Scaling
from tests.helpers.deployments import ROLE, changed, deployment
from tests.helpers.exports import EVERYTHING, FULL, PLAIN, deployments
from tests.helpers.stacks import CONFIG, MODEL, Requests, renamed, requests

if TYPE_CHECKING:
    from collections.abc import Iterator

PERMISSIONS = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": ["s3:GetObject"], "Resource": ["*"]}],
}


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every value of a document that holds no others, and every list and object, too."""
    if path:
        yield path
    inner = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in inner:
        yield from places(value, (*path, key))


def other(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        return value + 1
    return f"{value}x" if isinstance(value, str) else type(value)()


@pytest.mark.parametrize("name", EVERYTHING)
def test_a_difference_in_any_property_is_seen(name: str) -> None:
    """Another value is planted for each, and each is left out. What is asked for then is not what `deploy` sends, to which
    tests/integration/test_export_requests.py compares it.
    """
    value = EVERYTHING[name]
    document = template(value, permissions=PERMISSIONS)
    asked, planted = requests(document), 0
    for logical, resource in document["Resources"].items():
        for path in places({"Type": resource["Type"], "Properties": resource["Properties"]}):
            for leave_out in (False, True):
                node = copy.deepcopy(resource)
                changed_document = {**document, "Resources": {**document["Resources"], logical: node}}
                for key in path[:-1]:
                    node = node[key]
                before = node[path[-1]]
                if leave_out:
                    del node[path[-1]]
                elif other(before) == before:
                    continue
                else:
                    node[path[-1]] = other(before)
                planted += 1
                try:
                    found = requests(changed_document)
                except (KeyError, ValueError, AttributeError, TypeError):  # no template any more
                    continue
                assert found != asked, (logical, path)
    assert planted > 100


def test_every_key_of_an_endpoint_has_two_values_in_the_deployments_of_the_tests() -> None:
    """Or what is compared for each of them would not see that a value is left out, and AWS's default is the same."""
    written = [by_key(Endpoint, msgspec.to_builtins(value.endpoint)) for value in EVERYTHING.values()]
    keys = [key.path for key in keys_of(Endpoint)]
    same = [path for path in keys if len({str(value_at(each, path)) for each in written}) == 1]
    assert same == [("name",)]


def value_at(written: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        written = (written or {}).get(name)
    return written


@given(deployments())
def test_a_stack_asks_for_what_the_requests_of_the_api_say(value: Deployment) -> None:
    """In any combination of settings; tests/integration/test_export_requests.py shows that `deploy` sends those."""
    assert without_manager(requests(template(value))) == of_the_api(value)


def without_manager(asked: Requests) -> Requests:
    for request in asked.values():
        if "Tags" in request:
            request["Tags"] = [tag for tag in request["Tags"] if tag["Key"] != TAG_MANAGED_BY]
    return asked


def of_the_api(value: Deployment) -> Requests:
    """The requests for an endpoint that does not exist, and for an update of it, in the names of the inverse."""
    endpoint, name, long_ago = value.endpoint, value.endpoint_name, datetime.min.replace(tzinfo=timezone.utc)
    variant = f"endpoint/{name}/variant/AllTraffic"
    target = {
        "ServiceNamespace": "sagemaker",
        "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
        "ResourceId": variant,
    }
    scaling = desired_scaling(endpoint, long_ago)
    retains = endpoint.scaling is not None
    requests: Requests = {
        "CreateModel": value.create_model_request,
        "CreateEndpointConfig": value.create_endpoint_config_request,
        "CreateEndpoint": value.create_endpoint_request,
        "UpdateEndpoint": value.update_endpoint_request(retain_instance_count=retains),
        **{
            f"PutMetricAlarm {alarm}": {"AlarmName": alarm, **request, "Tags": tag_list(value.tags)}
            for alarm, request in desired_alarms(value).items()
        },
    }
    if endpoint.log_retention_in_days:
        group = f"/aws/sagemaker/Endpoints/{name}"
        requests["PutRetentionPolicy"] = {
            "LogGroupName": group,
            "RetentionInDays": endpoint.log_retention_in_days,
        }
    if scaling.target:
        requests["RegisterScalableTarget"] = {**target, **scaling.target.document}
    for policy, request in scaling.policies.items():
        requests[f"PutScalingPolicy {policy}"] = {**target, "PolicyName": policy, **request}
    for alarm, request in scaling.alarms.items():
        actions = [f"<arn of {name}-wake>"]
        tags = tag_list(value.tags)
        requests[f"PutMetricAlarm {alarm}"] = {"AlarmName": alarm, "AlarmActions": actions, **request, "Tags": tags}
    for action, scheduled in scaling.actions.items():
        document = msgspec.json.decode(msgspec.json.encode(scheduled.document))
        bounds = {bound: count for bound, count in document.pop("ScalableTargetAction").items() if count is not None}
        times = {key: each for key, each in document.items() if each is not None}
        request = {"ScheduledActionName": action, **times, "ScalableTargetAction": bounds}
        requests[f"PutScheduledAction {action}"] = {**target, **request}
    found: Requests = renamed(requests, {value.model_name: MODEL, value.endpoint_config_name: CONFIG})
    del found["CreateModel"]["ModelName"], found["CreateEndpointConfig"]["EndpointConfigName"]
    return found


def test_a_stack_that_makes_the_role_gives_it_the_name_of_the_spec() -> None:
    document = template(PLAIN, permissions=PERMISSIONS)
    found = requests(document)
    assert found["CreateModel"]["ExecutionRoleArn"] == ROLE
    assert found["PutRolePolicy"]["PolicyDocument"] == PERMISSIONS
    assert next(iter(found)) == "CreateRole"
    role = "arn:aws:iam::123456789012:role/service/models/svd"
    moved = dataclasses.replace(PLAIN, role_arn=role)
    assert requests(template(moved, permissions=PERMISSIONS))["CreateModel"]["ExecutionRoleArn"] == role


def test_the_log_group_and_the_alarms_of_an_update_are_there_before_the_endpoint() -> None:
    """By what the template says: CloudFormation does not go by the order in which resources are written."""
    document = template(FULL)
    order = list(requests({**document, "Resources": dict(reversed(document["Resources"].items()))}))
    endpoint = order.index("CreateEndpoint")
    assert order.index("PutRetentionPolicy") < endpoint
    assert order.index("PutMetricAlarm sagepack/svd/failures") < endpoint


def test_a_stack_gives_out_the_endpoint_and_says_which_package_it_loads() -> None:
    document = template(PLAIN)
    assert document["Outputs"] == {
        "EndpointName": {"Value": {"Fn::GetAtt": ["Endpoint", "EndpointName"]}},
        "EndpointArn": {"Value": {"Ref": "Endpoint"}},
    }
    package = {"manifest": str(PLAIN.manifest_digest), "package": PLAIN.model_data_uri}
    assert document["Metadata"] == {"sagepack": package}
    assert document["AWSTemplateFormatVersion"] == "2010-09-09"


def test_the_lines_of_the_log_outlive_the_stack() -> None:
    log = template(FULL)["Resources"]["Log"]
    assert log["DeletionPolicy"] == log["UpdateReplacePolicy"] == "Retain"


@pytest.mark.parametrize(
    ("name", "env", "called"), [("svd", "prod", "svd-prod"), ("a.b_c", "x", "a-b-c-x"), ("7b", "prod", "model-7b-prod")]
)
def test_a_stack_has_a_name_that_cloudformation_takes(name: str, env: str, called: str) -> None:
    assert stack_name(Owner("svd", name, env)) == called


def test_scaling_can_be_taken_away_before_the_instance_type_changes() -> None:
    off = requests(template(FULL), AutoScaling="Disabled")
    assert not {name for name in off if "Scal" in name or "Scheduled" in name or "has-backlog" in name}
    assert off["CreateEndpoint"] == requests(template(FULL))["CreateEndpoint"]
    assert "Parameters" not in template(deployment())


def test_the_etag_of_a_signed_package_is_left_out() -> None:
    value = PLAIN.pinned('"0123"')
    assert "ETag" in str(value.create_model_request)
    assert "ETag" not in str(template(value))
    assert template(value) == template(PLAIN)


def test_a_template_is_the_same_whenever_it_is_made() -> None:
    """A time of a schedule that has passed stays in it."""
    past = build(
        Scaling,
        {"min_capacity": 1, "max_capacity": 2, "schedule": [{"at": "at(2001-01-01T00:00:00)", "min_capacity": 2}]},
    )
    document = template(changed(PLAIN, scaling=past))
    (action,) = document["Resources"]["ScalableTarget"]["Properties"]["ScheduledActions"]
    assert action["Schedule"] == "at(2001-01-01T00:00:00)"


def test_what_a_stack_makes_is_tagged_with_who_manages_it() -> None:
    for tool, document in (
        ("cloudformation", template(FULL, permissions=PERMISSIONS)),
        ("cdk", template(FULL, "cdk", permissions=PERMISSIONS)),
    ):
        for kind in ("Role", "Model", "EndpointConfig", "Endpoint", "WakeAlarm", "FailuresAlarm"):
            tags = {tag["Key"]: tag["Value"] for tag in document["Resources"][kind]["Properties"]["Tags"]}
            assert tags["sagepack:managed-by"] == tool
            assert tags["sagepack:endpoint"] == "svd"
