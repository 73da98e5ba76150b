"""Asks AWS for the facts of each check: one or two small requests for each, all at the same time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from msgspec import structs

from sagepack.aws import autoscaling, ec2, ecr, identity, kms, quotas, sagemaker, sns
from sagepack.aws.iam_policy import concrete
from sagepack.aws.s3 import S3Uri
from sagepack.aws.session import AccessDeniedError, CredentialsError, Patience
from sagepack.deploy.deployment import Owner, owner_tags
from sagepack.deploy.iam_policy import execution_policy
from sagepack.deploy.manager import manager
from sagepack.deploy.preflight import judge
from sagepack.deploy.preflight.asking import Question
from sagepack.deploy.preflight.check import Finding
from sagepack.deploy.rollout import rollback_alarms
from sagepack.spec import images
from sagepack.workers import worker_pool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sagepack.aws.iam_policy import Statement
    from sagepack.aws.s3 import S3
    from sagepack.aws.session import Aws
    from sagepack.digest import Digest
    from sagepack.spec.model import Spec, Vpc

ACCOUNT, OWNER = "aws-account", "endpoint-owner"
"""The ids of the checks without which nothing is written to AWS."""
BUCKET, LIFECYCLE, ROLE, ROLE_PERMISSIONS = "bucket", "lifecycle-rule", "role", "role-permissions"
# A check that takes longer than this says less than it costs: the network may let only some services through.
PATIENCE = Patience(connect=4, read=8, attempts=2, survives=False)


@dataclass(frozen=True)
class Preflight:
    """The checks of one spec and environment.

    Attributes:
        aws: the session; with `PATIENCE`, or a service that does not respond holds everything up.
        connect_s3: S3 over that session, with the owner condition of the spec.
        spec: what is declared.
        packages: what the keys of the spec's packages begin with.
        image_digest: the locked digest of the image; None if there is no lock yet.
    """

    aws: Aws
    connect_s3: Callable[[], S3]
    spec: Spec
    packages: S3Uri
    image_digest: Digest | None = None

    def account(self) -> Question:
        """Whose credentials these are."""
        return Question(ACCOUNT, "AWS account", self._account)

    def publishing(self) -> Iterator[Question]:
        """What an upload needs."""
        yield Question(BUCKET, "S3 bucket", self._bucket)

    def deploying(self) -> Iterator[Question]:
        """What a deployment needs, as far as it fails without it."""
        yield Question(ROLE, "execution role", self._role)
        yield Question(ROLE_PERMISSIONS, "role's permissions", self._role_permissions)
        yield Question("image", "container image", self._image)
        asynchronous = self.spec.endpoint.asynchronous
        for name, arn in (("success", asynchronous.success_topic), ("error", asynchronous.error_topic)):
            if arn:
                yield Question(
                    f"{name}-topic", f"{name} topic", partial(self._topic, arn, f"endpoint.async.{name}_topic")
                )
        for name, key, declared in (
            ("volume", self.spec.endpoint.kms_key_id, "endpoint.kms_key_id"),
            ("results", asynchronous.kms_key_id, "endpoint.async.kms_key_id"),
        ):
            if key:
                yield Question(f"{name}-key", f"{name} key", partial(self._key, key, declared))
        if self.spec.endpoint.vpc:
            yield Question("vpc", "VPC", partial(self._vpc, self.spec.endpoint.vpc))
        for number, arn in enumerate(self.spec.endpoint.alarms.topics if self.spec.endpoint.alarms else ()):
            more = f"-{number + 1}" if number else ""
            yield Question(
                f"alarm-topic{more}", f"alarm topic{more.replace('-', ' ')}", partial(self._alarm_topic, arn)
            )
        yield self.owner()

    def updating(self) -> Iterator[Question]:
        """What an update of an endpoint fails without."""
        if rollback_alarms(self.spec.endpoint):
            yield Question("rollback-alarms", "roll-back alarms", self._rollback_alarms)

    def owner(self) -> Question:
        """Whether the endpoint is this spec's."""
        return Question(OWNER, "endpoint", self._owner)

    def quota(self, *, search: bool) -> Question:
        """Whether the quota is enough; `search` as in `quotas.endpoint_quota`."""
        return Question("quota", "instance quota", partial(self._quota, search=search))

    def lifecycle(self) -> Question:
        """Whether the bucket forgets unfinished uploads."""
        return Question(LIFECYCLE, "lifecycle rule", self._lifecycle)

    def _account(self) -> Finding:
        try:
            source = self.aws.credentials_source
            return judge.account(identity.caller(self.aws), self.spec.aws.account, source)
        except CredentialsError as error:
            return Finding("failed", error.message, error.fix)

    def _bucket(self) -> Finding:
        artifact, account = self.spec.artifact, self.spec.aws.account
        target, owner = S3Uri.parse(artifact.target), artifact.expected_bucket_owner or account
        found = self.connect_s3().look_at(self.packages.child(""), owner)
        return judge.bucket(
            target.bucket,
            region=self.spec.aws.region,
            found=found.region,
            owner=owner,
            owned=found.owned,
            owner_key="artifact.expected_bucket_owner" if artifact.expected_bucket_owner else "aws.account",
        )

    def _lifecycle(self) -> Finding:
        target = S3Uri.parse(self.spec.artifact.target)
        aborted = self.connect_s3().aborts_unfinished_uploads(target.child(""))
        return judge.unfinished_uploads(target.bucket, aborted=aborted)

    def _role(self) -> Finding:
        return judge.role(self.spec.aws.role, identity.trust_policy(self.aws, self.spec.aws.role))

    def _role_permissions(self) -> Finding:
        role = self.spec.aws.role
        found = denied_actions(self.aws, role, execution_policy(self.spec, self.packages)["Statement"])
        return judge.role_permissions(role, found)

    def _image(self) -> Finding:
        image, region = self.spec.image, self.spec.aws.region
        registry, wanted = images.registry(region, image.account), self.image_digest or image.tag
        try:
            found = ecr.image_digest(self.aws, registry, image.repository, wanted)
        except ecr.NoTagError as error:
            fix = (
                "`invoke lock --update` locks the digest that the tag has now"
                if self.image_digest
                else "correct image.tag"
            )
            return Finding("failed", f"{error.where}: {error.message}", fix)
        except ecr.NoRepositoryError as error:
            fix = "correct image.repository or image.account"
            return Finding("failed", f"{error.where}: {error.message}", fix)
        return judge.image(f"{image.repository}:{image.tag}", found, self.image_digest)

    def _topic(self, arn: str, declared: str) -> Finding:
        return judge.topic(arn, declared, exists=sns.describe_topic(self.aws, arn) is not None)

    def _alarm_topic(self, arn: str) -> Finding:
        return judge.alarm_topic(arn, sns.describe_topic(self.aws, arn))

    def _key(self, key: str, declared: str) -> Finding:
        return judge.key(key, declared, kms.describe_key(self.aws, key))

    def _rollback_alarms(self) -> Finding:
        names = rollback_alarms(self.spec.endpoint)
        found = autoscaling.describe_alarms(self.aws, list(names))
        return judge.rollback_alarms(names, {name: alarm.state for name, alarm in found.items()})

    def _vpc(self, declared: Vpc) -> Finding:
        subnets = ec2.describe_subnets(self.aws, declared.subnets)
        groups = ec2.describe_security_groups(self.aws, declared.security_group_ids)
        try:
            vpc = next((subnet.vpc_id for subnet in subnets), None)
            reaches_s3 = ec2.has_s3_endpoint(self.aws, vpc) if vpc else None
        except AccessDeniedError:
            reaches_s3 = None
        return judge.vpc(declared, self.spec.aws.region, subnets, groups, has_s3_endpoint=reaches_s3)

    def _quota(self, *, search: bool) -> Finding:
        endpoint = self.spec.endpoint
        with worker_pool(len(endpoint.instance_types), "quotas") as pool:
            values = list(pool.map(partial(quotas.endpoint_quota, self.aws, search=search), endpoint.instance_types))
        names = map(quotas.quota_name, endpoint.instance_types)
        found = judge.quotas(dict(zip(names, values, strict=True)), endpoint)
        if found.verdict == "warning" and sum(value or 0 for value in values) < endpoint.initial_instance_count:
            # What serves already stays as it is with any quota; a new endpoint could not start.
            is_new = sagemaker.describe_endpoint(self.aws, endpoint.name) is None
            return structs.replace(found, verdict="failed") if is_new else found
        return found

    def _owner(self) -> Finding:
        owner = Owner.of(self.spec)
        endpoint = sagemaker.describe_endpoint(self.aws, owner.endpoint_name)
        tags = sagemaker.list_tags(self.aws, endpoint.endpoint_arn) if endpoint else {}
        shown = owner_tags(tags)
        return judge.owner(
            owner.endpoint_name,
            exists=endpoint is not None,
            owned=owner.owns(tags),
            tags=shown,
            managed_by=manager(tags),
        )


def denied_actions(aws: Aws, role: str, statements: list[Statement]) -> list[str]:
    """What the policies of a role do not allow of some statements, as IAM simulates it.

    Raises:
        AccessDeniedError: the caller may not ask that.
        RemoteError: IAM failed after retries.
    """

    def denied(one: Statement) -> list[str]:
        resources = [concrete(resource) for resource in one["Resource"]]
        return identity.denied_actions(aws, role, one["Action"], resources)

    # A condition is on a key by its alias, or on the prefix of a listing, which a simulation does not know.
    simulated = [one for one in statements if "Condition" not in one]
    with worker_pool(len(simulated), "role") as pool:
        return [text for each in pool.map(denied, simulated) for text in each]
