"""The requests, answers and failures of an endpoint that lie in S3 for long."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sagepack.aws.s3 import S3Uri
from sagepack.deploy.predict import input_prefix

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from sagepack.aws.s3 import S3, ObjectSummary
    from sagepack.spec.model import Endpoint

# As `sent.new_id` and `predict` name requests and answers. SageMaker itself chooses the names of failures.
_REQUEST = re.compile(r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}")
_ANSWER = re.compile(_REQUEST.pattern + r"\.out")
_FAILURE = re.compile(r"[A-Za-z0-9-]+-error\.out")


def exchanged(s3: S3, endpoint: Endpoint) -> Iterator[ObjectSummary]:
    """The requests that this program sent to an endpoint, their answers, and the failures that SageMaker wrote.

    Other objects are somebody else's. Failures have names that do not tell whose they are, so that they count only where the
    path is the endpoint's own: where its name is a part of it.
    """
    settings = endpoint.asynchronous
    places = [(S3Uri.parse(input_prefix(settings)), _REQUEST), (S3Uri.parse(settings.s3_output_path), _ANSWER)]
    failures = S3Uri.parse(settings.s3_failure_path)
    if endpoint.name in failures.key.split("/"):
        places.append((failures, _FAILURE))
    for place, pattern in places:
        below = place.child("")
        for each in s3.list(below):
            if pattern.fullmatch(each.location.key.removeprefix(below.key)):
                yield each


def older(s3: S3, endpoint: Endpoint, before: datetime) -> tuple[ObjectSummary, ...]:
    """Those of `exchanged` that were written before a time."""
    return tuple(each for each in exchanged(s3, endpoint) if each.modified < before)
