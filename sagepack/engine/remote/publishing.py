"""Publishes by a processing job: starts it, or finds the one that runs already, follows its log, and sees what came of it.

Nothing is remembered here. The job's name follows from what it does, so the same command, on any machine, finds it again.
"""

from __future__ import annotations

import os
from collections import deque
from typing import TYPE_CHECKING

from msgspec import structs

from sagepack.aws.logs import PROCESSING_JOBS, Tail
from sagepack.aws.prices import Prices
from sagepack.aws.processing import create_processing_job, describe_processing_job
from sagepack.aws.s3 import S3Uri
from sagepack.deploy.waiter import WaiterConfig
from sagepack.engine.remote.job import Job, Moved, error_of, required
from sagepack.engine.remote.source import JobSource, signs_there
from sagepack.errors import RemoteError, UserError
from sagepack.publish.keys import remote_uri
from sagepack.spec import sigstore
from sagepack.text import format_usd

if TYPE_CHECKING:
    from sagepack.aws.processing import ProcessingJob
    from sagepack.engine.context import BuildContext
    from sagepack.errors import SagepackError

_LOG_LINES = 10  # of a job that failed, in its error
_LAST_LOOKS = 3  # at the log of a job that has ended: CloudWatch shows a line some seconds after it was written
_SAME_AGAIN = "the same command starts another job"
_KILLED = "exit code: 137"  # 128 + SIGKILL, as a container tells it


def require(context: BuildContext) -> None:
    """Check that a job can publish the package.

    Raises:
        UserError: the spec declares no job, the model is in a folder, which no job can read, or workers of this machine are named.
    """
    required(context.spec)
    if context.workers:
        message = "the job has workers of its own, as many as its instance has CPUs"
        raise UserError(
            message, where="--workers --remote", fix="leave out --workers, or publish from here without --remote"
        )
    if context.spec.model.path is not None:
        raise UserError(
            "a job in the region gets the model from the Hub, and this one is in a folder",
            where=context.where(("model", "path")),
            fix="publish it without --remote",
        )


def reason(context: BuildContext) -> str:
    """What would be started, and what that costs, for a plan."""
    kind = required(context.spec).instance_type
    hour = Prices(context.clients.aws, context.work.prices_path).processing_hour(kind)
    costs = f", {format_usd(hour)} an hour while it runs" if hour is not None else ", at a price that is not known"
    return f"a SageMaker Processing job publishes it: one {kind}{'' if context.spec.sandbox else costs}"


def publish(context: BuildContext) -> None:
    """Publish the package by a job, and come back when it has ended.

    Raises:
        UserError, RemoteError, IntegrityError: what the job failed with; or it could not be started, was stopped, or AWS was
            out of reach for too long, while the job goes on.
    """
    _require_verifiable(context)
    source = JobSource.of(context)
    place = remote_uri(S3Uri.parse(context.spec.artifact.target), context.spec.name).child(source.digest.short)
    environment = {"HF_ENDPOINT": url} if (url := os.environ.get("HF_ENDPOINT")) and not context.spec.sandbox else {}
    package = str(context.publication.package.model_uri)
    job = Job.of(context.spec, context.required_lock(), package, place, environment)
    name = _running(context, job) or _start(context, job, source, place)
    context.progress.note(
        f"it goes on if this command ends, and the same command follows it again; to stop it: "
        f"aws sagemaker stop-processing-job --region {context.spec.aws.region} --processing-job-name {name}"
    )
    _judge(context, *_follow(context, name))


def _require_verifiable(context: BuildContext) -> None:
    """Check that the job can verify with all that counts: it does not install the package for identities of Sigstore.

    Raises:
        UserError: it cannot.
    """
    name = next((name for name in context.spec.trust.verify if name.startswith(sigstore.PREFIX)), None)
    if name is not None:
        raise UserError(
            f"a processing job verifies with keys and certificates only, and {name} is an identity of Sigstore",
            where="trust.verify",
            fix="name keys or certificates of the signers instead, or publish without --remote",
        )


def _attempts(context: BuildContext, job: Job) -> tuple[int, ProcessingJob | None]:
    """How many jobs of this name there were, and the last one."""
    number, last = 0, None
    while found := describe_processing_job(context.clients.aws, job.name(number + 1)):
        number, last = number + 1, found
    return number, last


def _running(context: BuildContext, job: Job) -> str | None:
    """The name of the job if it runs already."""
    _, last = _attempts(context, job)
    if last is None or last.has_ended:
        return None
    context.progress.note(f"following job {last.processing_job_name}, which runs since {last.creation_time:%H:%M:%S}")
    return last.processing_job_name


def _start(context: BuildContext, job: Job, source: JobSource, place: S3Uri) -> str:
    """Start the job and return its name; if another command has just started it, that one counts."""
    for file, data in source.files.items():
        context.clients.s3.put(place.child(file), data, content_type="application/octet-stream")
    number, _ = _attempts(context, job)
    name = job.name(number + 1)
    create_processing_job(context.clients.aws, {"ProcessingJobName": name, **job.request})
    context.progress.note(f"job {name} starts: {reason(context).partition(': ')[2]}")
    return name


def _follow(context: BuildContext, name: str) -> tuple[ProcessingJob, list[str]]:
    """Show the lines of a job's log until it has ended; returns it, and the last lines.

    Raises:
        RemoteError: AWS does not say how the job is; it may go on.
    """
    aws, waiter = context.clients.aws, WaiterConfig.of(context.spec)
    job = _described(context, name)
    tail = Tail(aws, PROCESSING_JOBS, int(job.creation_time.timestamp() * 1000), f"{name}/")
    last = deque[str](maxlen=_LOG_LINES)

    def show() -> None:
        for line in tail.lines():
            last.append(line)
            context.progress.note(f"| {line}")

    with context.progress.activity(f"waiting for job {name}"):
        while not job.has_ended:
            show()
            waiter.sleep(waiter.delay)
            job = _described(context, name)
        for _ in range(_LAST_LOOKS):
            show()
            waiter.sleep(min(waiter.delay, 2.0))
    show()
    if tail.problem:
        context.progress.note(tail.problem)
    return job, list(last)


def _described(context: BuildContext, name: str) -> ProcessingJob:
    found = describe_processing_job(context.clients.aws, name)
    if found is None:
        raise RemoteError("SageMaker does not find the job any more", where=f"processing job {name}", fix=_SAME_AGAIN)
    return found


def _judge(context: BuildContext, job: ProcessingJob, lines: list[str]) -> None:
    """Compare what the job says with what S3 has, and sign it if the key is here.

    Raises:
        UserError, RemoteError, IntegrityError: the package is not published, or not what lock and code make.
    """
    where = f"processing job {job.processing_job_name}"
    if job.processing_job_status == "Stopped":
        raise UserError("the job was stopped", where=where, fix=_SAME_AGAIN, details=lines)
    if job.processing_job_status == "Failed":
        raise _failure(job, lines, where)
    if context.spec.trust.sign and not signs_there(context):
        context.refreshed().publication.sign(context.progress)
    if not context.refreshed().publication.upload_plan.done:
        message = "the job says that it has published the package, and S3 does not have it whole"
        raise RemoteError(message, where=where, fix=_SAME_AGAIN, details=lines)
    context.progress.moved(**structs.asdict(Moved.of(job.exit_message)))
    context.progress.done(f"published by job {job.processing_job_name}")


def _failure(job: ProcessingJob, lines: list[str], where: str) -> SagepackError:
    """The error of a job: its own, or else what SageMaker says and the last lines of its log."""
    own = error_of(job.exit_message)
    if own is not None:
        at = f" (at {own.where})" if own.where else ""
        copy = own.with_context(message=f"the job failed: {own.message}{at}", fix=own.fix or _SAME_AGAIN)
        copy.where = where
        return copy
    said = job.failure_reason or "SageMaker gives no reason"
    fix = f"when that is mended, {_SAME_AGAIN}"
    if said.endswith(_KILLED):
        fix = f"it was killed, most likely for lack of memory: set remote.instance_type to one with more; {_SAME_AGAIN}, which sends only what S3 does not have"
    return RemoteError(f"the job failed: {said}", where=where, details=lines, fix=fix)
