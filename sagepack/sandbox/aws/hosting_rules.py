"""SageMaker's hosting apart from its state: checks of requests, and the descriptions of endpoints."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sagepack.sandbox.aws import moto_state
from sagepack.sandbox.aws.wsgi import AwsError
from sagepack.sandbox.identity import ACCOUNT

if TYPE_CHECKING:
    from collections.abc import Collection

    from sagepack.sandbox.aws.hosting import Configuration, Endpoint
    from sagepack.sandbox.aws.wsgi import JsonObject

RESOURCES = {"model": "model", "endpoint-config": "endpoint configuration", "endpoint": "endpoint"}
"""Type of a resource in its ARN -> its name in error messages."""

_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")
# Instance families with local disks, which accept no volume: those with a `d` after the generation, and these.
_LOCAL_DISKS = re.compile(r"ml\.([a-z]+\d+[a-z]*d[a-z]*|g5|g6e?|p5e?n?|trn1n?)\.")


def invalid(message: str) -> AwsError:
    """The error with the code that SageMaker uses for nearly everything."""
    return AwsError("ValidationException", message)


def arn_of(region: str, kind: str, name: str) -> str:
    """ARN of a resource, in which its name is in lower case; `kind` is a key of `RESOURCES`."""
    return f"arn:aws:sagemaker:{region}:{ACCOUNT}:{kind}/{name.lower()}"


def check_name(name: str) -> str:
    """Return `name`.

    Raises:
        AwsError: it is not a valid name of a resource.
    """
    if not _NAME.fullmatch(name):
        raise invalid(f"1 validation error detected: Value '{name}' failed to satisfy the pattern {_NAME.pattern}")
    return name


def check_role(role: str) -> None:
    """Check that SageMaker can assume a role.

    Raises:
        AwsError: it cannot.
    """
    if not moto_state.can_assume(role):
        raise invalid(
            f"Could not assume role {role}. Please ensure that the role exists and allows principal "
            "'sagemaker.amazonaws.com' to assume the role."
        )


def check_container(container: JsonObject, role: str, region: str) -> None:
    """Check role, image and model data as CreateModel does.

    Raises:
        AwsError: one of them does not exist or cannot be accessed.
    """
    check_role(role)
    image = container.get("Image", "")
    if moto_state.image_digest(image, region) is None:
        raise invalid(
            f"Role {role} cannot pull {image}. Ensure that the role exists and the image was granted pull permission."
        )
    source = container.get("ModelDataSource", {}).get("S3DataSource", {})
    prefix = source.get("S3DataType") == "S3Prefix"
    uri = container.get("ModelDataUrl") or source.get("S3Uri")
    if uri is None:
        return
    if prefix and not uri.endswith("/"):
        raise invalid(f"S3Uri {uri} of a model data source of type S3Prefix must end with a slash.")
    if moto_state.bucket_region(moto_state.split_uri(uri)[0]) != region:
        raise invalid(
            f"Could not access model data at {uri}. Please ensure that the role {role} has s3:GetObject permissions "
            f"and that the object is located in {region}."
        )
    if not moto_state.has_objects(uri, prefix=prefix):
        raise invalid(f"Could not find model data at {uri}.")
    etag = source.get("ETag")
    # What AWS does with an ETag could not be observed; the API reference says that it is "associated with S3 URI".
    if etag is not None and (prefix or etag != moto_state.etag(uri)):
        raise invalid(f"The ETag {etag} is not that of the model data at {uri}.")


def unreachable_data(region: str, config: Configuration) -> str | None:
    """The FailureReason for a model in a VPC from which no instance can read its data; None if all can."""
    for model in config.models.values():
        network = model.get("VpcConfig")
        if network and not moto_state.reaches_s3(region, network["Subnets"]):
            source = model.get("PrimaryContainer", {}).get("ModelDataSource", {}).get("S3DataSource", {})
            return (
                f'Failed to download model data from URL "{source.get("S3Uri")}". Please ensure that an S3 VPC endpoint exists '
                "in route table or NAT gateway for the VPC mode and the URL is reachable from within the subnets provided."
            )
    return None


def check_variant(variant: JsonObject) -> None:
    """Check a variant as CreateEndpointConfig does.

    Raises:
        AwsError: instance type, count or volume is not allowed.
    """
    if "ServerlessConfig" in variant:
        return
    pools = variant.get("InstancePools")
    if ("InstanceType" in variant) == (pools is not None):
        raise invalid("Specify exactly one of InstanceType and InstancePools.")
    if pools is not None and len(pools) < 2:
        raise invalid("InstancePools must have at least 2 entries.")
    if "VariantInstanceProvisionTimeoutInSeconds" in variant and pools is None:
        raise invalid("VariantInstanceProvisionTimeoutInSeconds is supported with InstancePools only.")
    for kind in instance_kinds(variant):
        _check_kind(variant, kind)
    if variant.get("InitialInstanceCount", 0) < 1:
        raise invalid("InitialInstanceCount must be at least 1.")


def _check_kind(variant: JsonObject, kind: str) -> None:
    if not re.fullmatch(r"ml\.[a-z0-9-]+\.[a-z0-9]+", kind):
        raise invalid(
            f"Value '{kind}' at 'instanceType' failed to satisfy constraint: Member must satisfy enum value set"
        )
    if "VolumeSizeInGB" in variant and _LOCAL_DISKS.match(kind):
        raise invalid(f"VolumeSize parameter is not allowed for the selected Instance type {kind}")


def instance_counts(config: JsonObject) -> dict[str, int]:
    """Variant -> initial number of instances."""
    return {item["VariantName"]: int(item.get("InitialInstanceCount", 1)) for item in config["ProductionVariants"]}


def instance_kinds(variant: JsonObject) -> list[str]:
    """The instance types of a variant, in the order in which they are tried."""
    pools = sorted(variant.get("InstancePools", ()), key=lambda pool: int(pool["Priority"]))
    return [variant["InstanceType"]] if "InstanceType" in variant else [pool["InstanceType"] for pool in pools]


def instance_types(config: JsonObject) -> dict[str, list[str]]:
    """Variant -> its instance types, in the order in which they are tried."""
    return {item["VariantName"]: instance_kinds(item) for item in config["ProductionVariants"]}


def placed(kinds: list[str], count: int, running: dict[str, int], without: Collection[str]) -> dict[str, int] | None:
    """The instances of a variant by their type once there are `count`; None if they cannot start.

    Those that run stay, and the last types lose instances first. Further ones start in the first pool with capacity. A model of
    AWS: how it fills and empties pools could not be observed.

    Args:
        kinds: the types of the variant, in the order in which they are tried.
        count: how many instances there will be.
        running: those that run, by type.
        without: the types of which no further instance can start.
    """
    found = {kind: running.get(kind, 0) for kind in kinds}
    more = count - sum(found.values())
    if more > 0:
        first = next((kind for kind in kinds if kind not in without), None)
        if first is None:
            return None
        found[first] += more
    for kind in reversed(kinds):
        less = min(found[kind], max(0, sum(found.values()) - count))
        found[kind] -= less
    return found


def summary(endpoint: Endpoint) -> JsonObject:
    """An item of ListEndpoints."""
    return {
        "EndpointName": endpoint.name,
        "EndpointArn": endpoint.arn,
        "EndpointStatus": endpoint.status,
        "CreationTime": endpoint.created,
        "LastModifiedTime": endpoint.modified,
    }


def description(endpoint: Endpoint, region: str) -> JsonObject:
    """DescribeEndpoint's response; it has variants, with the images that they run, once the endpoint was in service."""
    config, models = endpoint.config.request, endpoint.config.models
    optional = {
        "FailureReason": endpoint.failure,
        "AsyncInferenceConfig": config.get("AsyncInferenceConfig"),
        "DataCaptureConfig": config.get("DataCaptureConfig"),
        "LastDeploymentConfig": endpoint.deployment,
        "PendingDeploymentSummary": {"EndpointConfigName": endpoint.pending.name} if endpoint.pending else None,
    }
    present = {key: value for key, value in optional.items() if value is not None}
    if endpoint.counts:
        present["ProductionVariants"] = [
            _variant(item, endpoint, region, models[item["ModelName"]]) for item in config["ProductionVariants"]
        ]
    return {**summary(endpoint), "EndpointConfigName": endpoint.config.name, **present}


def _resolved(image: str, endpoint: Endpoint, region: str) -> str:
    return f"{re.split('[:@]', image)[0]}@{endpoint.image or moto_state.image_digest(image, region)}"


def _variant(variant: JsonObject, endpoint: Endpoint, region: str, model: JsonObject) -> JsonObject:
    count = endpoint.counts.get(variant["VariantName"], 0)
    desired = endpoint.next_counts.get(variant["VariantName"], 0) if endpoint.resizing else count
    weight = variant.get("InitialVariantWeight", 1.0)
    kinds = endpoint.kinds.get(variant["VariantName"], {})
    pools = [{"InstanceType": kind, "CurrentInstanceCount": kinds.get(kind, 0)} for kind in instance_kinds(variant)]
    containers = model.get("Containers") or [model.get("PrimaryContainer", {})]
    images = [container["Image"] for container in containers if "Image" in container]
    return {
        "VariantName": variant["VariantName"],
        "DeployedImages": [
            {
                "SpecifiedImage": image,
                "ResolvedImage": _resolved(image, endpoint, region),
                "ResolutionTime": endpoint.created,
            }
            for image in images
        ],
        "CurrentWeight": weight,
        "DesiredWeight": weight,
        "CurrentInstanceCount": count,
        "DesiredInstanceCount": desired,
        **({"InstancePools": pools} if "InstancePools" in variant else {}),
    }
