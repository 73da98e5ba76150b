"""A release of one environment for another: its package is copied inside S3 and then deployed; nothing is made again.

The run is that of `deploy` from the step `upload` on. What it publishes is read off the release: its manifest must have the
digest that the lock and the code of the target make, so the two environments agree on every byte before anything is copied.
What binds the bytes of the source to that manifest is a signature of one of the keys of `trust`, or where there are none, that they were released and deployed there; S3 compares the copy with the
checksums that the release has. `verify --remote --deep` reads and hashes every byte of the copy.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING

from msgspec import structs

from sagepack.api import comparing, history
from sagepack.aws import sagemaker
from sagepack.aws.iam_policy import Arns, statement
from sagepack.aws.s3 import S3Uri
from sagepack.aws.session import AccessDeniedError
from sagepack.deploy.deployment import Owner
from sagepack.deploy.origin import Origin
from sagepack.deploy.overview import require_owned
from sagepack.engine import preflight
from sagepack.engine.promotion import Promotion
from sagepack.errors import UserError
from sagepack.publish import gate, remote_read
from sagepack.publish.keys import package_at
from sagepack.spec import images
from sagepack.text import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagepack.api.history import Release
    from sagepack.engine.context import BuildContext
    from sagepack.package.attest.dsse import Verifier

_STEPS = ("upload", "deploy")
# What serves one configuration, whatever goes on around it (API reference, DescribeEndpoint, EndpointStatus).
_SERVING = frozenset({"InService", "Updating", "SystemUpdating", "RollingBack"})
_SHOWN = 12  # differences
_FROM = "--from-env"


def prepare(source: BuildContext, target: BuildContext, release: str) -> BuildContext:
    """The run that publishes and deploys a release of one environment in another.

    Args:
        source: of the environment in which the release was deployed.
        target: of the other environment.
        release: which release; empty for the one that serves.

    Raises:
        UserError: there is no such release, its package cannot be copied to the target, or it is not what the target's lock and
            the code make; or it is not signed, and has to be.
        PackageError: it is not what was signed.
        RemoteError: AWS failed after retries.
    """
    _require_copyable(source, target)
    lock = target.required_lock()
    try:
        preflight.require_account(source)
    except UserError as error:
        raise error.with_context(message=f"{source.spec.env}: {error.message}") from error
    found = history.find(source, release, "--release") if release else _serving(source)
    record = found.record
    by, when = record.by, f"{record.deployed:%Y-%m-%d %H:%M:%S} UTC"
    target.progress.note(f"release {found.number} of {source.spec.env}, deployed {when} by {by}: {record.package}")
    _require_same(source, target, found)
    if _image(record.image) != _image(lock.image_uri):
        raise UserError(
            f"the locks name different images: {_image(record.image)} was deployed in {source.spec.env}, the lock of "
            f"{target.spec.env} has {_image(lock.image_uri)}",
            where=target.display(target.work.lock_path),
            fix=_agree(found, source),
        )
    comparing.published_contents(source.clients.s3, record.package, record.manifest)
    keys = _require_signed(source, target, found)
    promotion = Promotion(Origin(source.spec.env, str(found.location)), S3Uri.parse(record.package).parent, keys)
    steps = tuple(step for step in target.steps if step.name in _STEPS)
    return structs.replace(target, steps=steps, promotion=promotion)


@contextmanager
def explained(source: BuildContext, context: BuildContext) -> Iterator[None]:
    """Say within the block what the owner of the source has to allow where S3 denies to read it.

    Raises:
        UserError: the error of the block.
    """
    try:
        yield
    except AccessDeniedError as error:
        promotion = context.promotion
        if promotion is None or str(promotion.package) not in f"{error.where} {error.message}":
            raise
        raise error.with_context(
            details=[*error.details, *_what_to_allow(source, context, promotion)],
            fix=f"add the statement to the policy of the bucket {promotion.package.bucket}; then the same command again",
        ) from error


def _what_to_allow(source: BuildContext, context: BuildContext, promotion: Promotion) -> list[str]:
    """What lets the credentials of the target read the package of the source, one line each."""
    spec, package = context.spec, promotion.package
    arns = Arns(images.partition(spec.aws.region), spec.aws.region, spec.aws.account)
    allowed = {
        "Principal": {"AWS": f"arn:{arns.partition}:iam::{spec.aws.account}:root"},
        **statement("SagepackPromote", ["s3:GetObject"], arns.objects(package.parent, "*")),
    }
    reuse = f"artifact.reuse_from: [{source.spec.artifact.target}]"
    lines = [
        f"S3 copies with the credentials of {spec.env}, which must be able to read the package of {source.spec.env}:",
        json.dumps(allowed),
        f"the caller's own policy must allow it, too: with {reuse} in {spec.env}, `policy --for publish` prints one that does",
    ]
    if source.spec.artifact.sse == "aws:kms":
        lines.append(
            f"so must the policy of the KMS key of {source.spec.env}: kms:Decrypt for account {spec.aws.account}"
        )
    else:
        lines.append(
            "an object that the bucket encrypts with the AWS managed key aws/s3 can be read by no other account: publish it "
            f"with artifact.sse and artifact.kms_key_id in {source.spec.env}"
        )
    return lines


def _require_copyable(source: BuildContext, target: BuildContext) -> None:
    """Check that S3 can copy a package of one environment for the other.

    Raises:
        UserError: it cannot.
    """
    one, other = source.spec, target.spec
    if one.env == other.env:
        raise UserError(f"both environments are {one.env}", where=_FROM, fix="a release is promoted to another one")
    if one.sandbox != other.sandbox:
        fix = "write two environments of AWS: --from-env dev --to-env prod"
        raise UserError("S3 cannot copy between the sandbox and AWS", where=_FROM, fix=fix)
    partitions = [images.partition(spec.aws.region) for spec in (one, other)]
    if partitions[0] != partitions[1]:
        raise UserError(
            f"S3 cannot copy from the partition {partitions[0]} ({one.aws.region}) to {partitions[1]} ({other.aws.region})",
            where=_FROM,
            fix=f"`invoke upload --env {other.env}` publishes the package from this machine",
        )
    if one.artifact.layout != other.artifact.layout:
        raise UserError(
            f"{one.env} publishes the layout {one.artifact.layout!r}, {other.env} {other.artifact.layout!r}",
            where="artifact.layout",
            fix="what is promoted is copied as it is: write the same layout for both",
        )
    is_aws_key = one.artifact.sse == "aws:kms" and one.artifact.kms_key_id is None
    if is_aws_key and one.aws.account != other.aws.account:
        # AWS KMS developer guide, "AWS managed keys": their key policies cannot be changed, and allow their own account alone.
        raise UserError(
            f"the packages of {one.env} are encrypted with the AWS managed key aws/s3, which only account {one.aws.account} can use",
            where="artifact.sse",
            fix=f"name a key of your own in artifact.kms_key_id of {one.env}, let account {other.aws.account} use it, and run "
            f"`invoke upload --env {one.env}` again",
        )


def _serving(source: BuildContext) -> Release:
    """The release that serves.

    Raises:
        UserError: nothing serves, or what serves is not recorded.
    """
    owner, aws, env = Owner.of(source.spec), source.clients.aws, source.spec.env
    endpoint = sagemaker.describe_endpoint(aws, owner.endpoint_name)
    where, choose = (
        f"endpoint {owner.endpoint_name}",
        f"or name a release with --release, as `invoke releases --env {env}` shows it",
    )
    if endpoint is None:
        raise UserError(f"there is no such endpoint in {env}", where=where, fix=f"deploy to {env} first, {choose}")
    require_owned(owner, sagemaker.list_tags(aws, endpoint.endpoint_arn))
    if endpoint.endpoint_status not in _SERVING:
        message = f"nothing serves in {env}: the endpoint is {endpoint.endpoint_status}"
        raise UserError(message, where=where, fix=f"repair it with `invoke deploy --env {env}`, {choose}")
    found = history.serving(source, endpoint.endpoint_config_name)
    if found is None:
        message = f"no deployment of what serves in {env} is recorded: {endpoint.endpoint_config_name}"
        raise UserError(message, where=where, fix=f"deploy to {env} again, which records it, {choose}")
    return found


def _require_same(source: BuildContext, target: BuildContext, release: Release) -> None:
    """Check that a release is what lock and code make in the target.

    Raises:
        UserError: it is not; the details say what differs.
    """
    if str(target.manifest.digest) == release.record.manifest:
        return
    found = comparing.compare_release(source, release, target)
    lines = [
        f"{file.path} {'is new' if file.before is None else 'is gone' if file.after is None else 'changed'}"
        for file in found.files
    ]
    lines += [f"requirement {each.subject}: {each.before} -> {each.after}" for each in found.requirements]
    more = [f"and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    env = target.spec.env
    raise UserError(
        f"the lock and the code of {env} make another package than {source.spec.env} deployed: "
        f"{counted(len(lines), 'difference')}",
        where=target.display(target.work.lock_path),
        details=[f"in {env}: {line}" for line in lines[:_SHOWN]] + more + list(found.not_compared),
        fix=_agree(release, source),
    )


def _agree(release: Release, source: BuildContext) -> str:
    """What makes the two environments agree."""
    commit = release.record.commit
    deployed = (
        f"check out commit {commit[:12]}, of which {source.spec.env} has its release" if commit else "use its code"
    )
    return f"{deployed}; and make the locks equal with `invoke lock`, or deploy this tree to {source.spec.env} first"


def _require_signed(source: BuildContext, target: BuildContext, release: Release) -> tuple[Verifier, ...]:
    """Check that the package of a release is as it was signed; the keys that count for it, none if neither environment has any.

    They are those of the environment where it was published, or else those of the target.

    Raises:
        UserError: it is not signed.
        PackageError: it is not what was signed.
    """
    keys = source.trust.keys or target.trust.keys
    if not keys:
        return ()
    package = package_at(S3Uri.parse(release.record.package), target.manifest.digest)
    try:
        verified = target.publication.verified
        signed = gate.require_signed(source.clients.s3, package, lambda: target.manifest, keys, verified)
    except remote_read.UnsignedError as error:
        fix = f"`invoke sign --env {source.spec.env}` reads every byte of it and signs it"
        raise error.with_context(fix=fix) from error
    target.progress.note(f"it is what {signed.by}")
    return keys


def _image(uri: str) -> str:
    """Repository and digest: the registry differs from region to region."""
    return uri.partition("/")[2]
