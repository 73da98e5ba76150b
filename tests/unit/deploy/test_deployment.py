from __future__ import annotations

import json

import pytest
from msgspec import structs

from sagepack.aws.service_model import shape
from sagepack.deploy.deployment import TAG_MANAGED_BY, Deployment, Owner, ReleaseTag
from sagepack.errors import UserError
from sagepack.spec.keys import build
from sagepack.spec.model import InstancePool, Vpc
from sagepack.spec.validate import SCHEMA
from tests.helpers.deployments import BUCKET, MANIFEST, ROLE, changed, deployment, lock, spec, violations

TAGS = [
    {"Key": "sagepack:endpoint", "Value": "svd"},
    {"Key": "sagepack:env", "Value": "local"},
    {"Key": "sagepack:manifest", "Value": str(MANIFEST)},
    {"Key": "sagepack:name", "Value": "svd"},
    {"Key": "team", "Value": "video"},
]


def test_the_create_model_request_names_the_image_by_digest_and_the_data_by_content() -> None:
    value = deployment()
    assert "@sha256:" in value.image_uri
    assert value.create_model_request == {
        "ModelName": "svd-7a2fc9c6e509",
        "PrimaryContainer": {
            "Image": lock().image_uri,
            "ModelDataSource": {
                "S3DataSource": {
                    "S3Uri": f"s3://{BUCKET}/models/svd/{MANIFEST.short}/model.tar.gz",
                    "S3DataType": "S3Object",
                    "CompressionType": "Gzip",
                }
            },
            "Environment": {"MMS_MAX_RESPONSE_SIZE": "100000000"},
        },
        "ExecutionRoleArn": ROLE,
        "EnableNetworkIsolation": False,
        "Tags": TAGS,
    }


def test_the_create_endpoint_config_request_has_one_asynchronous_variant() -> None:
    value = deployment()
    assert value.create_endpoint_config_request == {
        "EndpointConfigName": value.endpoint_config_name,
        "ProductionVariants": [
            {
                "VariantName": "AllTraffic",
                "ModelName": value.model_name,
                "InitialInstanceCount": 1,
                "InstanceType": "ml.g5.2xlarge",
                "ModelDataDownloadTimeoutInSeconds": 1800,
                "ContainerStartupHealthCheckTimeoutInSeconds": 900,
            }
        ],
        "AsyncInferenceConfig": {
            "ClientConfig": {"MaxConcurrentInvocationsPerInstance": 1},
            "OutputConfig": {
                "S3OutputPath": f"s3://{BUCKET}/async/svd/output/",
                "S3FailurePath": f"s3://{BUCKET}/async/svd/failure/",
            },
        },
        "MetricsConfig": {"EnableDetailedObservability": False},
        "Tags": TAGS,
    }


def test_optional_settings_are_requested_if_they_are_declared() -> None:
    value = deployment(volume_size_in_gb=64, inference_ami_version="al2-ami-sagemaker-inference-gpu-3-1")
    topics = structs.replace(value.endpoint.asynchronous, success_topic="arn:aws:sns:us-east-1:123456789012:done")
    config = changed(value, asynchronous=topics).create_endpoint_config_request
    assert config["ProductionVariants"][0]["VolumeSizeInGB"] == 64
    assert config["ProductionVariants"][0]["InferenceAmiVersion"] == "al2-ami-sagemaker-inference-gpu-3-1"
    output = config["AsyncInferenceConfig"]["OutputConfig"]
    assert output["NotificationConfig"] == {"SuccessTopic": "arn:aws:sns:us-east-1:123456789012:done"}


def test_detailed_observability_is_off_unless_it_is_declared() -> None:
    """SageMaker's own default for a new configuration is on."""
    one, two = deployment(), deployment(detailed_observability=True)
    assert one.create_endpoint_config_request["MetricsConfig"] == {"EnableDetailedObservability": False}
    assert two.create_endpoint_config_request["MetricsConfig"] == {"EnableDetailedObservability": True}
    assert one.endpoint_config_name != two.endpoint_config_name


def test_keys_for_volumes_and_for_results_are_requested_if_they_are_declared() -> None:
    value = deployment(kms_key_id="alias/volumes")
    results = structs.replace(value.endpoint.asynchronous, kms_key_id="alias/results")
    request = changed(value, asynchronous=results).create_endpoint_config_request
    assert request["KmsKeyId"] == "alias/volumes"
    assert request["AsyncInferenceConfig"]["OutputConfig"]["KmsKeyId"] == "alias/results"
    assert violations("sagemaker", "CreateEndpointConfig", request) == []


def test_a_vpc_is_part_of_the_model_whatever_the_order_of_its_subnets() -> None:
    def network(*subnets: str) -> Vpc:
        return build(Vpc, {"subnets": list(subnets), "security_group_ids": ["sg-01234567"]})

    value = deployment(vpc=network("subnet-01234568", "subnet-01234567"))
    request = value.create_model_request
    assert request["VpcConfig"] == {
        "Subnets": ["subnet-01234567", "subnet-01234568"],
        "SecurityGroupIds": ["sg-01234567"],
    }
    assert violations("sagemaker", "CreateModel", request) == []
    assert deployment(vpc=network("subnet-01234567", "subnet-01234568")).model_name == value.model_name
    assert "VpcConfig" not in deployment().create_model_request


def test_pools_take_the_place_of_the_instance_type() -> None:
    pools = (InstancePool("ml.g6.2xlarge", 2), InstancePool("ml.g5.2xlarge", 1))
    value = deployment(instance_type=None, instance_pools=pools, variant_instance_provision_timeout_in_seconds=600)
    (variant,) = value.create_endpoint_config_request["ProductionVariants"]
    assert variant["InstancePools"] == [
        {"InstanceType": "ml.g6.2xlarge", "Priority": 2},
        {"InstanceType": "ml.g5.2xlarge", "Priority": 1},
    ]
    assert variant["VariantInstanceProvisionTimeoutInSeconds"] == 600
    assert "InstanceType" not in variant
    assert value.endpoint.instance_types == ("ml.g5.2xlarge", "ml.g6.2xlarge")
    assert violations("sagemaker", "CreateEndpointConfig", value.create_endpoint_config_request) == []
    (single,) = deployment().create_endpoint_config_request["ProductionVariants"]
    assert "InstancePools" not in single


def test_a_prefix_is_read_uncompressed() -> None:
    assert deployment(layout="prefix").create_model_request["PrimaryContainer"]["ModelDataSource"] == {
        "S3DataSource": {
            "S3Uri": f"s3://{BUCKET}/models/svd/{MANIFEST.short}/",
            "S3DataType": "S3Prefix",
            "CompressionType": "None",
        }
    }


@pytest.mark.parametrize(("layout", "uri"), [("archive", "s3://b/x/"), ("prefix", "s3://b/x/model.tar.gz")])
def test_an_artifact_of_the_other_layout_is_refused(layout: str, uri: str) -> None:
    with pytest.raises(UserError, match="is not an artifact of layout"):
        Deployment.of(spec(layout=layout), lock(), uri, MANIFEST)


@pytest.mark.parametrize("layout", ["archive", "prefix"])
@pytest.mark.parametrize("name", ["svd", "s", "a" * 63, "a" * 49 + "-" + "b" * 13])
def test_every_request_is_within_what_the_service_model_allows(name: str, layout: str) -> None:
    value = deployment(name, layout=layout, volume_size_in_gb=512)
    assert violations("sagemaker", "CreateModel", value.create_model_request) == []
    assert violations("sagemaker", "CreateEndpointConfig", value.create_endpoint_config_request) == []
    assert violations("sagemaker", "CreateEndpoint", value.create_endpoint_request) == []
    assert violations("sagemaker", "UpdateEndpoint", value.update_endpoint_request(retain_instance_count=True)) == []
    assert violations("sagemaker", "UpdateEndpoint", value.update_endpoint_request(retain_instance_count=False)) == []
    assert value.owner.matches_name(value.model_name)
    assert value.owner.matches_name(value.endpoint_config_name)


def test_the_checker_of_requests_finds_violations() -> None:
    bad = changed(deployment(), instance_type="ml.nope", volume_size_in_gb=9999).create_endpoint_config_request
    assert len(violations("sagemaker", "CreateEndpointConfig", {**bad, "EndpointConfigName": "a" * 64})) == 3


def test_another_environment_variable_gives_the_model_and_the_config_other_names() -> None:
    one, two = deployment(), deployment(environment={"MMS_MAX_RESPONSE_SIZE": "1"})
    assert one.model_name != two.model_name
    assert one.endpoint_config_name != two.endpoint_config_name
    assert one.endpoint_name == two.endpoint_name


def test_another_instance_type_changes_the_name_of_the_config_only() -> None:
    one, two = deployment(), deployment(instance_type="ml.g5.4xlarge")
    assert one.model_name == two.model_name
    assert one.endpoint_config_name != two.endpoint_config_name


def test_tags_and_scaling_change_no_name() -> None:
    one, two = deployment(), deployment(tags={"team": "audio"})
    assert (one.model_name, one.endpoint_config_name) == (two.model_name, two.endpoint_config_name)


def test_a_declared_tag_cannot_replace_a_tag_of_the_owner() -> None:
    assert deployment(tags={"sagepack:name": "other"}).tags["sagepack:name"] == "svd"


def test_an_update_retains_the_instance_count_only_on_request() -> None:
    value = deployment()
    assert value.update_endpoint_request(retain_instance_count=False) == {
        "EndpointName": "svd",
        "EndpointConfigName": value.endpoint_config_name,
        "RetainAllVariantProperties": False,
    }
    kept = value.update_endpoint_request(retain_instance_count=True)
    assert kept["RetainAllVariantProperties"] is True
    assert {"VariantPropertyType": "DesiredInstanceCount"} not in kept["ExcludeRetainedVariantProperties"]


@pytest.mark.parametrize(
    ("name", "matches"),
    [
        ("svd-0123456789ab", True),
        ("svd-0123456789abc", False),
        ("svd-0123456789aX", False),
        ("svd", False),
        ("my-svd-0123456789ab", False),
        ("svd-x-0123456789ab", False),
    ],
)
def test_an_owner_matches_only_names_of_its_own_form(name: str, matches: bool) -> None:
    assert Owner("svd", "svd", "local").matches_name(name) is matches


def test_the_most_tags_that_a_spec_may_have_leave_room_for_those_of_this_program() -> None:
    """The release is tagged last of all, where a tag too many would leave a deployment that never ends."""
    schema = json.loads(SCHEMA.read_text())
    most = schema["$defs"]["endpoint"]["properties"]["tags"]["maxProperties"]
    value = deployment(tags={f"t{number}": "a" for number in range(most)})
    released = {**value.tags, **ReleaseTag("svd-0123456789ab", "2026-01-01").tags}
    exported = {**value.tags, TAG_MANAGED_BY: "cdk"}
    assert len(released) == len(exported) == shape("sagemaker", "AddTagsInput", "Tags").maximum


def test_a_resource_with_the_tags_of_another_environment_is_not_owned() -> None:
    owner = Owner("svd", "svd", "local")
    assert owner.owns({**owner.tags, "team": "video"})
    assert not owner.owns({**owner.tags, "sagepack:env": "prod"})
    assert not owner.owns({})
