"""deploy: the live endpoint is observed, and made what the spec says. Nothing about it is remembered."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

import msgspec

from sagepack.digest import Digest
from sagepack.engine import lazy
from sagepack.engine.outputs import LiveEndpoint
from sagepack.engine.plan import UNKNOWN, Step, StepStatus
from sagepack.errors import SagepackError
from sagepack.spec import images

if TYPE_CHECKING:
    from sagepack.aws import console, identity, logs
    from sagepack.deploy import deployment, drift, observe, reconcile, record, waiter
    from sagepack.engine import git
    from sagepack.engine.context import BuildContext
else:
    console = lazy.module("aws.console")
    git = lazy.module("engine.git")
    identity = lazy.module("aws.identity")
    logs = lazy.module("aws.logs")
    deployment = lazy.module("deploy.deployment")
    drift = lazy.module("deploy.drift")
    observe = lazy.module("deploy.observe")
    reconcile = lazy.module("deploy.reconcile")
    record = lazy.module("deploy.record")
    waiter = lazy.module("deploy.waiter")


def status(context: BuildContext) -> StepStatus:
    """What differs between the endpoint as it is and as declared."""
    if context.current_lock is None:
        return UNKNOWN
    desired = desired_deployment(context)
    changes = drift.differences(desired, observe.observe(context.clients.aws, desired.owner))
    return StepStatus.observed(
        {"config": desired.endpoint_config_name},
        tuple(change.reason for change in changes),
        changes=tuple(changes),
        done=f"endpoint {desired.endpoint_name} serves model {desired.model_name}",
    )


def run(context: BuildContext) -> None:
    """Create or update the endpoint and wait until it serves.

    Raises:
        UserError: SageMaker refused data, role, image or quota, or the endpoint belongs to something else.
        RemoteError: the endpoint failed or went back to its old configuration.
    """
    deployed = reconcile.reconcile(
        context.clients.aws, desired_deployment(context), context.progress, waiter.WaiterConfig.of(context.spec)
    )
    if deployed.changes:
        _record(context)
    context.progress.done(f"endpoint {deployed.endpoint_name} serves model {deployed.model_name}")


def _record(context: BuildContext) -> None:
    """Keep who deployed what. The endpoint serves, whether or not that can be written down: then a note says so."""
    desired, spec, head = desired_deployment(context), context.spec, git.head(context.work.root)
    try:
        written = record.DeploymentRecord(
            name=spec.name,
            env=spec.env,
            endpoint=desired.endpoint_name,
            deployed=datetime.now(timezone.utc),
            by=identity.caller(context.clients.aws).arn,
            commit=head.commit if head else None,
            clean=head.clean if head else None,
            manifest=str(desired.manifest_digest),
            package=desired.model_data_uri,
            lock=str(Digest.sha256(context.work.lock_path.read_bytes())),
            image=desired.image_uri,
            model=desired.model_name,
            config=desired.endpoint_config_name,
            variables=tuple(sorted(desired.environment)),
            settings=msgspec.to_builtins(spec.endpoint),
        )
        record.write(context.clients.s3, record.records_uri(spec), written)
    except (SagepackError, OSError) as error:
        context.progress.note(f"the endpoint serves, but the deployment is not recorded: {error}")


def result(context: BuildContext) -> dict[str, LiveEndpoint]:
    """The endpoint and what it serves."""
    desired, aws = desired_deployment(context), context.spec.aws
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


def desired_deployment(context: BuildContext) -> deployment.Deployment:
    """The deployment that spec, lock and code declare."""
    uri = str(context.publication.package.model_uri)
    return deployment.Deployment.of(context.spec, context.required_lock(), uri, context.manifest.digest)


STEP = Step("deploy", needs=("upload",), version=1, status=status, run=run, result=result, writes_to_aws=True)
