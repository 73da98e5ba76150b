"""deploy: the live endpoint is observed, and made what the spec says. Nothing about it is remembered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagepack.engine import lazy
from sagepack.engine.outputs import LiveEndpoint
from sagepack.engine.plan import UNKNOWN, Step, StepStatus
from sagepack.spec import images

if TYPE_CHECKING:
    from sagepack.aws import console, logs
    from sagepack.deploy import drift, reconcile
    from sagepack.engine import release
    from sagepack.engine.context import BuildContext
else:
    console = lazy.module("aws.console")
    release = lazy.module("engine.release")
    logs = lazy.module("aws.logs")
    drift = lazy.module("deploy.drift")
    reconcile = lazy.module("deploy.reconcile")


def status(context: BuildContext) -> StepStatus:
    """What differs between the endpoint as it is and as declared."""
    if context.current_lock is None:
        return UNKNOWN
    desired, observed = context.pinned_deployment, context.endpoint
    changes = [*drift.differences(desired, observed), *drift.release_differences(desired, observed)]
    return StepStatus.observed(
        {"config": desired.endpoint_config_name},
        tuple(change.reason for change in changes),
        changes=tuple(changes),
        done=f"endpoint {desired.endpoint_name} serves model {desired.model_name}",
    )


def run(context: BuildContext) -> None:
    """Create or update the endpoint, wait until it serves, and see that it answers.

    Raises:
        UserError: SageMaker refused data, role, image or quota, or the endpoint belongs to something else; or the package is not
            signed, and has to be.
        PackageError: it is not what was signed.
        RemoteError: the endpoint failed, went back to its old configuration, or did not answer the sample as expected.
    """
    desired = context.deployment
    if context.spec.trust.verify:  # after the upload, so that nothing counts that was seen before it
        desired = desired.pinned(context.publication.require_signed(context.progress).etag)
    new = release.Release.of(context, desired)
    deployed = reconcile.reconcile(
        context.clients.aws,
        desired,
        context.progress,
        new.waiter,
        recreate=context.recreate,
        look=lambda: context.endpoint,
    )
    new.finish(deployed)
    context.progress.done(f"endpoint {deployed.endpoint_name} serves model {deployed.model_name}")


def result(context: BuildContext) -> dict[str, LiveEndpoint]:
    """The endpoint and what it serves."""
    desired, aws = context.deployment, context.spec.aws
    partition, name = images.partition(aws.region), desired.endpoint_name
    is_real = not context.spec.sandbox
    return {
        "endpoint": LiveEndpoint(
            name=name,
            # SageMaker writes names in lower case in ARNs.
            arn=f"arn:{partition}:sagemaker:{aws.region}:{aws.account}:endpoint/{name.lower()}",
            region=aws.region,
            model=desired.model_name,
            config=desired.endpoint_config_name,
            console=console.endpoint_page(partition, aws.region, name) if is_real else None,
            log=console.log_page(partition, aws.region, logs.log_group(name)) if is_real else None,
        )
    }


STEP = Step("deploy", needs=("upload",), version=1, status=status, run=run, result=result, writes_to_aws=True)
