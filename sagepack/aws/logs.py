"""New log lines of an endpoint's container, from CloudWatch Logs. A log that cannot be read never stops a deployment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from sagepack.aws.session import aws_call, error_code, is_outage
from sagepack.decoding import convert
from sagepack.errors import RemoteError, UserError

if TYPE_CHECKING:
    from sagepack.aws.session import Aws

_MAX_EVENTS = 1000  # of one call of `Tail.lines`


class _Event(msgspec.Struct, rename="camel"):
    event_id: str
    timestamp: int
    message: str


def log_group(endpoint_name: str) -> str:
    """The log group to which the containers of an endpoint write (SageMaker developer guide, "CloudWatch Logs")."""
    return f"/aws/sagemaker/Endpoints/{endpoint_name}"


class Tail:
    """The new lines of one endpoint's log group. An error response of AWS is kept in `problem` and not raised.

    A log group that does not exist has no lines. SageMaker creates it when a container starts: if it is missing after a
    failure, the image or the driver is at fault, not the code.

    Attributes:
        problem: why the log cannot be read; None as long as it can be.
    """

    def __init__(self, aws: Aws, endpoint_name: str, start_time: int) -> None:
        """Read from `start_time`, in milliseconds of Unix time."""
        self._aws, self._log_group, self._start_time = aws, log_group(endpoint_name), start_time
        self._seen: set[str] = set()
        self.problem: str | None = None

    def lines(self) -> list[str]:
        """The lines that were not returned before, oldest first; those of at most 1,000 log events in one call."""
        if self.problem:
            return []
        from botocore.exceptions import ClientError

        try:
            with aws_call("reading the log", self._log_group):
                pages = (
                    self._aws.client("logs")
                    .get_paginator("filter_log_events")
                    .paginate(
                        logGroupName=self._log_group,
                        startTime=self._start_time,
                        PaginationConfig={"MaxItems": _MAX_EVENTS},
                    )
                )
                events = [convert(event, _Event) for page in pages for event in page["events"]]
        except (UserError, RemoteError) as error:
            cause = error.__cause__
            code = error_code(cause) if isinstance(cause, ClientError) else error.message
            if code != "ResourceNotFoundException" and not is_outage(error):
                self.problem = f"log group {self._log_group} cannot be read: {code}"
            return []
        new = [event for event in events if event.event_id not in self._seen]
        self._seen.update(event.event_id for event in new)
        if len(events) == _MAX_EVENTS:
            # There may be more: the next call starts at the time of the last event, where ids tell new events from known
            # ones; or one millisecond later if the events of this one time fill the whole response.
            last = max(event.timestamp for event in events)
            self._start_time = last if last > self._start_time else last + 1
        return [line for event in new for line in event.message.rstrip().splitlines()]
