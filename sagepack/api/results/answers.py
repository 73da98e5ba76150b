"""Results of the tasks that send requests."""

from __future__ import annotations

from sagepack.api.results.base import FAILED, Result
from sagepack.decoding import Value
from sagepack.errors import RemoteError


class Timing(Value, frozen=True):
    """Where the time of a request went, in seconds.

    Attributes:
        sending: from here to the endpoint's queue; null for a request that was sent before.
        waiting: until the answer was there: in the queue, and in the container. AWS does not tell one from the other.
        download: from S3 to here.
    """

    sending: float | None
    waiting: float
    download: float


class Answer(Result, frozen=True):
    """The answer to a request.

    Attributes:
        files: where it was written.
        location: where the endpoint wrote it in S3, or the address of the server of this machine that gave it.
        inference_id: id of the request, which the endpoint's log names; empty for a server of this machine.
        size: bytes of the answer.
        seconds: from sending the request to the answer.
        timing: where the time went.
        text: the answer itself, if it is JSON or other text and short; null otherwise.
        miniature: whether a miniature of the sandbox gave it, which shows that the way works and not what the model can do.
    """

    files: tuple[str, ...]
    location: str
    inference_id: str
    size: int
    seconds: float
    timing: Timing
    text: str | None = None
    miniature: bool = False


class FailedRequest(Value, frozen=True):
    """A request of a batch that failed.

    Attributes:
        request: its file, or file and line.
        message: why, in the words of the container.
        refused: whether the container refused the request; else the endpoint failed.
        location: what was written about it in S3, and the id of the request.
    """

    request: str
    message: str
    refused: bool
    location: str


class Answers(Result, frozen=True):
    """The answers to a batch of requests.

    Attributes:
        folder: where they were written, in a folder for each request.
        requests: how many requests the batch has.
        answered: how many were answered now.
        before: how many had an answer in the folder already, and were not sent again.
        failed: those that failed.
    """

    folder: str
    requests: int
    answered: int
    before: int
    failed: tuple[FailedRequest, ...] = ()

    @property
    def exit_code(self) -> int:
        """0: all are answered; 1: the container refused some; 3: the endpoint failed on some."""
        if not self.failed:
            return 0
        return FAILED if all(failed.refused for failed in self.failed) else RemoteError.exit_code
