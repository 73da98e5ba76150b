"""Which image the instances of an endpoint run: SageMaker resolves the one that the model names, and describes the result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sagepack.aws import ecr, sagemaker
from sagepack.deploy.deployment import VARIANT_NAME
from sagepack.errors import RemoteError, SagepackError

if TYPE_CHECKING:
    from sagepack.aws.sagemaker import Endpoint
    from sagepack.aws.session import Aws
    from sagepack.deploy.deployment import Deployment
    from sagepack.deploy.waiter import WaiterConfig


@dataclass(frozen=True)
class RunningImage:
    """The image that the instances of an endpoint run.

    Attributes:
        specified: the image that the model named when the instances were made ready.
        resolved: what that was then, by digest.
        members: the digests of the images in `specified`, if that is a list of images for several platforms; None if the
            registry could not be asked, and it is not known whether `resolved` is one of them.
    """

    specified: str
    resolved: str
    members: frozenset[str] | None = frozenset()

    def is_known_to_differ(self, declared: str) -> bool:
        """Whether the instances run another image than `declared`, which is named by digest.

        That a registry could not be asked says nothing.
        """
        digest = _digest(declared)
        if _digest(self.resolved) == digest:
            return False
        return _digest(self.specified) != digest or (
            self.members is not None and _digest(self.resolved) not in self.members
        )


def running_image(aws: Aws, endpoint: Endpoint) -> RunningImage | None:
    """The image that `endpoint` runs; None if SageMaker does not describe it, as before it first serves.

    The registry is asked only if SageMaker runs another digest than the model names. That SageMaker resolves a list of images
    for several platforms to the one that it runs is how container engines do it; for endpoints it could not be observed.
    """
    deployed = endpoint.deployed_image(VARIANT_NAME)
    if deployed is None or deployed.resolved_image is None:
        return None
    image = RunningImage(deployed.specified_image or "", deployed.resolved_image)
    wanted = _digest(image.specified)
    if wanted is None or wanted == _digest(image.resolved):
        return image
    try:
        return RunningImage(image.specified, image.resolved, ecr.members(aws, image.specified))
    except SagepackError:
        return RunningImage(image.specified, image.resolved, None)


def require_image(aws: Aws, deployment: Deployment, endpoint: Endpoint, waiter: WaiterConfig) -> None:
    """Check that an endpoint which was just deployed does not run another image than `deployment` says.

    Args:
        aws: the session.
        deployment: what the endpoint should be.
        endpoint: the endpoint, in service.
        waiter: how long SageMaker may describe the image from before.

    Raises:
        RemoteError: it does.
    """
    image, live, declared = None, endpoint, deployment.image_uri
    for _ in waiter.attempts():
        image = running_image(aws, live)
        if image is None or not image.is_known_to_differ(declared):
            return
        live = sagemaker.describe_endpoint(aws, deployment.endpoint_name) or live
    raise RemoteError(
        f"the endpoint serves, but runs another image than the locked one: {image and image.resolved}, not {declared}",
        where=f"endpoint {deployment.endpoint_name}",
        fix="find out who else changes the model of this endpoint; the same command tries to replace what runs",
    )


def _digest(image: str) -> str | None:
    return image.partition("@")[2] or None
