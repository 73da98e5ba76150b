"""What to do about an error message of AWS: a table, from reference pages and reports of users."""

from __future__ import annotations

import difflib
import re
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING

from sagepack.aws.sagemaker import EndpointBusyError
from sagepack.aws.session import is_outage
from sagepack.errors import Diagnostic, RemoteError, UserError
from sagepack.spec.model import KEYS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagepack.spec.keys import Key


@dataclass(frozen=True)
class ErrorHint:
    """What to do about one kind of error message.

    Attributes:
        pattern: regular expression that is found in the message.
        fix: what to do; names in braces stand for groups of the pattern.
        user_can_fix: whether the user can fix it (`UserError`, exit code 1), or has to wait (`RemoteError`, exit code 3).
    """

    pattern: str
    fix: str
    user_can_fix: bool = True


HINTS = (
    ErrorHint(
        r"account-level service limit '(?P<quota>[^']+)' is (?P<limit>\d+)",
        "request a higher quota '{quota}' in Service Quotas (an update needs twice the instances while both fleets run), "
        "or set another endpoint.instance_type",
    ),
    ErrorHint(
        r"InsufficientInstanceCapacity",
        "AWS has no free instance of this type in the region now: run the command again later, or set another "
        "endpoint.instance_type or aws.region",
        user_can_fix=False,
    ),
    ErrorHint(
        r"did not pass the ping health check",
        "the container did not respond in time: read its log for a failed pip install or a crash, and raise "
        "endpoint.container_startup_health_check_timeout_in_seconds if it was still starting",
    ),
    ErrorHint(
        r"Could not find model data",
        "the package is not at that URI any more: run `invoke upload`, which publishes what is missing",
    ),
    ErrorHint(
        r"Could not access model data",
        "give aws.role what `invoke policy --for execution` prints (s3:GetObject on the package, s3:ListBucket on its bucket, "
        "kms:Decrypt if it is encrypted with a key), and keep the bucket in the endpoint's region",
    ),
    ErrorHint(
        r"[Rr]ole .*cannot pull|does not grant ecr:GetDownloadUrlForLayer",
        "check that aws.role exists and may pull (ecr:BatchGetImage, ecr:GetDownloadUrlForLayer, "
        "ecr:BatchCheckLayerAvailability, ecr:GetAuthorizationToken), and that the image is of the endpoint's region",
    ),
    ErrorHint(
        r"CannotStartContainerError",
        "the container did not start and wrote no log: the image's CUDA version does not fit the host's driver; "
        "set endpoint.inference_ami_version, or another image or instance family",
    ),
    ErrorHint(
        r"Failed to extract model data archive|model data archive is too large",
        "the disk or the memory was too small to unpack the archive: set artifact.layout: prefix, or an instance type "
        "with a larger disk",
    ),
    ErrorHint(
        r"VolumeSize parameter is not allowed",
        "remove endpoint.volume_size_in_gb: instances of this family have their own NVMe disks",
    ),
    ErrorHint(
        r"Could not assume role|sagemaker\.amazonaws\.com.*assume|cannot be assumed",
        "let sagemaker.amazonaws.com assume aws.role (its trust policy, which `invoke policy --for trust` prints), and "
        "check the ARN; a role that is only some seconds old is not known everywhere yet: then run the command again",
    ),
    ErrorHint(
        r"iam:PassRole",
        "allow the caller iam:PassRole on aws.role with iam:PassedToService sagemaker.amazonaws.com",
    ),
    ErrorHint(
        r"application-autoscaling:DeregisterScalableTarget",
        "allow the caller application-autoscaling:DeregisterScalableTarget",
    ),
    ErrorHint(
        r"Request to service failed",
        "SageMaker found no free instance, or could not start it: run the command again later, or set another "
        "endpoint.instance_type or aws.region",
        user_can_fix=False,
    ),
    ErrorHint(
        r"kms:|KMS\.",
        "allow the key's use in its key policy: kms:Decrypt for aws.role, kms:GenerateDataKey and kms:Decrypt for the caller, "
        "and kms:CreateGrant for both if it is endpoint.kms_key_id; "
        "the key must be enabled, and in the bucket's region",
    ),
)


def hint_for(message: str) -> ErrorHint | None:
    """The hint for an error message, with the pattern's groups filled in; None if there is none."""
    for hint in HINTS:
        if match := re.search(hint.pattern, message, re.DOTALL):
            return ErrorHint(hint.pattern, hint.fix.format(**match.groupdict()), hint.user_can_fix)
    return None


# Of a message such as "Value 'ml.g5' at 'productionVariants.1.member.instanceType' failed to satisfy constraint: Member must
# satisfy enum value set: [ml.g5.xlarge, ml.g5.2xlarge]".
_REFUSED_VALUE = re.compile(
    r"Value '(?P<value>[^']*)' at '(?P<member>[\w.]+)' failed to satisfy constraint: Member must (?P<rule>.*)",
    re.DOTALL,
)
_ALLOWED_VALUES = re.compile(r"satisfy enum value set: \[(?P<values>[^\]]*)\]?")
_NEAREST = 3


def refused_value(message: str, where: str | None) -> UserError | None:
    """The error for a value of a request that the service does not accept, with the key of the spec that it comes from.

    Some hundreds of allowed values are not repeated; the nearest ones are.
    """
    match = _REFUSED_VALUE.search(message)
    if match is None:
        return None
    value, key = match["value"], _key_of(match["member"])
    allowed = _ALLOWED_VALUES.search(match["rule"])
    if allowed is None:
        return UserError(f"AWS refuses {value!r} for {key}: it must {match['rule']}", where=where, fix=f"correct {key}")
    values = [name.strip(" '") for name in allowed["values"].split(",")]
    near = difflib.get_close_matches(value, values, n=_NEAREST, cutoff=0)
    fix = f"set {key} to another value; the nearest ones are {', '.join(near)}" if near[0] else f"correct {key}"
    return UserError(f"AWS does not know {value!r} for {key} in this region", where=where, fix=fix)


def _key_of(member: str) -> str:
    """The key of the spec that a member of a request comes from; the member's own name if there is none."""
    parts = member.casefold().split(".")

    def shared(key: Key) -> int:
        """How many parts from the end the member of a key has in common with it; none of the keys that no request has."""
        names = [] if key.path[0] == "artifact" else [name.casefold() for name in reversed(key.facts.member)]
        return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(names, reversed(parts), strict=False)))

    nearest = max(KEYS, key=lambda key: (shared(key), -len(key.facts.member)))
    return Diagnostic(nearest.path, "").key if shared(nearest) else member


@contextmanager
def with_hints() -> Iterator[None]:
    """Replace an error raised within the block by one with the hint for its message; others pass unchanged.

    So do those after which the same is tried again: an outage, and a change of the endpoint by something else.

    Raises:
        UserError, RemoteError: the error with the hint, of the class that the hint says.
    """
    try:
        yield
    except (UserError, RemoteError) as error:
        if is_outage(error) or isinstance(error, EndpointBusyError):
            raise
        if refused := refused_value(error.message, error.where):
            raise refused from error
        hint = hint_for(error.message)
        if hint is None:
            raise
        kind = UserError if hint.user_can_fix else RemoteError
        raise kind(error.message, where=error.where, fix=hint.fix, details=error.details) from error
