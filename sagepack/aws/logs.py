"""The logs of endpoints and jobs in CloudWatch Logs: their new lines, and how long those of an endpoint are kept.

Lines that cannot be read never stop a deployment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from sagepack.aws.session import aws_call, error_code, is_outage
from sagepack.decoding import convert
from sagepack.errors import RemoteError, UserError

if TYPE_CHECKING:
    from sagepack.aws.session import Aws

PROCESSING_JOBS = "/aws/sagemaker/ProcessingJobs"
"""The log group of all processing jobs, whose streams are `<job>/algo-<number>-<time>` (SageMaker developer guide, "CloudWatch Logs")."""
_MAX_EVENTS = 1000  # of one call of `Tail.lines` or `Tail.events`


class LogEvent(msgspec.Struct, rename="camel", frozen=True):
    """What a container wrote at once (API reference of CloudWatch Logs, FilteredLogEvent)."""

    event_id: str
    timestamp: int  # milliseconds of Unix time
    message: str
    log_stream_name: str = ""

    @property
    def lines(self) -> list[str]:
        """Its lines, without their ends."""
        return self.message.rstrip().splitlines()

    @property
    def instance(self) -> str:
        """The instance that wrote it: the log streams of an endpoint are called `<variant>/<instance>`."""
        return self.log_stream_name.rpartition("/")[2]


class LogGroup(msgspec.Struct, rename="camel", frozen=True):
    """A log group (API reference of CloudWatch Logs, LogGroup).

    Attributes:
        log_group_name: its name.
        retention_in_days: how long it keeps what is written; None for ever.
        stored_bytes: what it holds.
        retention_policy_name: the policy of the account that says so, which overrides that of the log group.
    """

    log_group_name: str
    retention_in_days: int | None = None
    stored_bytes: int = 0
    retention_policy_name: str | None = None


def log_group(endpoint_name: str) -> str:
    """The log group to which the containers of an endpoint write (SageMaker developer guide, "CloudWatch Logs")."""
    return f"/aws/sagemaker/Endpoints/{endpoint_name}"


def describe_log_group(aws: Aws, endpoint_name: str) -> LogGroup | None:
    """The log group of an endpoint (DescribeLogGroups); None if there is none, as before its first container starts.

    Raises:
        AccessDeniedError: the caller may not look at it.
    """
    name = log_group(endpoint_name)
    with aws_call("looking at the log group", name):
        # Groups are in the order of their names: one of exactly this name is the first that begins with it.
        groups = aws.client("logs").describe_log_groups(logGroupNamePrefix=name, limit=1)["logGroups"]
        found = [convert(group, LogGroup) for group in groups]
        return next((group for group in found if group.log_group_name == name), None)


def set_retention(aws: Aws, endpoint_name: str, days: int) -> None:
    """CreateLogGroup, unless there is one, and PutRetentionPolicy.

    Raises:
        AccessDeniedError: the caller may do neither.
        RemoteError: any other refusal.
    """
    import botocore.exceptions

    name, client = log_group(endpoint_name), aws.client("logs")
    with aws_call("setting how long the log is kept", name):
        try:
            client.create_log_group(logGroupName=name)
        except botocore.exceptions.ClientError as error:
            if error_code(error) != "ResourceAlreadyExistsException":
                raise
        client.put_retention_policy(logGroupName=name, retentionInDays=days)


class Tail:
    """The new lines of a log group, or of some of its streams. An error response of AWS is kept in `problem` and not raised.

    A log group that does not exist has no lines. SageMaker creates it when a container starts, unless it was created before
    for its retention: if there are no lines after a failure, the image or the driver is at fault, not the code.

    Attributes:
        problem: why the log cannot be read; None as long as it can be.
    """

    def __init__(self, aws: Aws, log_group: str, start_time: int, streams: str = "") -> None:
        """Read from `start_time`, in milliseconds of Unix time, the streams whose names begin with `streams`."""
        self._aws, self._log_group, self._start_time = aws, log_group, start_time
        self._streams = {"logStreamNamePrefix": streams} if streams else {}
        self._seen: set[str] = set()
        self.problem: str | None = None

    def lines(self) -> list[str]:
        """The lines that were not returned before, oldest first; those of at most 1,000 log events in one call."""
        if self.problem:
            return []
        from botocore.exceptions import ClientError

        try:
            return [line for event in self.events() or () for line in event.lines]
        except (UserError, RemoteError) as error:
            cause = error.__cause__
            code = error_code(cause) if isinstance(cause, ClientError) else error.message
            if not is_outage(error):  # the next call tries again after one
                self.problem = f"log group {self._log_group} cannot be read: {code}"
            return []

    def events(self) -> list[LogEvent] | None:
        """The events that were not returned before, oldest first, at most 1,000 in one call; None without a log group.

        Unlike `lines` it raises what goes wrong.

        Raises:
            AccessDeniedError: the caller may not read the log.
            RemoteError: the network or CloudWatch failed after retries.
        """
        with aws_call("reading the log", self._log_group):
            return self._read()

    def _read(self) -> list[LogEvent] | None:
        import botocore.exceptions

        pages = (
            self._aws.client("logs")
            .get_paginator("filter_log_events")
            .paginate(
                logGroupName=self._log_group,
                startTime=self._start_time,
                **self._streams,
                PaginationConfig={"MaxItems": _MAX_EVENTS},
            )
        )
        try:
            events = [convert(event, LogEvent) for page in pages for event in page["events"]]
        except botocore.exceptions.ClientError as error:
            if error_code(error) != "ResourceNotFoundException":
                raise
            return None
        new = [event for event in events if event.event_id not in self._seen]
        self._seen.update(event.event_id for event in new)
        if len(events) == _MAX_EVENTS:
            # There may be more: the next call starts at the time of the last event, where ids tell new events from known
            # ones; or one millisecond later if the events of this one time fill the whole response.
            last = max(event.timestamp for event in events)
            self._start_time = last if last > self._start_time else last + 1
        return new
