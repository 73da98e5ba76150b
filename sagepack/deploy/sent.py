"""What this machine remembers of the requests that it sent: enough to find a late answer, and to send nothing twice."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import msgspec

from sagepack.decoding import MalformedError, Sha256Hex, Value, decode_json
from sagepack.errors import UserError
from sagepack.files import write_atomically

if TYPE_CHECKING:
    from pathlib import Path

QUEUE_TIME = timedelta(hours=6)
"""How long a request stays in the queue of an endpoint (developer guide, "Asynchronous inference": up to 6 hours)."""
# What InferenceId and Filename of InvokeEndpointAsync both take, and a file name here.
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


class SentRequest(Value, frozen=True):
    """A request that an endpoint accepted.

    Attributes:
        inference_id: its id.
        endpoint: name of the endpoint.
        config: the configuration that the endpoint had.
        digest: SHA-256 of the body and of the media types that it has and wants.
        sent: when it was sent.
        output: URI where its result will be.
        failure: URI where its failure will be; None if the endpoint has no place for failures, or it is not known.
        source: URI of its body in S3; None once it was deleted.
        abandoned: whether the wait for its answer ended without one.
    """

    inference_id: str
    endpoint: str
    config: str
    digest: Sha256Hex
    sent: datetime
    output: str
    failure: str | None = None
    source: str | None = None
    abandoned: bool = False


def new_id() -> str:
    """An id for a request: the time (UTC) first, so that folders and objects that are named after it are in order."""
    return f"{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"


def check_id(inference_id: str) -> None:
    """Refuse what is no id of a request.

    Raises:
        UserError: it is none.
    """
    if not _ID.fullmatch(inference_id):
        fix = "copy it from the line that `invoke predict` printed when it sent the request"
        raise UserError("this is no id of a request", where=f"--id {inference_id}", fix=fix)


@dataclass(frozen=True)
class SentRequests:
    """The requests to one endpoint, each in a file of `folder` with its id as name."""

    folder: Path

    def save(self, request: SentRequest) -> None:
        """Remember a request, or what changed about it.

        Raises:
            UserError: the file cannot be written.
        """
        write_atomically(self._path(request.inference_id), msgspec.json.encode(request) + b"\n")

    def find(self, inference_id: str) -> SentRequest | None:
        """A request by its id; None if this machine did not send it."""
        return _read(self._path(inference_id))

    def abandoned(self, endpoint: str, config: str, since: datetime | None) -> list[SentRequest]:
        """The requests that are still in the queue of an endpoint, and whose answer nobody waits for; the newest first.

        Args:
            endpoint: its name.
            config: the configuration that it has: with another one it may answer otherwise.
            since: when it was created: older requests went away with its predecessor.
        """
        oldest = max(filter(None, (datetime.now(timezone.utc) - QUEUE_TIME, since)))
        found = []
        for path in sorted(self.folder.glob("*.json"), reverse=True):  # by time, with which ids begin
            request = _read(path)
            if request is None:
                continue
            if request.sent < oldest:
                break
            if request.abandoned and (request.endpoint, request.config) == (endpoint, config):
                found.append(request)
        return found

    def _path(self, inference_id: str) -> Path:
        return self.folder / f"{inference_id}.json"


def _read(path: Path) -> SentRequest | None:
    try:
        return decode_json(path.read_bytes(), SentRequest)
    except (OSError, MalformedError):
        return None
