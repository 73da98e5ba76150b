"""Which release is put back when a new one fails its smoke test."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from sagepack.deploy import record, recorded
from sagepack.deploy.deployment import ReleaseTag

if TYPE_CHECKING:
    from sagepack.aws.s3 import S3, S3Uri
    from sagepack.aws.session import Aws
    from sagepack.deploy.deployment import Deployment
    from sagepack.deploy.observe import EndpointState
    from sagepack.deploy.recorded import RecordedDeployment

_LOOKED_AT = 20  # records, the newest of them


def previous(
    aws: Aws, s3: S3, below: S3Uri, deployment: Deployment, before: EndpointState
) -> RecordedDeployment | None:
    """The release that counted before `deployment`; None if there is none.

    It is the one that the endpoint's tag names; without that what served, and if that is `deployment` itself, since an earlier
    run was killed before its end, what was recorded last.

    Args:
        aws: the session.
        s3: S3, which has the records.
        below: what the keys of the records begin with.
        deployment: what was deployed.
        before: the endpoint as it was before that.

    Raises:
        UserError: its model or configuration was deleted.
        RemoteError: AWS failed after retries.
    """
    new, tag, served = deployment.endpoint_config_name, ReleaseTag.of(before.tags), before.endpoint
    if tag is not None and tag.config != new:
        found = record.read(s3, below, tag.time)
        return _recorded(aws, deployment, tag.config, found)
    records = (each for _, each in islice(record.newest(s3, below), _LOOKED_AT))
    if served.endpoint_config_name not in {"", new} and served.endpoint_status != "Failed":
        name = served.endpoint_config_name
        return _recorded(aws, deployment, name, next((each for each in records if each and each.config == name), None))
    last = next(records, None)
    return recorded.of_record(aws, last) if last is not None and last.config != new else None


def _recorded(
    aws: Aws, deployment: Deployment, config: str, found: record.DeploymentRecord | None
) -> RecordedDeployment:
    """The deployment of a configuration by its record; if that is missing, with the scaling and tags of `deployment`."""
    if found is not None and found.config == config:
        return recorded.of_record(aws, found)
    return recorded.of_config(aws, deployment.owner, config, deployment.endpoint)
