"""The failure of a request, in the words of the container, by who can mend it."""

from __future__ import annotations

import heapq
import re
from itertools import islice
from typing import TYPE_CHECKING

import msgspec

from sagepack.aws.logs import log_group
from sagepack.decoding import MalformedError, decode_json
from sagepack.deploy import known_failures
from sagepack.errors import RemoteError, SagepackError, UserError

if TYPE_CHECKING:
    from datetime import datetime

    from sagepack.aws.s3 import S3, S3Uri

MAX_SIZE = 16_000  # bytes of a failure that are fetched
_MAX_TEXT = 4000  # characters that are shown
_MAX_LINES = 20
_LISTED = 5000  # failures that are looked through for the newest: S3 lists by key, a thousand at a time
# What the platform writes around a container's response. No source of AWS describes a failure object: reports of users show it.
_WRAPPED = re.compile(
    r'Received (?:client|server) error \((?P<status>\d+)\) from .*? with message "(?P<message>.*)"\.?(?:\s+See .*)?',
    re.DOTALL,
)
# Of a request that would succeed elsewhere or later: not found is the model, not a page.
_ENDPOINT_STATUS = frozenset({404, 408, 429})
# The image's toolkit answers 400 to every exception of the handler, also to these.
_ENDPOINT_WORDS = re.compile(
    r"out of memory|CUDA error|cuDNN|CUBLAS|No module named|No space left|Worker died|not initialized|load model",
    re.IGNORECASE,
)


class _Response(msgspec.Struct):
    """The document that the image's server writes for a failure."""

    message: str
    code: int | None = None


def explained(data: bytes, endpoint_name: str, inference_id: str, location: str) -> SagepackError:
    """The error for a request that failed.

    Args:
        data: what was written at `location`, or its beginning.
        endpoint_name: the endpoint.
        inference_id: id of the request.
        location: URI of the failure.

    Returns:
        UserError: the container refused the request (status 4xx).
        RemoteError: the endpoint failed.
    """
    status, words = status_and_words(data.decode(errors="replace").strip())
    first, *more = [line.rstrip() for line in words.splitlines() if line.strip()] or ["it does not say why"]
    details = [*more[:_MAX_LINES], f"request {inference_id}; the failure as it came is at {location}"]
    shown = "" if status is None else f" ({status})"
    where, log = (
        f"endpoint {endpoint_name}",
        f"`invoke logs` shows the container's log (log group {log_group(endpoint_name)})",
    )
    known = known_failures.find(words, known_failures.OF_CONTAINERS)
    name = known.id if known else None
    if known:
        log = f"{known.fix}; {log}"
    is_endpoints = not known.user_can_fix if known else _ENDPOINT_WORDS.search(words)
    if status is None or status // 100 != 4 or status in _ENDPOINT_STATUS or is_endpoints:
        message = f"the endpoint failed on the request{shown}: {first}"
        return RemoteError(message, where=where, fix=log, details=details, failure=name)
    fix = f"correct the request; the handler's own mistakes are told in the same way, with their traceback in the log: {log}"
    message = f"the endpoint refused the request{shown}: {first}"
    return UserError(message, where=where, fix=known.fix if known else fix, details=details, failure=name)


def newest(s3: S3, below: S3Uri, endpoint_name: str, most: int) -> list[tuple[datetime, S3Uri, SagepackError]]:
    """The newest failures of requests, whoever sent them, newest first: when, where, and the error that each stands for.

    Args:
        s3: S3.
        below: `s3_failure_path`.
        endpoint_name: the endpoint.
        most: how many.

    Raises:
        UserError: S3 denies to list or to read them.
        RemoteError: S3 failed after retries.
    """
    listed = islice(s3.list(below.child("")), _LISTED)
    found = []
    for each in heapq.nlargest(most, listed, key=lambda each: each.modified):
        data, name = s3.get(each.location, MAX_SIZE), each.location.key.rpartition("/")[2].removesuffix("-error.out")
        if data is not None:
            error = explained(data, endpoint_name, name, str(each.location))
            found.append((each.modified, each.location, error))
    return found


def status_and_words(text: str) -> tuple[int | None, str]:
    """The status and the words of a failure, whoever wrote them; None where it names no status."""
    status = None
    if wrapped := _WRAPPED.fullmatch(text):
        # 0 stands for a container that gave no response.
        status, text = int(wrapped["status"]) or None, wrapped["message"].strip()
    try:
        response = decode_json(text.encode(), _Response)
    except MalformedError:
        return status, _bounded(text)
    return response.code or status, _bounded(response.message)


def _bounded(text: str) -> str:
    return text if len(text) <= _MAX_TEXT else f"{text[:_MAX_TEXT]} ..."
