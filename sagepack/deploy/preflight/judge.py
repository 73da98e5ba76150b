"""The verdict of each check about AWS: facts in, finding out. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sagepack.deploy.alarm_names import key_of
from sagepack.deploy.change import MANAGED_FIX
from sagepack.deploy.iam_policy import SAGEMAKER
from sagepack.deploy.manager import managed
from sagepack.deploy.preflight.check import Finding
from sagepack.text import counted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sagepack.aws.ec2 import SecurityGroup, Subnet
    from sagepack.aws.identity import Caller
    from sagepack.aws.kms import Key
    from sagepack.aws.session import Document
    from sagepack.aws.sns import Topic
    from sagepack.digest import Digest
    from sagepack.spec.model import Endpoint, Vpc

# SageMaker developer guide, "Give SageMaker AI Hosted Endpoints Access to Resources in Your Amazon VPC".
LEAST_ZONES = 2
_AWS_KEY = "alias/aws/sns"
_ASSUME = {"sts:assumerole", "sts:*", "*"}


def account(caller: Caller, declared: str, source: str) -> Finding:
    """Whether the credentials are of the account that the spec declares.

    Args:
        caller: whose credentials they are.
        declared: `aws.account`.
        source: where the credentials come from.
    """
    if caller.account == declared:
        return Finding("ok", f"account {declared}, as {caller.arn}; credentials from {source}")
    return Finding(
        "failed",
        f"the credentials are of account {caller.account} ({caller.arn}), but aws.account is {declared}",
        f"the credentials come from {source}: choose others with aws.profile or AWS_PROFILE, or correct aws.account",
    )


def bucket(name: str, *, region: str, found: str, owner: str, owned: bool | None, owner_key: str) -> Finding:
    """Whether SageMaker can read from a bucket, and packages would not go to a stranger.

    Args:
        name: of the bucket.
        region: `aws.region`.
        found: the region that the bucket is in.
        owner: the account that should own it.
        owned: whether it does; None if S3 does not say so.
        owner_key: the key of the spec that names the owner.
    """
    if found != region:
        fix = (
            f"set artifact.target to a bucket in {region}, or aws.region to {found}; contents can still be copied from "
            "this one when it is named under artifact.reuse_from"
        )
        return Finding(
            "failed", f"bucket {name} is in {found}, the endpoint in {region}: SageMaker reads only there", fix
        )
    if owned is False:
        fix = "correct artifact.target; if that account is meant, set artifact.expected_bucket_owner to it"
        return Finding("failed", f"bucket {name} is not account {owner}'s ({owner_key})", fix)
    if owned is None:
        return Finding("unknown", f"bucket {name} is in {region}; whose it is S3 does not say without s3:ListBucket")
    return Finding("ok", f"bucket {name} is account {owner}'s, in {region}")


def unfinished_uploads(name: str, *, aborted: bool) -> Finding:
    """Whether a lifecycle rule ends what interrupted uploads leave."""
    if aborted:
        return Finding("ok", f"a lifecycle rule of bucket {name} aborts unfinished uploads")
    return Finding(
        "warning",
        f"bucket {name} keeps the parts of unfinished uploads, which cost as much as objects, until somebody aborts them",
        "add a lifecycle rule with AbortIncompleteMultipartUpload, DaysAfterInitiation 7; `invoke gc` aborts those of today",
    )


def role(arn: str, trust: Document | None, declared: str = "aws.role", purpose: str = "execution") -> Finding:
    """Whether SageMaker may assume a role.

    Args:
        arn: the role.
        trust: the role's trust policy; None if there is no such role.
        declared: the key of the spec that names it.
        purpose: of the policy with the permissions that it needs.
    """
    if trust is None:
        fix = f"create it with what `invoke policy --for trust` and `--for {purpose}` print, or correct {declared}"
        return Finding("failed", f"there is no role {arn}", fix)
    statements = [entry for entry in _list(trust.get("Statement")) if _is_about_sagemaker(entry)]
    if any(entry.get("Effect") == "Deny" for entry in statements):
        return Finding(
            "failed", f"{arn} denies {SAGEMAKER} to assume it", "remove that statement from its trust policy"
        )
    allowing = [entry for entry in statements if entry.get("Effect") == "Allow"]
    if not allowing:
        fix = "give it the trust policy that `invoke policy --for trust` prints"
        return Finding("failed", f"{arn} does not let {SAGEMAKER} assume it", fix)
    condition = (
        "" if any(not entry.get("Condition") for entry in allowing) else ", on a condition that is not judged here"
    )
    return Finding("ok", f"{SAGEMAKER} may assume {arn}{condition}")


def role_permissions(arn: str, denied: list[str], purpose: str = "execution") -> Finding:
    """Whether the policies of a role allow what it is for.

    Args:
        arn: the role.
        denied: what they do not allow.
        purpose: of the policy with the permissions that it needs.
    """
    if not denied:
        return Finding("ok", f"the policies of {arn} allow what `invoke policy --for {purpose}` lists")
    fix = f"give it what `invoke policy --for {purpose}` prints, unless a policy of the bucket or of the key allows it"
    return Finding("warning", f"the policies of {arn} do not allow {', '.join(denied)}", fix)


def _is_about_sagemaker(statement: Document) -> bool:
    principal = statement.get("Principal")
    services = _list(principal.get("Service")) if isinstance(principal, dict) else []
    return SAGEMAKER in services and any(str(action).lower() in _ASSUME for action in _list(statement.get("Action")))


def _list(value: Any) -> list[Any]:
    """The values of a policy's element, which may be written as one value or as a list."""
    return value if isinstance(value, list) else [] if value is None else [value]


def image(where: str, found: Digest, locked: Digest | None) -> Finding:
    """Whether the registry has the image.

    Args:
        where: the image.
        found: the digest that the registry has.
        locked: the digest in the lock; None if there is none yet.
    """
    if locked is None:
        return Finding("ok", f"{where} is {found}; the lock will say so")
    return Finding("ok", f"{where} is in its registry, with the locked digest")


def quotas(values: Mapping[str, int | None], endpoint: Endpoint) -> Finding:
    """Whether the account's quotas are enough for the endpoint.

    Args:
        values: instances by the name of the quota, one for each instance type; None if Service Quotas does not have it.
        endpoint: as declared. One with pools needs a quota of each type, and takes what one pool lacks from the next.
    """
    if len(values) == 1:
        ((name, value),) = values.items()
        return quota(name, value, endpoint)
    if lacking := [name for name, value in values.items() if value == 0]:
        fix = "request a higher quota in Service Quotas, or remove the type from endpoint.instance_pools"
        quoted = ", ".join(f"'{name}'" for name in lacking)
        return Finding(
            "failed", f"the quota {quoted} is 0; SageMaker refuses a pool of which no instance can start", fix
        )
    if unlisted := [name for name, value in values.items() if value is None]:
        return Finding("unknown", f"Service Quotas does not list {', '.join(map(repr, unlisted))} here")
    return quota(" + ".join(values), sum(value or 0 for value in values.values()), endpoint)


def quota(name: str, value: int | None, endpoint: Endpoint) -> Finding:
    """Whether the account's quota is enough for the endpoint.

    Args:
        name: of the quota.
        value: instances; None if Service Quotas does not have it.
        endpoint: as declared.
    """
    first, most = endpoint.initial_instance_count, endpoint.scaling.max_capacity if endpoint.scaling else 0
    fix = f"request a higher quota '{name}' in Service Quotas, or set another endpoint.instance_type"
    if value is None:
        return Finding("unknown", f"Service Quotas does not list '{name}' here")
    if value < max(first, most):
        need = f"the endpoint takes up to {max(first, most)}"
        return Finding("warning", f"the quota '{name}' is {value}; {need}, and other endpoints count as well", fix)
    if value < 2 * first:
        need = f"an update of {first} takes {2 * first} while both fleets run"
        return Finding("warning", f"the quota '{name}' is {value}; {need}", fix)
    return Finding("ok", f"the quota '{name}' is {value}; what other endpoints use of it is not counted here")


def job_quota(name: str, value: int | None) -> Finding:
    """Whether the account's quota is enough for a job.

    Args:
        name: of the quota.
        value: instances; None if Service Quotas does not have it.
    """
    if value is None:
        return Finding("unknown", f"Service Quotas does not list '{name}' here")
    if value < 1:
        fix = f"request a higher quota '{name}' in Service Quotas, or set another remote.instance_type"
        return Finding("failed", f"the quota '{name}' is {value}, and a job takes one", fix)
    return Finding("ok", f"the quota '{name}' is {value}; what other jobs use of it is not counted here")


def topic(arn: str, declared: str, *, exists: bool) -> Finding:
    """Whether a topic that the endpoint notifies exists; `declared` is the key of the spec that names it."""
    if exists:
        return Finding("ok", f"{arn} exists; whether aws.role may publish to it shows when it does")
    return Finding("failed", f"there is no topic {arn}", f"create it, or correct {declared}")


def key(name: str, declared: str, found: Key | None) -> Finding:
    """Whether a key can encrypt.

    Args:
        name: of the key, as it is written there.
        declared: the key of the spec that names it.
        found: the key; None if there is none.
    """
    if found is None:
        return Finding(
            "failed", f"there is no key {name} in the endpoint's region", f"create it, or correct {declared}"
        )
    if found.key_state != "Enabled":
        return Finding("failed", f"{found.arn} is {found.key_state}", f"enable it, or name another in {declared}")
    if found.key_spec != "SYMMETRIC_DEFAULT":
        return Finding(
            "failed", f"{found.arn} is of the kind {found.key_spec}", f"name a symmetric encryption key in {declared}"
        )
    return Finding("ok", f"{found.arn} is enabled; whether its key policy lets aws.role use it shows when it does")


def vpc(
    declared: Vpc,
    region: str,
    subnets: Sequence[Subnet],
    groups: Sequence[SecurityGroup],
    *,
    has_s3_endpoint: bool | None,
) -> Finding:
    """Whether the containers can run in the declared subnets, and read the package from there.

    Args:
        declared: as declared.
        region: `aws.region`.
        subnets: those that exist.
        groups: the security groups that exist.
        has_s3_endpoint: whether the VPC has an endpoint for S3; None if the caller may not look.
    """
    missing = {*declared.subnets, *declared.security_group_ids}
    missing -= {*(subnet.subnet_id for subnet in subnets), *(group.group_id for group in groups)}
    if missing:
        where = f"the account has no {', '.join(sorted(missing))} in {region}"
        return Finding("failed", where, "correct endpoint.vpc")
    vpcs = sorted({*(subnet.vpc_id for subnet in subnets), *(group.vpc_id for group in groups)})
    if len(vpcs) > 1:
        return Finding(
            "failed",
            f"the subnets and security groups are of several VPCs: {', '.join(vpcs)}",
            "choose subnets and security groups of one VPC in endpoint.vpc",
        )
    zones = sorted({subnet.availability_zone for subnet in subnets})
    if len(zones) < LEAST_ZONES:
        return Finding(
            "warning",
            f"all subnets are in {zones[0]}: SageMaker asks for subnets in at least two availability zones",
            "add a subnet of another zone to endpoint.vpc.subnets",
        )
    if has_s3_endpoint is False:
        return Finding(
            "warning",
            f"{vpcs[0]} has no endpoint for S3: unless its subnets have another way there, instances cannot read the package",
            f"create a gateway endpoint for com.amazonaws.{region}.s3 with the route tables of the subnets; it costs nothing",
        )
    way = "with an endpoint for S3" if has_s3_endpoint else "whose way to S3 was not looked at"
    return Finding("ok", f"{counted(len(subnets), 'subnet')} in {len(zones)} zones of {vpcs[0]}, {way}")


def alarm_topic(arn: str, found: Topic | None) -> Finding:
    """Whether CloudWatch can tell a topic that an alarm goes off.

    Args:
        arn: of the topic.
        found: the topic; None if there is none.
    """
    if found is None:
        return topic(arn, "endpoint.alarms.topics", exists=False)
    # SNS developer guide, "Enable compatibility between event sources from AWS services and encrypted topics": the key's
    # policy has to allow the service, and that of AWS's own key cannot be changed.
    if found.kms_master_key_id and found.kms_master_key_id.endswith(_AWS_KEY):
        return Finding(
            "failed",
            f"{arn} is encrypted with AWS's own key ({_AWS_KEY}), with which CloudWatch cannot publish to it",
            "encrypt the topic with a key of your own whose policy allows cloudwatch.amazonaws.com, or not at all",
        )
    if found.kms_master_key_id:
        return Finding("ok", f"{arn} exists; whether its key's policy allows cloudwatch.amazonaws.com is not judged")
    return Finding("ok", f"{arn} exists")


def rollback_alarms(wanted: Sequence[str], found: Mapping[str, str]) -> Finding:
    """Whether the alarms that roll an update back are there, and would not do so at once.

    What SageMaker does about an alarm that is in ALARM before an update could not be observed; its guide says that an alarm
    which trips in the baking period rolls the update back.

    Args:
        wanted: names of the alarms.
        found: the states of those that exist, by name.
    """
    missing = [name for name in wanted if name not in found and key_of(name) is None]  # its own `deploy` sets up
    if missing:
        fix = "create it in CloudWatch, or correct endpoint.update.rollback_alarms"
        return Finding("failed", f"there is no alarm {', '.join(missing)} in this account and region", fix)
    if ringing := [name for name in wanted if found.get(name) == "ALARM"]:
        return Finding(
            "failed",
            f"{', '.join(ringing)} is in ALARM now, and would roll an update back whatever it brings",
            "end what set it off first; or, to deploy what mends it, add --set endpoint.update.rollback_alarms=[]",
        )
    return Finding("ok", f"none of {', '.join(wanted)} is in ALARM")


def owner(name: str, *, exists: bool, owned: bool, tags: str, managed_by: str | None = None) -> Finding:
    """Whether the endpoint may be changed by this spec and environment.

    Args:
        name: of the endpoint.
        exists: whether there is one.
        owned: whether its tags name this spec and environment.
        tags: its tags of this program, in words.
        managed_by: the tool that manages it, if that is another one.
    """
    if not exists:
        return Finding("ok", f"there is no endpoint {name} yet")
    if owned and managed_by:
        return Finding("failed", managed(name, managed_by), MANAGED_FIX)
    if owned:
        return Finding("ok", f"endpoint {name} belongs to this spec and environment")
    return Finding(
        "failed",
        f"endpoint {name} belongs to another spec or environment: it has {tags}",
        "choose another endpoint.name; to take the endpoint over, give it this spec's tags first",
    )
