"""What a job in the region does: publish the package of the project that it was given, from the Hub to S3."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from typing import TYPE_CHECKING

from sagepack.api import events
from sagepack.api.recording import Recorder
from sagepack.aws.s3 import S3, S3Uri
from sagepack.aws.secrets import secret_text
from sagepack.aws.session import Aws, AwsConnection
from sagepack.decoding import decode_json
from sagepack.engine.remote.job import Moved, exit_message
from sagepack.engine.remote.source import JOB, JobDocument
from sagepack.errors import SagepackError, UserError

if TYPE_CHECKING:
    from collections.abc import MutableMapping, Sequence
    from pathlib import Path

    from sagepack.api.project import Project
    from sagepack.api.results import Built

__all__ = ["exit_message", "moved", "publish", "read", "remove"]

_KEY = "HF_TOKEN"  # the variable, and the key of a secret that is a JSON object, as the console makes them


def read(project: Path) -> JobDocument:
    """What the job was told."""
    return decode_json((project / JOB).read_bytes(), JobDocument)


def publish(project: Project, job: JobDocument, environment: MutableMapping[str, str]) -> tuple[Built, bytes]:
    """Publish the package, with the token of the secret.

    The exit message of the job comes with it: the bytes that it has moved, for the command that started it.

    Args:
        project: what is published.
        job: what the job was told.
        environment: of this process and of its workers, which gets the token: the Hub's client looks there, and hands it to no
            other Hub than that which HF_ENDPOINT names.

    Raises:
        UserError: the secret cannot be read; or as `Project.build`.
        RemoteError, IntegrityError: as `Project.build`.
    """
    try:
        if job.token_secret:
            environment[_KEY] = _token(secret_text(_aws(job), job.token_secret), job.token_secret)
        told: list[events.Event] = []
        project.progress = Recorder(project.progress, told.append)
        # Of an upload that workers make, what is done stays in S3: the next job goes on where this one was killed.
        built = project.upload(locked=True, stream=True, workers=os.cpu_count() or 1)
        return built, moved(told).message()
    except UserError as error:
        raise error.with_context(fix=error.fix and _for_a_job(error.fix, job)) from error


def moved(told: Sequence[events.Event]) -> Moved:
    """The bytes that a job has moved, whose events these are."""
    ended = [event for event in told if isinstance(event, events.StepEnded) and event.step == "upload"]
    return Moved(ended[-1].fetched, ended[-1].sent, ended[-1].copied) if ended else Moved(0, 0, 0)


def _for_a_job(fix: str, job: JobDocument) -> str:
    """What to do, as it is for a job: its role has the permissions, and a secret the token."""
    login = (
        f"put such a token into the secret {job.token_secret}"
        if job.token_secret
        else "store a token in AWS Secrets Manager, and set remote.token_secret to the ARN of that secret"
    )
    fix = fix.replace("--for publish", "--for remote-execution").replace("the caller", "the job's role")
    return fix.replace("`export HF_TOKEN=...` or `hf auth login`", login)


def _token(text: str, arn: str) -> str:
    """The token in the text of a secret: all of it, or the value of HF_TOKEN where it is a JSON object.

    Raises:
        UserError: there is none. The message has nothing of the text.
    """
    if not text.startswith("{"):
        return text
    try:
        return str(json.loads(text)[_KEY])
    except (ValueError, KeyError):
        fix = 'store the token alone as its text, or as {"HF_TOKEN": "hf_..."}'
        raise UserError("the secret is JSON without a value of HF_TOKEN", where=arn, fix=fix) from None


def remove(job: JobDocument, source: str) -> None:
    """Delete what the job started from; what cannot be deleted stays, and the next job with the same input removes it."""
    store, place = S3(_aws(job).client("s3")), S3Uri.parse(source)
    for name in ("start.py", "input.tar.gz"):
        with suppress(SagepackError):
            store.delete(place.child(name))


def _aws(job: JobDocument) -> Aws:
    return Aws(AwsConnection(job.region))
