"""What to do about the texts in which SageMaker says no: a table, from reference pages and field reports."""

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
    """What a text of AWS means for the reader.

    Attributes:
        pattern: regular expression found in the text.
        fix: what to do.
        user: whether the reader can mend it (exit code 1), or only AWS and time can (3).
    """

    pattern: str
    fix: str
    user: bool = True


TABLE = (
    ErrorHint(
        r"account-level service limit '(?P<quota>[^']+)' is (?P<limit>\d+)",
        "ask for a higher quota '{quota}' in Service Quotas (an update needs twice the instances while both fleets run), "
        "or set another endpoint.instance_type",
    ),
    ErrorHint(
        r"InsufficientInstanceCapacity",
        "AWS has no free instance of this type in the region now: run the command again later, or set another "
        "endpoint.instance_type or aws.region",
        user=False,
    ),
    ErrorHint(
        r"did not pass the ping health check",
        "the container did not answer in time: read its log for a failed pip install or a crash, and raise "
        "endpoint.container_startup_health_check_timeout_in_seconds if it was still starting",
    ),
    ErrorHint(
        r"Could not find model data",
        "the package is not at that URI any more: run `invoke upload`, which looks and publishes what is missing",
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
        "the container did not start and wrote no log: the CUDA version of the image and the driver of the host do not fit; "
        "set endpoint.inference_ami_version, or another image or instance family",
    ),
    ErrorHint(
        r"Failed to extract model data archive|model data archive is too large",
        "the disk or the memory was too small to unpack the archive: set artifact.layout: prefix, or an instance type "
        "with a larger disk",
    ),
    ErrorHint(
        r"VolumeSize parameter is not allowed",
        "remove endpoint.volume_size_in_gb: this instance family has its own NVMe disks",
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
        "another deployment made this endpoint meanwhile: run the command again, it waits for that one",
        user=False,
    ),
    ErrorHint(
        r"Cannot update in-progress endpoint",
        "another deployment of this endpoint is under way: run the command again, it waits for that one",
        user=False,
    ),
)


def hint_for(text: str) -> ErrorHint | None:
    """What is known about `text`, with its figures filled in; None if nothing is."""
    for entry in TABLE:
        if match := re.search(entry.pattern, text, re.DOTALL):
            return ErrorHint(entry.pattern, entry.fix.format(**match.groupdict()), entry.user)
    return None


@contextmanager
def with_hints() -> Iterator[None]:
    """Give the errors raised within the advice that is known for their text, and the exit code that goes with it."""
    try:
        yield
    except (UserError, RemoteError) as error:
        known = hint_for(error.message)
        if known is None:
            raise
        kind = UserError if known.user else RemoteError
        raise kind(error.message, where=error.where, fix=known.fix) from error
