"""deploy: the live endpoint is looked at, and made what the spec says. Nothing about it is remembered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagepack.deploy.deployment import Deployment
from sagepack.deploy.drift import differences
from sagepack.deploy.observe import observe
from sagepack.deploy.reconcile import reconcile
from sagepack.deploy.waiter import WaiterConfig
from sagepack.engine.plan import StepStatus

if TYPE_CHECKING:
    from sagepack.engine.context import BuildContext

VERSION = 1


def fact(build: BuildContext) -> StepStatus:
    """What differs between the endpoint as it is and as declared."""
    if build.answered is None:
        return StepStatus(VERSION)
    wanted = deployment(build)
    changes = differences(wanted, observe(build.services.aws, wanted.owner))
    trouble = tuple(f"{change.kind}: {change.reason}" for change in changes)
    done = f"endpoint {wanted.endpoint_name} serves {wanted.endpoint_config_name}"
    return StepStatus(VERSION, {"config": wanted.endpoint_config_name}, trouble=trouble, observed=True, done=done)


def run(build: BuildContext) -> None:
    """Create or update the endpoint and wait until it serves.

    Raises:
        UserError: SageMaker refused data, role, image or quota, or the endpoint is somebody else's.
        RemoteError: the endpoint failed or went back to its old configuration.
    """
    deployed = reconcile(build.services.aws, deployment(build), build.progress, WaiterConfig.of(build.spec))
    build.progress.note(f"deploy: endpoint {deployed.endpoint_name} serves model {deployed.model_name}")


def deployment(build: BuildContext) -> Deployment:
    """The deployment that spec, lock and code stand for."""
    return Deployment.of(build.spec, build.require_lock(), str(build.services.package.model), build.manifest.digest)
