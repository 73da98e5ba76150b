"""From an endpoint that is in service to a release: it is tried, recorded and tagged, in this order.

The tag comes last, so that a run that was killed before is finished by the same command. A release that fails its smoke test
does not count: the one before is put back.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

import msgspec

from sagepack.aws import identity, sagemaker
from sagepack.deploy import record, smoke
from sagepack.deploy.deployment import ReleaseTag, tag_list
from sagepack.deploy.previous import previous
from sagepack.deploy.reconcile import reconcile
from sagepack.deploy.sent import SentRequests
from sagepack.deploy.smoke_result import Smoke
from sagepack.deploy.waiter import WaiterConfig
from sagepack.digest import Digest
from sagepack.engine.signed import require_signed
from sagepack.errors import RemoteError, SagepackError
from sagepack.spec import git

if TYPE_CHECKING:
    from sagepack.deploy.deployment import Deployment
    from sagepack.deploy.reconcile import ReconcileResult
    from sagepack.deploy.recorded import RecordedDeployment
    from sagepack.engine.clients import Clients
    from sagepack.engine.context import BuildContext
    from sagepack.spec.model import Spec

_SERVES_ANOTHER = frozenset({"create", "recreate", "update"})  # changes after which something else serves
_MEND = "mend its code, model or settings, or what sample.expect asks for, and deploy again"


@dataclass(frozen=True)
class Release:
    """The release of what is being deployed, prepared before anything is changed.

    Attributes:
        context: the run.
        deployment: what is deployed.
        waiter: how often and how long to look.
        sample: what it is tried with; None if it is not tried.
        skipped: why it is not tried; None if it is.
    """

    context: BuildContext
    deployment: Deployment
    waiter: WaiterConfig
    sample: smoke.Sample | None
    skipped: str | None

    @classmethod
    def of(cls, context: BuildContext, deployment: Deployment) -> Release:
        """The release of a deployment.

        Raises:
            UserError: the sample, or what it expects, cannot be read.
        """
        spec = context.spec
        skipped = "by --no-smoke" if not context.smoke else None if spec.smoke else "the spec says smoke: false"
        sample = None if skipped else smoke.Sample.of(spec, context.work.root)
        if sample is None and skipped is None:
            skipped = "the spec has no sample"
        return cls(context, deployment, WaiterConfig.of(spec), sample, skipped)

    def finish(self, deployed: ReconcileResult) -> None:
        """Try what serves now, if nobody has, and record it.

        Raises:
            UserError: the caller may not send requests, or read their answers.
            RemoteError: the release failed its smoke test, or could not be tried.
        """
        before = deployed.before
        tag, kinds = ReleaseTag.of(before.tags) if before else None, {change.kind for change in deployed.changes}
        is_new = tag is None or tag.config != deployed.endpoint_config_name or bool(kinds & _SERVES_ANOTHER)
        if is_new:
            if kinds & _SERVES_ANOTHER:
                # Requests of an earlier smoke test were answered by whatever served then.
                shutil.rmtree(self._remembered.folder, ignore_errors=True)
            self._record(self._tried(deployed), deployed)
        elif deployed.changes:
            self._record(Smoke(passed=False, reason="what serves did not change"), deployed)

    @property
    def _remembered(self) -> SentRequests:
        return SentRequests(self.context.work.build_path / "smoke")

    def _tried(self, deployed: ReconcileResult) -> Smoke:
        """What came of the smoke test.

        Raises:
            RemoteError: the release failed it; the one before serves again, if there is one. Or somebody deployed another one
                meanwhile.
        """
        context, config = self.context, deployed.endpoint_config_name
        reason = self.skipped or context.why_no_answers()
        if self.sample is None or reason:
            context.progress.note(f"the smoke test is skipped: {reason}")
            return Smoke(passed=False, reason=reason)
        try:
            found = smoke.run(
                context.clients.aws,
                context.clients.s3,
                self.deployment.endpoint,
                self.sample,
                context.progress,
                self.waiter,
                remembered=self._remembered,
            )
        except (KeyboardInterrupt, SagepackError):
            context.progress.note(f"{config} serves, untried; run the same command again, which goes on to try it")
            raise
        self._require_no_other(deployed)
        if not isinstance(found, smoke.Failure):
            return Smoke(passed=True, seconds=found)
        raise self._failed(found, deployed)

    def _require_no_other(self, deployed: ReconcileResult) -> None:
        """Check that nobody deployed something else while the sample was answered: which release answered is not known then.

        Raises:
            RemoteError: somebody did, and that is left as it is.
        """
        name, config = deployed.endpoint_name, deployed.endpoint_config_name
        live = sagemaker.describe_endpoint(self.context.clients.aws, name)
        serves = (live.pending_endpoint_config_name or live.endpoint_config_name) if live else None
        if serves != config:
            raise RemoteError(
                f"another deployment came between {config} and its smoke test: the endpoint "
                + (f"goes on with {serves}" if serves else "was deleted"),
                where=f"endpoint {name}",
                fix="nothing was put back or recorded; agree on one place that deploys, or deploy again to replace what serves",
            )

    def _failed(self, failure: smoke.Failure, deployed: ReconcileResult) -> RemoteError:
        """The error for a release that failed its smoke test, after the one before was put back."""
        context, config, where = self.context, deployed.endpoint_config_name, f"endpoint {deployed.endpoint_name}"
        known = failure.known
        mend = f"{known.fix}; then deploy again" if known else _MEND
        context.progress.note(f"the smoke test failed: {failure.message}")
        self._mark_failed(deployed)
        try:
            before = self._previous(deployed)
            outcome = self._put_back(before) if before else None
        except SagepackError as error:
            outcome = f"putting the release before back failed, so {config} serves: {error.message}"
            details = (*failure.details, outcome, *error.details)
            fix = f"{error.fix or 'run `invoke status`, which shows what serves'}; then {mend}"
        else:
            details, fix = (*failure.details, outcome or _NOTHING_BEFORE.format(config)), mend
        message, name = f"{config} failed its smoke test: {failure.message}", known.id if known else None
        return RemoteError(message, where=where, fix=fix, details=details, failure=name)

    def _mark_failed(self, deployed: ReconcileResult) -> None:
        """Tag the endpoint for those who look at it without the output of this run."""
        tag = ReleaseTag(deployed.endpoint_config_name, record.key_time(datetime.now(timezone.utc)))
        try:
            sagemaker.add_tags(self.context.clients.aws, deployed.endpoint_arn, tag_list(tag.failed_tags))
        except SagepackError as error:
            self.context.progress.note(f"`invoke status` will not tell of it: {error.message}")

    def _previous(self, deployed: ReconcileResult) -> RecordedDeployment | None:
        context = self.context
        if deployed.before is None:
            return None
        below = record.records_uri(context.spec)
        return previous(context.clients.aws, context.clients.s3, below, self.deployment, deployed.before)

    def _put_back(self, before: RecordedDeployment) -> str:
        """Make the endpoint serve a release again, and say so.

        Raises:
            UserError: its package is not signed, and has to be; or as `reconcile`.
            IntegrityError: its package is not what was signed.
            RemoteError: as `reconcile`.
        """
        progress, config = self.context.progress, before.endpoint_config_name
        require_signed(self.context, before, config)
        progress.note(f"putting {config} back, which served before")
        try:
            reconcile(self.context.clients.aws, before, progress, self.waiter)
        except KeyboardInterrupt:
            still = f"{config} is being put back, which goes on in AWS: `invoke status` shows when it serves"
            progress.note(f"{still}; the same command deploys {self.deployment.endpoint_config_name} once more")
            raise
        return f"{config}, which served before, was put back and serves again"

    def _record(self, tried: Smoke, deployed: ReconcileResult) -> None:
        """Keep who deployed what. The endpoint serves, whether or not that can be written down: then a note says so."""
        context, desired = self.context, self.deployment
        head = git.head(context.work.root)
        try:
            written = record.DeploymentRecord(
                name=desired.owner.name,
                env=desired.owner.env,
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
                settings=msgspec.to_builtins(desired.endpoint),
                smoke=tried,
                promoted_from=context.promotion.origin if context.promotion else None,
                license=context.required_lock().known_license,
            )
            keep(context.clients, context.spec, written, deployed.endpoint_arn)
        except (SagepackError, OSError) as error:
            context.progress.note(f"the endpoint serves, but the deployment is not recorded: {error}")


def keep(clients: Clients, spec: Spec, written: record.DeploymentRecord, endpoint_arn: str) -> None:
    """Write the record of a release, and tag the endpoint with it.

    Raises:
        UserError, RemoteError: AWS refused one of the two.
    """
    location = record.write(clients.s3, record.records_uri(spec), written)
    tag = ReleaseTag(written.config, record.time_of(location))
    sagemaker.add_tags(clients.aws, endpoint_arn, tag_list(tag.tags))


_NOTHING_BEFORE = (
    "there is no release before it to put back: {} stays in service, and costs money while it has instances; `invoke logs` "
    "shows more of its log, `invoke destroy` removes it"
)
