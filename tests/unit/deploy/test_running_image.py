from __future__ import annotations

from typing import Any

import pytest

from sagepack.aws.sagemaker import DeployedImage, Endpoint, EndpointVariant
from sagepack.deploy.running_image import RunningImage, require_image
from tests.helpers.deployments import ARN, MOMENT, FakeClock, deployment, described, stubbed

ONE, TWO, THREE = (f"registry/repository@sha256:{digit * 64}" for digit in "123")
DIGEST = THREE.partition("@")[2]


@pytest.mark.parametrize(
    ("image", "differs"),
    [
        (RunningImage(ONE, ONE), False),
        (RunningImage(TWO, TWO), True),  # the model names another one
        (RunningImage("registry/repository:tag", TWO), True),
        (RunningImage("registry/repository:tag", ONE), False),
        (RunningImage(ONE, THREE), True),
        (RunningImage(ONE, THREE, frozenset({DIGEST})), False),  # a list of images has it
        (RunningImage(ONE, THREE, None), False),  # nobody could say
        (RunningImage(TWO, THREE, None), True),
    ],
)
def test_an_image_differs_only_if_that_is_known(image: RunningImage, differs: bool) -> None:
    assert image.is_known_to_differ(ONE) is differs


def test_the_description_of_the_image_from_before_an_update_is_no_failure() -> None:
    value, time = deployment(), FakeClock()
    aws, stubs = stubbed("sagemaker")
    old = EndpointVariant("AllTraffic", deployed_images=(DeployedImage(ONE, ONE),))
    endpoint = Endpoint(ARN, "InService", MOMENT, value.endpoint_config_name, production_variants=(old,))
    images = [{"SpecifiedImage": value.image_uri, "ResolvedImage": value.image_uri}]
    now: dict[str, Any] = described("InService", value.endpoint_config_name)
    now["ProductionVariants"] = [{"VariantName": "AllTraffic", "DeployedImages": images}]
    stubs["sagemaker"].add_response("describe_endpoint", now)
    require_image(aws, value, endpoint, time.waiter().brief)
    assert time.now == 15
