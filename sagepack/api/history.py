"""The recorded deployments of a spec and environment, numbered as `releases` lists them: 1 is the newest."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

from sagepack.deploy import record
from sagepack.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sagepack.aws.s3 import S3Uri
    from sagepack.deploy.record import DeploymentRecord
    from sagepack.engine.context import BuildContext

_NUMBER = re.compile(r"[0-9]{1,6}")
_TIME = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})[ T]([0-9]{2}:[0-9]{2}(?::[0-9]{2})?)(?:Z| ?UTC)?")


class Release(NamedTuple):
    """A recorded deployment.

    Attributes:
        number: 1 for the newest.
        location: address of the record.
        record: what it says.
    """

    number: int
    location: S3Uri
    record: DeploymentRecord


def releases(context: BuildContext) -> Iterator[Release]:
    """The recorded deployments, newest first; damaged records, and those of something else, are left out."""
    numbers = count(1)
    for location, found in record.newest(context.clients.s3, record.records_uri(context.spec)):
        if found is not None and (found.name, found.env) == (context.spec.name, context.spec.env):
            yield Release(next(numbers), location, found)


def find(context: BuildContext, text: str, where: str) -> Release:
    """The newest release that a number, a time, the name of an endpoint configuration or the address of a record means.

    Args:
        context: of the spec and environment.
        text: such as `2`, `2026-01-02 03:04:05` or `svd-0123456789ab`.
        where: the flag it was given to, for messages.

    Raises:
        UserError: there is none.
        RemoteError: S3 failed after retries.
    """
    means, seen = _meaning(text), 0
    for release in releases(context):
        if means(release):
            return release
        seen = release.number
    known = f"{seen or 'none'} {'are' if seen > 1 else 'is'} recorded"
    raise UserError(
        f"no release of {context.spec.env} is {text!r}: {known}",
        where=where,
        fix="write a number, a time (UTC) or a configuration as `invoke releases` shows it",
    )


def serving(context: BuildContext, config: str) -> Release | None:
    """The newest release of an endpoint configuration; None if none is recorded."""
    return next((release for release in releases(context) if release.record.config == config), None)


def moment(time: datetime) -> str:
    """A time as results have it: ISO 8601, UTC, whole seconds."""
    return f"{time.astimezone(timezone.utc):%Y-%m-%dT%H:%M:%SZ}"


def _meaning(text: str) -> Callable[[Release], bool]:
    """Whether a release is the one that a text means."""
    if _NUMBER.fullmatch(text):
        return lambda release: release.number == int(text)
    if text.startswith("s3://"):
        return lambda release: str(release.location) == text
    if written := _TIME.fullmatch(text.strip()):
        begin = f"{written[1]}T{written[2]}"
        return lambda release: moment(release.record.deployed).startswith(begin)
    return lambda release: release.record.config == text
