"""upload: S3 is asked what it holds, and gets what is missing. Nothing about it is remembered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagepack.engine import lazy
from sagepack.engine.contents import content_paths, doubt_model_files, is_known
from sagepack.engine.outputs import Published
from sagepack.engine.plan import UNKNOWN, Step, StepStatus
from sagepack.errors import IntegrityError
from sagepack.text import format_bytes

if TYPE_CHECKING:
    from pathlib import Path

    from sagepack.digest import Digest
    from sagepack.engine import origin
    from sagepack.engine.context import BuildContext
    from sagepack.engine.plan import Content
    from sagepack.engine.remote import publishing as remote
    from sagepack.package.lock import LockedFile
else:
    origin = lazy.module("engine.origin")
    remote = lazy.module("engine.remote.publishing")


def status(context: BuildContext) -> StepStatus:
    """Whether the package is published whole, and what it takes if not."""
    if context.remote:
        remote.require(context)
    if context.current_lock is None:
        return UNKNOWN
    publication = context.publication
    plan = publication.upload_plan
    before = 0 if plan.done else publication.resumed.total
    send = max(0, plan.sent_bytes - before)
    stale: tuple[str, ...] = ()
    if not plan.done:
        if plan.observation.replaced:
            stale = (f"{', '.join(plan.observation.replaced)} is not what this machine published there",)
        else:
            documents = "the signatures" if plan.observation.unsigned else "some documents"
            missing = f"{documents} of the package are" if plan.observation.model_stored else "the package is"
            takes = [f"send {format_bytes(send)}"] if send or not plan.copied_bytes else []
            takes += [f"sign with {context.spec.trust.sign}"] if context.spec.trust.sign else []
            takes += [f"copy {format_bytes(plan.copied_bytes)} inside S3"] if plan.copied_bytes else []
            stale = (f"{missing} not in S3: {', '.join(takes)}",)
        if plan.read_bytes:
            stale += (
                f"{format_bytes(plan.read_bytes)} in S3 are read and hashed first: nothing proves yet what they are",
            )
        if publication.division:
            stale += (publication.division,)
        if before:
            stale += (f"an interrupted upload continues: {format_bytes(before)} were sent before",)
        if context.remote:
            stale += (remote.reason(context),)
    signed = ""
    if plan.done and publication.trust.keys:
        signed = _signed(context)
    return StepStatus.observed(
        {"uri": plan.uri},
        stale,
        done=f"{plan.uri} is published{signed}",
        fetch=publication.streamed_bytes + plan.read_bytes,
        send=send,
        copy=plan.copied_bytes,
    )


def _signed(context: BuildContext) -> str:
    """Who signed the package that is published.

    Raises:
        UserError: nobody did, and what is deployed must be signed.
    """
    trust, check = context.publication.trust, context.publication.signature_check
    if trust.must_verify and any(step.name == "deploy" for step in context.steps):
        check.require()
    signed = check.signed
    return f", signed by {signed.key.name} on {signed.signed:%Y-%m-%d}" if signed else ", not signed"


def run(context: BuildContext) -> None:
    """Publish the package.

    Raises:
        UserError: credentials, permissions, or a bucket that SageMaker cannot read from.
        RemoteError: S3 or the Hub failed after retries.
        IntegrityError: S3's bytes are not the archive's, or a content is not what the manifest says.
    """
    if context.remote:
        remote.publish(context)
        return
    known = {} if context.promotion else _files_here(context)
    context.progress.came(contents(context))
    try:
        published = context.publication.publish(known, origin.of(context.work.root), context.progress)
    except IntegrityError:
        doubt_model_files(context)
        raise
    context.progress.moved(fetched=published.fetched_bytes, sent=published.sent_bytes, copied=published.copied_bytes)
    copied = f", {format_bytes(published.copied_bytes)} copied inside S3" if published.copied_bytes else ""
    signer = context.publication.trust.signer
    signed = f", signed by {signer.public.name}" if signer else ""
    context.progress.done(f"{format_bytes(published.sent_bytes)} sent{copied}{signed}")


def _files_here(context: BuildContext) -> dict[Digest, Path]:
    """The contents on this disk that are as their digests say."""
    paths = content_paths(context)
    return {
        member.digest: paths[member.path]
        for member in context.manifest.members
        if is_known(context, member, paths[member.path])
    }


def result(context: BuildContext) -> dict[str, Published]:
    """The published package."""
    return {"artifact": Published(str(context.publication.package.model_uri))}


def contents(context: BuildContext) -> tuple[Content, ...]:
    """Where each file of the package comes from when it is published."""
    return context.publication.transfer_table()


def _model_files(context: BuildContext) -> tuple[LockedFile, ...]:
    publication = context.publication
    return () if publication.stream_reason else publication.missing_files


STEP = Step(
    "upload",
    needs=("download", "checksum"),
    version=1,
    status=status,
    run=run,
    result=result,
    model_files=_model_files,
    contents=contents,
    writes_to_aws=True,
)
