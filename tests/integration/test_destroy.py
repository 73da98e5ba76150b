from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

import pytest

from sagepack.aws.sagemaker import EndpointConfig, InstancePool, ProductionVariant
from sagepack.aws.session import Patience
from sagepack.deploy.destroy import Resource, destroy, inventory
from sagepack.deploy.reconcile import reconcile
from sagepack.deploy.waiter import WaiterConfig
from sagepack.errors import UserError
from sagepack.progress import Silent
from sagepack.sandbox.aws.hosting import TransitionTime
from sagepack.spec.model import Scaling
from tests.helpers.deployments import ROLE, FakeClock, RecordedProgress, deployment, published, session_of

if TYPE_CHECKING:
    from sagepack.aws.session import Aws
    from sagepack.deploy.deployment import Deployment
    from sagepack.sandbox.servers import Servers

WAITER = WaiterConfig(delay=0.01, timeout=30)


@pytest.fixture
def aws(sandbox: Servers) -> Aws:
    return session_of(sandbox)


def deployed(aws: Aws, *values: Deployment) -> None:
    for value in values:
        reconcile(aws, published(aws, value), Silent(), WAITER)


def everything(aws: Aws) -> dict[str, set[str]]:
    """Names of all resources of the kinds that a deployment creates, whoever created them."""
    sagemaker, scaling = aws.client("sagemaker"), aws.client("application-autoscaling")
    policies = scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    targets = scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    return {
        "endpoints": {entry["EndpointName"] for entry in sagemaker.list_endpoints()["Endpoints"]},
        "configs": {entry["EndpointConfigName"] for entry in sagemaker.list_endpoint_configs()["EndpointConfigs"]},
        "models": {entry["ModelName"] for entry in sagemaker.list_models()["Models"]},
        "policies": {entry["PolicyName"] for entry in policies},
        "targets": {entry["ResourceId"] for entry in targets},
        "alarms": {entry["AlarmName"] for entry in aws.client("cloudwatch").describe_alarms()["MetricAlarms"]},
    }


def create_similar_resources(aws: Aws) -> None:
    """Create resources of other people, with names like those of the endpoint svd."""
    sagemaker = aws.client("sagemaker")
    container = {"Image": deployment().image_uri}
    for name, tags in (("svd-aaaaaaaaaaaa", {}), ("svd-bbbbbbbbbbbb", {"sagepack:endpoint": "svd"}), ("svd-mine", {})):
        listed = [{"Key": key, "Value": value} for key, value in tags.items()]
        request: dict[str, Any] = {"ModelName": name, "PrimaryContainer": container, "Tags": listed}
        sagemaker.create_model(**request, ExecutionRoleArn=ROLE)
    aws.client("cloudwatch").put_metric_alarm(
        AlarmName="svd-somebody", ComparisonOperator="GreaterThanThreshold", EvaluationPeriods=1
    )


def test_destroy_removes_all_resources_of_the_owner_and_none_of_others(aws: Aws) -> None:
    deployed(aws, deployment("svd-x", scaling=Scaling(0, 2)))
    create_similar_resources(aws)
    before = everything(aws)
    deployed(aws, deployment(scaling=Scaling(0, 2)), deployment(scaling=Scaling(0, 2), environment={}))
    removed = destroy(aws, deployment().owner, Silent(), WAITER)
    assert everything(aws) == before
    assert [resource.kind for resource in removed.resources] == [
        "alarm",
        "scaling policy",
        "scaling policy",
        "scalable target",
        "endpoint",
        "endpoint configuration",
        "endpoint configuration",
        "model",
        "model",
    ]


def test_the_inventory_lists_all_resources_and_removes_none(aws: Aws) -> None:
    value = deployment(scaling=Scaling(1, 2))
    deployed(aws, value)
    before = everything(aws)
    assert inventory(aws, value.owner).resources == (
        Resource("scaling policy", "svd-backlog"),
        Resource("scalable target", "endpoint/svd/variant/AllTraffic"),
        Resource("endpoint", "svd"),
        Resource("endpoint configuration", value.endpoint_config_name),
        Resource("model", value.model_name),
    )
    assert everything(aws) == before


def test_a_second_destroy_has_nothing_to_do(aws: Aws) -> None:
    deployed(aws, deployment())
    destroy(aws, deployment().owner, Silent(), WAITER)
    progress = RecordedProgress()
    assert destroy(aws, deployment().owner, progress, WAITER).resources == ()
    assert progress.notes == []


def test_the_next_destroy_removes_what_an_interrupted_one_left(aws: Aws) -> None:
    value = deployment(scaling=Scaling(0, 2))
    deployed(aws, value)
    aws.client("cloudwatch").delete_alarms(AlarmNames=["svd-has-backlog-without-capacity"])
    aws.client("sagemaker").delete_endpoint(EndpointName="svd")
    destroy(aws, value.owner, Silent(), WAITER)
    assert all(names == set() for names in everything(aws).values())


def test_a_configuration_that_another_endpoint_uses_is_not_removed(aws: Aws) -> None:
    value = deployment()
    deployed(aws, value)
    aws.client("sagemaker").create_endpoint(EndpointName="borrower", EndpointConfigName=value.endpoint_config_name)
    removed = destroy(aws, value.owner, Silent(), WAITER)
    assert removed.resources == (Resource("endpoint", "svd"),)
    assert removed.kept == {
        Resource("endpoint configuration", value.endpoint_config_name): "endpoint borrower serves it",
        Resource("model", value.model_name): "endpoint borrower serves it",
    }
    assert everything(aws)["models"] == {value.model_name}


def test_an_endpoint_of_another_environment_is_not_destroyed(aws: Aws) -> None:
    deployed(aws, deployment())
    before = everything(aws)
    with pytest.raises(UserError, match="does not belong to other/local"):
        destroy(aws, deployment("other", endpoint_name="svd").owner, Silent(), WAITER)
    assert everything(aws) == before


def test_an_endpoint_that_is_being_created_is_waited_for_and_then_removed(aws: Aws, sandbox: Servers) -> None:
    sandbox.aws.scenario.transition_time = TransitionTime(polls=4)
    value = published(aws, deployment())
    client = aws.client("sagemaker")
    client.create_model(**value.create_model_request)
    client.create_endpoint_config(**value.create_endpoint_config_request)
    client.create_endpoint(**value.create_endpoint_request)
    progress = RecordedProgress()
    destroy(aws, value.owner, progress, WAITER)
    assert "is Creating: it can be deleted when that has ended" in progress.text
    assert all(names == set() for names in everything(aws).values())


def test_the_package_stays_in_s3(aws: Aws) -> None:
    value = deployment()
    deployed(aws, value)
    destroy(aws, value.owner, Silent(), WAITER)
    bucket, _, key = value.model_data_uri.removeprefix("s3://").partition("/")
    assert aws.client("s3").head_object(Bucket=bucket, Key=key)["ContentLength"] > 0


def test_a_deletion_that_meets_a_resize_by_automatic_scaling_waits_for_it(aws: Aws, sandbox: Servers) -> None:
    before = everything(aws)
    deployed(aws, deployment())
    busy = 'Cannot update in-progress endpoint "arn".'
    sandbox.aws.scenario.fail_operation("DeleteEndpoint", "ValidationException", busy)
    destroy(aws, deployment().owner, Silent(), WAITER)
    assert everything(aws) == before


@pytest.mark.parametrize("operation", ["DeleteEndpoint", "DescribeEndpoint", "DeleteModel"])
def test_an_outage_does_not_end_a_deletion(aws: Aws, sandbox: Servers, operation: str) -> None:
    before = everything(aws)
    deployed(aws, deployment())
    clock = FakeClock()

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        if clock.now >= 1200:
            sandbox.aws.scenario.clear()
        elif not clock.now % 300:
            sandbox.aws.scenario.fail_operation(operation, "InternalFailure", "later", times=None, status=500)

    sandbox.aws.scenario.transition_time = TransitionTime(polls=6)
    if operation != "DescribeEndpoint":
        sandbox.aws.scenario.fail_operation(operation, "InternalFailure", "later", times=None, status=500)
    # One attempt of each request: the client's own retries take a second.
    waiter = dataclasses.replace(clock.waiter(), delay=60, sleep=sleep)
    destroy(aws.with_patience(Patience(attempts=1)), deployment().owner, progress := RecordedProgress(), waiter)
    assert "AWS responds again, after" in progress.text
    assert everything(aws) == before


def test_a_model_behind_the_shadow_variant_of_another_endpoint_stays(aws: Aws) -> None:
    value = deployment()
    deployed(aws, value, deployment("other"))
    variants = deployment("other").create_endpoint_config_request["ProductionVariants"]
    shadow = {**variants[0], "VariantName": "Shadow", "ModelName": value.model_name}
    client = aws.client("sagemaker")
    client.create_endpoint_config(
        EndpointConfigName="theirs", ProductionVariants=variants, ShadowProductionVariants=[shadow]
    )
    client.update_endpoint(EndpointName="other", EndpointConfigName="theirs")
    destroy(aws, value.owner, Silent(), WAITER)
    assert value.model_name in everything(aws)["models"]
    assert "svd" not in everything(aws)["endpoints"]


def test_the_models_of_a_configuration_are_those_of_all_its_variants_and_pools() -> None:
    pooled = ProductionVariant("a", instance_pools=(InstancePool("b"), InstancePool()))
    assert EndpointConfig((pooled, ProductionVariant()), {}, (ProductionVariant("c"),)).model_names == {"a", "b", "c"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "action", ["ListEndpoints", "DescribeEndpointConfig", "ListInferenceComponents", "DescribeInferenceComponent"]
)
def test_a_model_stays_where_aws_denies_to_say_whether_another_endpoint_uses_it(
    aws: Aws, sandbox: Servers, action: str
) -> None:
    value = deployment()
    deployed(aws, value, deployment("other"))
    aws.client("sagemaker").create_inference_component(
        InferenceComponentName="part", EndpointName="other", Specification={}
    )
    sandbox.aws.denied.set([f"sagemaker:{action}"])
    found = destroy(aws, value.owner, Silent(), WAITER)
    assert found.resources == (Resource("endpoint", "svd"),)
    assert [resource.kind for resource in found.kept] == ["endpoint configuration", "model"]
    assert all(f"sagemaker:{action}" in reason for reason in found.kept.values())
    sandbox.aws.denied.set([])
    assert len(destroy(aws, value.owner, Silent(), WAITER).resources) == 2


@pytest.mark.parametrize("how", ["pool", "component"])
def test_a_model_of_a_pool_or_a_component_of_another_endpoint_stays(aws: Aws, how: str) -> None:
    value = deployment()
    deployed(aws, value, deployment("other"))
    client = aws.client("sagemaker")
    if how == "pool":
        (variant,) = deployment("other").create_endpoint_config_request["ProductionVariants"]
        kind = variant.pop("InstanceType")
        other = {"InstanceType": "ml.g5.4xlarge", "Priority": 2, "ModelNameOverride": value.model_name}
        pools = [{"InstanceType": kind, "Priority": 1}, other]
        client.create_endpoint_config(
            EndpointConfigName="theirs", ProductionVariants=[{**variant, "InstancePools": pools}]
        )
        client.update_endpoint(EndpointName="other", EndpointConfigName="theirs")
    else:
        client.create_inference_component(
            InferenceComponentName="part", EndpointName="other", Specification={"ModelName": value.model_name}
        )
    found = destroy(aws, value.owner, Silent(), WAITER)
    assert [resource.name for resource in found.kept] == [value.model_name]
    assert value.model_name in everything(aws)["models"]


def test_it_is_said_that_an_inference_router_sends_requests_to_the_endpoint(aws: Aws) -> None:
    deployed(aws, deployment())
    arn = aws.client("sagemaker").describe_endpoint(EndpointName="svd")["EndpointArn"]
    for name, target in (("ours", arn), ("theirs", f"{arn}-x")):
        destinations = [{"ResourceArn": target}]
        aws.client("sagemaker").create_inference_router(
            InferenceRouterName=name, RoutingTargets=[{"Name": "a", "Destinations": destinations}]
        )
    assert inventory(aws, deployment().owner).notes == ("inference router ours sends requests to this endpoint",)


def test_a_region_that_knows_no_inference_routers_has_none(aws: Aws, sandbox: Servers) -> None:
    deployed(aws, deployment())
    sandbox.aws.scenario.fail_operation("ListInferenceRouters", "UnknownOperationException", "no")
    assert inventory(aws, deployment().owner).notes == ()
