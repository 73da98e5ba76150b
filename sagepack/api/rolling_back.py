"""Back to a release that was deployed before: its model and configuration exist, so nothing is built, uploaded or made.

The reconciler makes the endpoint serve them as it does for `deploy`, with the same waits and checks; scaling and tags become
those of the release. A rollback is a deployment, so it leaves a record of its own.
"""

from __future__ import annotations

from datetime import datetime, timezone
from itertools import islice
from typing import TYPE_CHECKING, Any

from msgspec import structs

from sagepack.api import comparing, history, results
from sagepack.aws import identity, sagemaker
from sagepack.aws.s3 import S3Uri
from sagepack.deploy import record as records
from sagepack.deploy import recorded
from sagepack.deploy.deployment import Owner, ReleaseTag, tag_list
from sagepack.deploy.drift import differences
from sagepack.deploy.manager import require_unmanaged
from sagepack.deploy.observe import observe_declared
from sagepack.deploy.overview import require_owned
from sagepack.deploy.reconcile import reconcile
from sagepack.deploy.smoke_result import Smoke
from sagepack.deploy.waiter import WaiterConfig
from sagepack.engine import executor, signed
from sagepack.errors import SagepackError, UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagepack.api.history import Release
    from sagepack.deploy.reconcile import ReconcileResult
    from sagepack.deploy.record import DeploymentRecord
    from sagepack.engine.context import BuildContext

_NOT_TRIED = Smoke(passed=False, reason="it was deployed before")
_LOOKED_AT = 200  # releases, for the one before


def review(context: BuildContext, to: str) -> results.Rollback:
    """What a rollback would do. Changes nothing.

    Args:
        context: of the spec and environment.
        to: the release, as `history.find` takes it; empty for the one before the one that serves.

    Raises:
        UserError: there is no such release, or its model, configuration or package was deleted; or the endpoint does not exist, or
            belongs to something else.
        RemoteError: AWS failed after retries.
    """
    release = _chosen(context, to)
    _deployment(context, release)
    found = comparing.compare(context, comparing.LIVE, str(release.location))
    return _result(context, release, diff=found)


def roll_back(context: BuildContext, to: str) -> results.Rollback:
    """Make the endpoint serve a release again; raises as `review` and as the step `deploy`. Where it does, no step runs."""
    with executor.exclusive(context):
        release = _chosen(context, to)
        deployment = _deployment(context, release)
        aws, waiter = context.clients.aws, WaiterConfig.of(context.spec)
        found = observe_declared(aws, deployment)
        newest = next(history.releases(context), release)
        # A rollback that was interrupted before its record has nothing left to change.
        is_recorded = newest.record.config == release.record.config
        if is_recorded and not differences(deployment, found):
            return _result(context, release, changes=())
        with context.progress.step("deploy", [f"back to release {release.number}"]):
            deployed = reconcile(
                aws, deployment, context.progress, waiter, recreate=context.recreate, look=lambda: found
            )
            context.progress.done(f"endpoint {deployed.endpoint_name} serves model {deployed.model_name}")
        if deployed.changes or not is_recorded:
            _record(context, release, deployed)
    return _result(context, release, changes=deployed.changes)


def _chosen(context: BuildContext, to: str) -> Release:
    """The release that an endpoint goes back to.

    Raises:
        UserError: there is none.
    """
    owner, aws = Owner.of(context.spec), context.clients.aws
    where = f"endpoint {owner.endpoint_name}"
    endpoint = sagemaker.describe_endpoint(aws, owner.endpoint_name)
    if endpoint is None:
        fix = "run `invoke deploy`; what `invoke destroy` removed cannot be rolled back to"
        raise UserError("there is no such endpoint", where=where, fix=fix)
    tags = sagemaker.list_tags(aws, endpoint.endpoint_arn)
    require_owned(owner, tags)
    require_unmanaged(
        owner.endpoint_name, tags, "go back in git, run `invoke export`, and let that tool take what it wrote"
    )
    if to:
        release = history.find(context, to, "--to")
    else:
        known = tuple(islice(history.releases(context), _LOOKED_AT))
        if not known:
            fix = "mend code, model or settings and run `invoke deploy`; `invoke destroy` removes the endpoint"
            raise UserError("no release is recorded that it could go back to", where=where, fix=fix)
        serves = endpoint.pending_endpoint_config_name or endpoint.endpoint_config_name
        found = previous(known, serves)
        if found is None:
            fix = "`invoke releases` lists all: --to goes to a later one, and `invoke deploy` of an older commit makes one again"
            raise UserError("what serves is the first release that is recorded", where=where, fix=fix)
        if (failed := ReleaseTag.failed_since(tags)) and failed.config != serves:
            message = f"{failed.config} failed its smoke test, and the release before it was put back"
            raise UserError(message, where=where, fix=f"--to {found.number} goes back one release further")
        release = found
    if release.record.endpoint != owner.endpoint_name:
        raise UserError(
            f"release {release.number} is of endpoint {release.record.endpoint}",
            where=where,
            fix="write the endpoint.name that the spec had then",
        )
    return release


def previous(releases: Sequence[Release], serves: str) -> Release | None:
    """The release before the one that serves; None if there is none.

    What was rolled back to counts as the release that it was, so that a second rollback goes further back. A rollback that was
    interrupted has left no record: the same command chooses the same release.

    Args:
        releases: newest first.
        serves: the endpoint configuration that serves, or to which an update is going on.
    """
    if not releases:
        return None
    newest, older = releases[0], releases[1:]
    if newest.record.rolled_back_to:
        older = _before_original(older, newest.record)
    before = next((each for each in older if each.record.config != newest.record.config), None)
    if serves == newest.record.config or (before is not None and serves == before.record.config):
        return before
    return newest  # what serves was never recorded


def _before_original(releases: Sequence[Release], rollback: DeploymentRecord) -> Sequence[Release]:
    """The releases before the one that a rollback repeats; where its record is gone, before the first of its configuration."""
    places = [place for place, each in enumerate(releases, 1) if str(each.location) == rollback.rolled_back_to]
    places = places or [place for place, each in enumerate(releases, 1) if each.record.config == rollback.config]
    return releases[places[-1] :] if places else releases


def _deployment(context: BuildContext, release: Release) -> recorded.RecordedDeployment:
    """The deployment of a release, all of which still exists.

    Raises:
        UserError: its model, configuration or package was deleted, or the package is not signed and has to be.
        IntegrityError: the package is not what was signed.
    """
    found = recorded.of_record(context.clients.aws, release.record)
    package, s3 = S3Uri.parse(found.model_data_uri), context.clients.s3
    is_prefix = found.layout == "prefix"
    is_there = any(islice(s3.list(package), 1)) if is_prefix else s3.head(package) is not None
    if not is_there:
        commit = release.record.commit
        again = f"deploy commit {commit} of the project" if commit else "deploy the code that it was made from"
        raise UserError(
            f"the package of release {release.number} was deleted, so no instance of it could start",
            where=str(package),
            fix=f"{again}, which publishes it again; or choose another release with --to",
        )
    commit = release.record.commit
    code = f"commit {commit[:12]} of the project" if commit else "the code that it was made from"
    signed.require_signed(context, found, f"release {release.number}", code, "; or choose another release with --to")
    return found


def _record(context: BuildContext, release: Release, deployed: ReconcileResult) -> None:
    """Keep who rolled back, and tag the endpoint with it. It serves, whether or not that can be written down: a note says so."""
    aws, now = context.clients.aws, datetime.now(timezone.utc)
    try:
        by = identity.caller(aws).arn
        written = structs.replace(
            release.record, deployed=now, by=by, smoke=_NOT_TRIED, rolled_back_to=_origin(release)
        )
        location = records.write(context.clients.s3, records.records_uri(context.spec), written)
        tag = ReleaseTag(release.record.config, records.time_of(location))
        sagemaker.add_tags(aws, deployed.endpoint_arn, tag_list(tag.tags))
    except SagepackError as error:
        context.progress.note(f"the endpoint serves, but the rollback is not recorded: {error}")


def _origin(release: Release) -> str:
    """The record of the deployment that a rollback goes back to, also where that was a rollback itself."""
    return release.record.rolled_back_to or str(release.location)


def _result(context: BuildContext, release: Release, **outcome: Any) -> results.Rollback:
    return results.Rollback(
        endpoint=context.spec.endpoint.name,
        record=str(release.location),
        commit=release.record.commit,
        model=release.record.model,
        config=release.record.config,
        **outcome,
    )
