"""The container's log lines, as far as they are there and may be read. Logs explain; they never stop a deployment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from sagepack.aws.session import error_code, understood
from sagepack.decoding import convert
from sagepack.errors import RemoteError

if TYPE_CHECKING:
    from sagepack.aws.session import Aws

_MOST = 1000


class _Event(msgspec.Struct, rename="camel"):
    event_id: str
    timestamp: int
    message: str


def group_of(endpoint: str) -> str:
    """The log group that SageMaker writes for an endpoint."""
    return f"/aws/sagemaker/Endpoints/{endpoint}"


class Tail:
    """New lines of one endpoint's log group since a moment. Never raises for what AWS answers.

    A group that is not there yet is no lines: it appears when a container starts, so its absence after a failure points at
    the image or the driver, not at the code.

    Attributes:
        problem: why nothing more can be read, once that is so.
    """

    def __init__(self, aws: Aws, endpoint: str, since: int) -> None:
        """Start at `since`, in milliseconds of Unix time."""
        self._aws, self._group, self._since = aws, group_of(endpoint), since
        self._seen: set[str] = set()
        self.problem: str | None = None

    def lines(self) -> list[str]:
        """Lines that were not returned before, at most 1,000 at a time, oldest first."""
        if self.problem:
            return []
        import botocore.exceptions

        try:
            with understood("reading the log", self._group):
                pages = (
                    self._aws.client("logs")
                    .get_paginator("filter_log_events")
                    .paginate(logGroupName=self._group, startTime=self._since, PaginationConfig={"MaxItems": _MOST})
                )
                events = [convert(event, _Event) for page in pages for event in page["events"]]
        except botocore.exceptions.ClientError as error:
            if error_code(error) != "ResourceNotFoundException":
                self.problem = f"log group {self._group} cannot be read: {error_code(error)}"
            return []
        except RemoteError as error:
            self.problem = f"log group {self._group}: {error.message}"
            return []
        except botocore.exceptions.BotoCoreError:
            return []
        return self._new(events)

    def _new(self, events: list[_Event]) -> list[str]:
        new = [event for event in events if event.event_id not in self._seen]
        self._seen.update(event.event_id for event in new)
        if len(events) == _MOST:
            # There may be more: go on from the last moment, whose events are told from new ones by their ids; past it
            # if that moment alone fills the answer.
            last = max(event.timestamp for event in events)
            self._since = last if last > self._since else last + 1
        return [line for event in new for line in event.message.rstrip().splitlines()]
