"""How long and how often to wait, and the one loop that watches an endpoint settle."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sagepack.aws import sagemaker
from sagepack.aws.logs import Tail, group_of
from sagepack.deploy.observe import IN_PROGRESS
from sagepack.errors import RemoteError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagepack.aws.session import Aws
    from sagepack.progress import Progress
    from sagepack.spec.model import Spec


@dataclass(frozen=True)
class WaiterConfig:
    """Waiting, injectable so that tests take no time.

    Attributes:
        poll: seconds between two looks; AWS throttles describing more often than every 15 s or so.
        limit: seconds to wait for an endpoint at most.
        again: seconds between two notes of a state that lasts.
        sleep, clock: `time.sleep` and `time.monotonic`.
    """

    poll: float = 15.0
    limit: float = 5400.0
    again: float = 60.0
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    @classmethod
    def of(cls, spec: Spec) -> WaiterConfig:
        """The pace for `spec`: its own time-outs and half an hour for instances; quick in the sandbox."""
        endpoint = spec.endpoint
        starting = endpoint.container_startup_health_check_timeout_in_seconds
        limit = endpoint.model_data_download_timeout_in_seconds + starting + 1800.0
        return cls(poll=0.2 if spec.sandbox else 15.0, limit=limit)


def wait_until_stable(aws: Aws, name: str, progress: Progress, pace: WaiterConfig) -> sagemaker.Endpoint | None:
    """Watch endpoint `name` until it is in no state of transition; None once it is gone.

    Notes the state, how long it has taken, and the container's new log lines.

    Raises:
        RemoteError: it took longer than `pace.limit`.
    """
    watch = _Watch(aws, name, progress, pace)
    while True:
        live = sagemaker.describe_endpoint(aws, name)
        watch.tell(live)
        if live is None or live.endpoint_status not in IN_PROGRESS:
            return live
        if pace.clock() - watch.start >= pace.limit:
            raise RemoteError(
                f"endpoint is still {live.endpoint_status} after {_minutes(pace.limit)}",
                where=live.endpoint_arn,
                fix=f"the same command goes on waiting; what the container says is in log group {group_of(name)}",
            )
        pace.sleep(pace.poll)


class _Watch:
    """What was told about an endpoint, so that only news is told."""

    def __init__(self, aws: Aws, name: str, progress: Progress, pace: WaiterConfig) -> None:
        self._aws, self._name, self._progress, self._pace = aws, name, progress, pace
        self.start = pace.clock()
        self._status: str | None = None
        self._told = self.start
        self._tail: Tail | None = None

    def tell(self, live: sagemaker.Endpoint | None) -> None:
        """Note the state if it is new or has lasted, and new log lines."""
        status = live.endpoint_status if live else "gone"
        now = self._pace.clock()
        if self._status is None and status not in IN_PROGRESS:
            return  # nothing was under way, so there is nothing to tell
        if status != self._status or now - self._told >= self._pace.again:
            self._progress.note(f"endpoint {self._name}: {status} ({_minutes(now - self.start)})")
            self._told = now
        self._status = status
        if live:
            self._tell_log(live)

    def _tell_log(self, live: sagemaker.Endpoint) -> None:
        if self._tail is None:
            # The deployment in progress began when the endpoint was last changed.
            self._tail = Tail(self._aws, self._name, int(live.last_modified_time.timestamp() * 1000))
        silent = self._tail.problem is None
        for line in self._tail.lines():
            self._progress.note(f"  | {line}")
        if silent and self._tail.problem:
            self._progress.note(self._tail.problem)


def _minutes(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
