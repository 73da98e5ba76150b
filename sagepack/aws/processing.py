"""SageMaker Processing: a program that SageMaker runs in a container on an instance of its own."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from sagepack.aws.session import aws_call, error_code
from sagepack.decoding import convert

if TYPE_CHECKING:
    from sagepack.aws.session import Aws, Document

# Values of ProcessingJobStatus (API reference, DescribeProcessingJob) that change no more.
ENDED = frozenset({"Completed", "Failed", "Stopped"})
# As for endpoints, only the message tells that a resource is not there.
_NOT_FOUND_CODES = {"ValidationException", "ResourceNotFound", "ResourceNotFoundException"}
_NOT_FOUND_MESSAGE = "Could not find"
_EXISTS_CODE = "ResourceInUse"


class ProcessingJob(msgspec.Struct, rename="pascal", frozen=True):
    """The fields of a job that this program uses (API reference, DescribeProcessingJob).

    `exit_message` is the first kilobyte of what the container left in `/opt/ml/output/message`.
    """

    processing_job_name: str
    processing_job_status: str
    creation_time: datetime
    failure_reason: str | None = None
    exit_message: str | None = None

    @property
    def has_ended(self) -> bool:
        """Whether its status changes no more."""
        return self.processing_job_status in ENDED


def create_processing_job(aws: Aws, request: Document) -> bool:
    """CreateProcessingJob; False if there is a job of that name already, such as one that another command has just started.

    Raises:
        AccessDeniedError: the caller may not start it, or may not pass the role.
        UserError: a quota is used up.
        RemoteError: any other refusal.
    """
    import botocore.exceptions

    with aws_call("starting the job", f"processing job {request['ProcessingJobName']}"):
        try:
            aws.client("sagemaker").create_processing_job(**request)
        except botocore.exceptions.ClientError as error:
            if error_code(error) != _EXISTS_CODE:
                raise
            return False
    return True


def describe_processing_job(aws: Aws, name: str) -> ProcessingJob | None:
    """DescribeProcessingJob; None if there is no such job.

    Raises:
        AccessDeniedError: the caller may not look at it.
        RemoteError: SageMaker failed after retries.
    """
    import botocore.exceptions

    with aws_call("looking at the job", f"processing job {name}"):
        try:
            return convert(aws.client("sagemaker").describe_processing_job(ProcessingJobName=name), ProcessingJob)
        except botocore.exceptions.ClientError as error:
            message = error.response.get("Error", {}).get("Message", "")
            if error_code(error) in _NOT_FOUND_CODES and _NOT_FOUND_MESSAGE in message:
                return None
            raise
