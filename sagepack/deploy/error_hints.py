"""What to do about an error message of AWS: a table, from reference pages and reports of users."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sagepack.errors import RemoteError, UserError

if TYPE_CHECKING:
    from collections.abc import Iterator


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
        "give aws.role s3:GetObject on the package and s3:ListBucket on its bucket (and kms:Decrypt if it is encrypted "
        "with a key), and keep the bucket in the endpoint's region",
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
        "let sagemaker.amazonaws.com assume aws.role (its trust policy), and check the ARN",
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
        r"Cannot create already existing endpoint",
        "another deployment has just created this endpoint: run the command again, it waits for that deployment",
        user_can_fix=False,
    ),
    ErrorHint(
        r"Cannot update in-progress endpoint",
        "another deployment of this endpoint is in progress: run the command again, it waits for that deployment",
        user_can_fix=False,
    ),
)


def hint_for(message: str) -> ErrorHint | None:
    """The hint for an error message, with the pattern's groups filled in; None if there is none."""
    for hint in HINTS:
        if match := re.search(hint.pattern, message, re.DOTALL):
            return ErrorHint(hint.pattern, hint.fix.format(**match.groupdict()), hint.user_can_fix)
    return None


@contextmanager
def with_hints() -> Iterator[None]:
    """Replace an error raised within the block by one with the hint for its message; others pass unchanged.

    Raises:
        UserError, RemoteError: the error with the hint, of the class that the hint says.
    """
    try:
        yield
    except (UserError, RemoteError) as error:
        hint = hint_for(error.message)
        if hint is None:
            raise
        kind = UserError if hint.user_can_fix else RemoteError
        raise kind(error.message, where=error.where, fix=hint.fix, details=error.details) from error
