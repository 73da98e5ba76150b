"""upload: S3 is asked what it holds, and gets what it lacks. Nothing about it is remembered."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from sagepack.engine.plan import StepStatus
from sagepack.engine.steps.tar import doubt_files, files_of, is_known
from sagepack.errors import IntegrityError
from sagepack.package.attest.provenance import statement
from sagepack.publish.observe import check_bucket
from sagepack.publish.publisher import already_sent, publish
from sagepack.publish.upload.sources import HubFiles, LocalFiles, Source
from sagepack.text import format_bytes

if TYPE_CHECKING:
    from sagepack.engine.context import BuildContext

VERSION = 1
_JOURNALS = "upload"


def fact(build: BuildContext) -> StepStatus:
    """Whether the package is published whole, and what it takes if not."""
    if build.answered is None:
        return StepStatus(VERSION)
    check_bucket(build.services.store, build.services.package.target, build.spec.aws.region)
    plan = build.services.upload_plan
    trouble: tuple[str, ...] = ()
    before = already_sent(plan, build.work.build / _JOURNALS)
    send = max(0, plan.sent_bytes - before)
    if not plan.done:
        head = (
            "the model is there, but not all that belongs to it"
            if plan.observation.model_stored
            else "S3 lacks the package"
        )
        trouble = (f"{head}: {format_bytes(send)} to send, {format_bytes(plan.copied_bytes)} copied within S3",)
        if plan.observation.replaced:
            trouble = (f"{', '.join(plan.observation.replaced)} is not what this machine published there",)
        if plan.read_bytes:
            trouble += (f"{format_bytes(plan.read_bytes)} in S3 are read and hashed first: nothing binds them yet",)
        if before:
            trouble += (f"an interrupted upload goes on: {format_bytes(before)} were sent before",)
    lacking = sum(file.size for file in build.services.lacking) if build.services.streamed else 0
    inputs = {"uri": plan.uri}
    done = f"{plan.uri} is published"
    return StepStatus(
        VERSION, inputs, trouble=trouble, observed=True, fetch=lacking + plan.read_bytes, send=send, done=done
    )


def run(build: BuildContext) -> None:
    """Publish the package.

    Raises:
        UserError: credentials, permissions, or a bucket that SageMaker cannot read from.
        RemoteError: S3 or the Hub failed after retries.
        IntegrityError: S3's bytes are not the archive's, or a content is not what the manifest says.
    """
    try:
        published = publish(
            build.services.store,
            build.services.upload_plan,
            sources(build),
            build.work.build / _JOURNALS,
            provenance=statement(build.spec, build.require_lock(), build.manifest),
            progress=build.progress,
            verified=build.services.verified,
        )
    except IntegrityError:
        doubt_files(build)
        raise
    sent, copied = format_bytes(published.sent_bytes), format_bytes(published.copied_bytes)
    build.progress.note(f"upload: {published.uri}: {sent} sent, {copied} copied within S3")


def sources(build: BuildContext) -> list[Source]:
    """Where contents may come from: files of this disk that are as their digests say, then the Hub."""
    lock, files = build.require_lock(), files_of(build)
    local = {
        member.digest: files[member.path]
        for member in build.manifest.members
        if is_known(build, member, files[member.path])
    }
    read = partial(build.services.hub.open, lock.model, lock.commit)
    return [LocalFiles(local), HubFiles(read, {file.digest: file.path for file in lock.files})]
