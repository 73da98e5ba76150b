"""What `Project` does to ask an endpoint: one request and its answer, or many of them."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagepack.api import results
from sagepack.deploy import batch, exchange, predict, sent, waiter
from sagepack.deploy import request as requests
from sagepack.engine import preflight
from sagepack.errors import RemoteError, SagepackError, UserError
from sagepack.sandbox.miniatures import models as miniatures
from sagepack.text import counted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sagepack.engine.context import BuildContext


def ask(
    context: BuildContext,
    source: exchange.Source,
    output: str | Path | None,
    *,
    timeout: int | None,
    accept: str | None,
    fields: Mapping[str, Any] | None,
    inference_id: str,
) -> results.Answer:
    """Send one request, or wait for one that was sent, and save its answer; raises as `Project.predict` does."""
    folder = _folder(context)
    with preflight.explained(context, "predict"):
        if inference_id:
            found = _fetched(context, inference_id, timeout)
        else:
            request = exchange.prepare(
                context.spec,
                context.work.root,
                source,
                accept=accept,
                output=Path(output) if output else None,
                fields=fields,
                defaults=not context.spec.sandbox,
            )
            found = _answered(context, request, timeout)
    target = Path(output) if output else folder / found.inference_id
    try:
        saved = exchange.save(found.body, target)
    except (UserError, RemoteError) as error:
        raise error.with_context(details=[_kept(found)]) from error
    return results.Answer(
        files=tuple(context.display(path) for path in saved.files),
        location=found.location,
        inference_id=found.inference_id,
        size=len(found.body),
        seconds=round(found.seconds, 3),
        timing=results.Timing(
            None if found.sending is None else round(found.sending, 3),
            round(found.seconds, 3),
            round(found.download, 3),
        ),
        text=saved.text,
        miniature=context.spec.sandbox and miniatures.includes(context.spec.model.id),
    )


def ask_all(
    context: BuildContext,
    source: Path,
    output: str | Path | None,
    *,
    timeout: int | None,
    accept: str | None,
    fields: Mapping[str, Any] | None,
) -> results.Answers:
    """Send the requests that have no answer yet, and save their answers; raises as `Project.predict_all` does."""
    spec, root = context.spec, context.work.root
    if fields and not source.is_dir():
        raise UserError(
            "each line is a whole request", where="--field", fix="write the field into the lines of the file"
        )
    accept = exchange.accepted(spec, root, accept)
    prepare = partial(exchange.prepare, spec, root, accept=accept, fields=fields, defaults=not spec.sandbox)
    items = batch.items(source, accept, requests.Rules.of(spec, root), prepare)
    target = Path(output) if output else _folder(context) / "batches" / source.stem
    rest = [item for item in items if not (target / item.name).is_dir()]
    failed: list[results.FailedRequest] = []

    def done(item: batch.Item, found: predict.InferenceResult | SagepackError) -> None:
        error = found if isinstance(found, SagepackError) else _save_whole(found, target / item.name)
        if error:
            about = error.details[-1] if error.details else error.where or ""
            failed.append(results.FailedRequest(item.where, error.message, isinstance(error, UserError), about))
        context.progress.note(f"{item.where}: {error.message if error else 'answered'}")

    config = _waiter(context, timeout)
    label = f"waiting for the answers to {counted(len(rest), 'request')}"
    with preflight.explained(context, "predict"), context.progress.activity(label):
        sender = predict.Sender(
            context.clients.aws,
            context.clients.s3,
            context.spec.endpoint,
            context.progress,
            accept=accept,
            timeout=config.timeout,
            remembered=_remembered(context),
        )
        batch.run(sender, rest, config, done)
    return results.Answers(
        folder=context.display(target),
        requests=len(items),
        answered=len(rest) - len(failed),
        before=len(items) - len(rest),
        failed=tuple(failed),
    )


def _fetched(context: BuildContext, inference_id: str, timeout: int | None) -> predict.InferenceResult:
    """The answer to an earlier request."""
    return predict.fetch(
        context.clients.aws,
        context.clients.s3,
        context.spec.endpoint,
        inference_id,
        context.progress,
        waiter=_waiter(context, timeout),
        remembered=_remembered(context),
    )


def _answered(context: BuildContext, request: exchange.Prepared, timeout: int | None) -> predict.InferenceResult:
    """The answer to a request that is sent now."""
    if request.note:
        context.progress.note(request.note)
    return predict.predict(
        context.clients.aws,
        context.clients.s3,
        context.spec.endpoint,
        request.body,
        context.progress,
        content_type=request.content_type,
        accept=request.accept,
        waiter=_waiter(context, timeout),
        remembered=_remembered(context),
    )


def _waiter(context: BuildContext, timeout: int | None) -> waiter.WaiterConfig:
    seconds = predict.default_timeout(context.spec.endpoint) if timeout is None else timeout
    return dataclasses.replace(waiter.WaiterConfig.of(context.spec), timeout=seconds)


def _folder(context: BuildContext) -> Path:
    """Where answers, and what is remembered of requests, are kept."""
    return context.work.root / "build" / "answers" / f"{context.spec.name}-{context.spec.env}"


def _remembered(context: BuildContext) -> sent.SentRequests:
    return sent.SentRequests(_folder(context) / "requests")


def _save_whole(found: predict.InferenceResult, folder: Path) -> RemoteError | None:
    """Write an answer to a folder that is there only if all of it is; the error if it is not as its format says."""
    partial = folder.with_name(f".{folder.name}")
    try:
        exchange.save(found.body, partial)
    except RemoteError as error:
        return error.with_context(details=[_kept(found)])
    partial.rename(folder)
    return None


def _kept(found: predict.InferenceResult) -> str:
    return f"the answer as it came is kept at {found.location}"
