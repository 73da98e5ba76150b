from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import pytest

from sagepack.aws import ecr
from sagepack.deploy.drift import differences
from sagepack.deploy.observe import observe
from sagepack.deploy.reconcile import reconcile
from sagepack.deploy.waiter import WaiterConfig
from sagepack.errors import RemoteError, UserError
from sagepack.progress import Silent
from sagepack.sandbox.aws.hosting import DeploymentOutcome
from tests.helpers import deployments
from tests.helpers.deployments import deployment, published

if TYPE_CHECKING:
    from sagepack.aws.session import Aws
    from sagepack.deploy.change import Change
    from sagepack.deploy.deployment import Deployment
    from sagepack.sandbox.servers import Servers

OTHER = f"sha256:{'e' * 64}"
WAITER = WaiterConfig(delay=0.01, timeout=30)
INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


@pytest.fixture
def aws(sandbox: Servers) -> Aws:
    return deployments.session_of(sandbox)


def changes(aws: Aws, value: Deployment) -> list[Change]:
    return differences(value, observe(aws, value.owner))


def reasons(aws: Aws, value: Deployment) -> list[tuple[str, str]]:
    return [(change.kind, change.reason) for change in changes(aws, value)]


def test_an_endpoint_that_runs_another_image_than_the_locked_one_is_no_success(aws: Aws, sandbox: Servers) -> None:
    value = published(aws, deployment())
    sandbox.aws.scenario.end_deployments("svd", DeploymentOutcome(image=OTHER))
    with pytest.raises(RemoteError, match="runs another image than the locked one") as caught:
        reconcile(aws, value, Silent(), WAITER)
    assert OTHER in caught.value.message
    ((kind, reason),) = reasons(aws, value)
    assert kind == "update"
    assert reason == f"image: sha256:{'e' * 12} -> {value.image_uri.partition('@')[2][:19]}"
    reconcile(aws, value, Silent(), WAITER)
    assert changes(aws, value) == []


def test_a_model_that_was_made_again_with_another_image_is_replaced(aws: Aws) -> None:
    value, progress = published(aws, deployment()), deployments.RecordedProgress()
    reconcile(aws, value, Silent(), WAITER)
    other = dataclasses.replace(value, image_uri=f"{value.image_uri.partition('/')[0]}/{_second_image()}")
    sagemaker = aws.client("sagemaker")
    sagemaker.delete_model(ModelName=value.model_name)
    sagemaker.create_model(**{**other.create_model_request, "ModelName": value.model_name})
    ((kind, reason),) = reasons(aws, value)
    assert (kind, reason.partition(":")[0]) == ("restore", "image")
    reconcile(aws, value, progress, WAITER)
    assert "somebody made again with another image" in progress.text
    assert sagemaker.describe_model(ModelName=value.model_name)["PrimaryContainer"]["Image"] == value.image_uri
    assert changes(aws, value) == []


def _second_image() -> str:
    from sagepack.sandbox.aws.moto_state import tag_digest  # noqa: PLC0415 - moto is imported late
    from sagepack.spec import images  # noqa: PLC0415 - with it

    repository = images.repository()
    return f"{repository}@{tag_digest(repository, images.known_tags()[0])}"


@pytest.fixture
def index(aws: Aws) -> tuple[str, str]:
    """The URI of a list of images in a registry of the account, and the digest of one of them."""
    registry: Any = aws.client("ecr")
    registry.create_repository(repositoryName="mirror")

    def put(media_type: str, **more: Any) -> str:
        manifest = json.dumps({"schemaVersion": 2, "mediaType": media_type, **more})
        put = registry.put_image(repositoryName="mirror", imageManifest=manifest, imageManifestMediaType=media_type)
        return str(put["image"]["imageId"]["imageDigest"])

    config = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": OTHER, "size": 1}
    single = put(MANIFEST, config=config, layers=[])
    whole = put(INDEX, manifests=[{"mediaType": MANIFEST, "digest": single, "size": 1}])
    return f"123456789012.dkr.ecr.us-east-1.amazonaws.com/mirror@{whole}", single


def test_the_image_for_the_platform_out_of_a_locked_list_of_images_is_the_locked_one(
    aws: Aws, sandbox: Servers, index: tuple[str, str]
) -> None:
    uri, single = index
    assert ecr.members(aws, uri) == {single}
    assert ecr.members(aws, f"{uri.partition('@')[0]}@{single}") == frozenset()
    value = dataclasses.replace(published(aws, deployment()), image_uri=uri)
    sandbox.aws.scenario.end_deployments("svd", DeploymentOutcome(image=single))
    reconcile(aws, value, Silent(), WAITER)
    assert changes(aws, value) == []


def test_a_registry_that_may_not_be_read_makes_no_difference(aws: Aws, sandbox: Servers) -> None:
    value = published(aws, deployment())
    sandbox.aws.scenario.end_deployments("svd", DeploymentOutcome(image=OTHER))
    sandbox.aws.denied.set(["ecr:BatchGetImage"])
    reconcile(aws, value, Silent(), WAITER)
    assert changes(aws, value) == []
    live = observe(aws, value.owner)
    assert live is not None
    assert live.image is not None
    assert live.image.members is None


def test_only_images_of_a_registry_by_digest_have_members(aws: Aws) -> None:
    with pytest.raises(UserError, match="not the URI of an image"):
        ecr.members(aws, "public.ecr.aws/x:latest")
    with pytest.raises(UserError, match="no image with this digest"):
        ecr.members(aws, f"{deployment().image_uri.partition('@')[0]}@{OTHER}")
