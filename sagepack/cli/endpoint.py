"""The tasks about an endpoint that was deployed."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

from sagepack.cli.output import confirm, echo, result
from sagepack.cli.session import open_context
from sagepack.cli.task import YES, Flag, task
from sagepack.engine import executor, lazy
from sagepack.errors import RemoteError, UserError
from sagepack.text import format_duration

if TYPE_CHECKING:
    from sagepack.cli.options import Options
    from sagepack.deploy import deployment, results, waiter
    from sagepack.deploy import destroy as destroying
    from sagepack.deploy import predict as predicting
    from sagepack.engine.context import BuildContext
else:
    deployment = lazy.module("deploy.deployment")
    destroying = lazy.module("deploy.destroy")
    predicting = lazy.module("deploy.predict")
    results = lazy.module("deploy.results")
    waiter = lazy.module("deploy.waiter")


@task(
    Flag("input", "", "the request: a JSON file, an image, or the spec's sample if left out", parameter="source"),
    Flag("output", "", "where the answer goes: a file, or a folder for the frames"),
    Flag("timeout", 900, "seconds to wait for the answer (default 900)", most=86400),
)
def predict(options: Options, *, source: str, output: str, timeout: int) -> int:
    """Send an asynchronous request to the endpoint and wait for the answer or the failure."""
    context = open_context(options, "deploy")
    request, content_type = _request(context, source)
    answer = predicting.predict(
        context.clients.aws,
        context.clients.s3,
        context.spec.endpoint,
        request,
        context.progress,
        content_type=content_type,
        waiter=dataclasses.replace(waiter.WaiterConfig.of(context.spec), timeout=timeout),
    )
    target = output or str(context.work.root / "build" / "answers" / f"{context.spec.name}-{context.spec.env}")
    try:
        saved = [str(path) for path in results.save_result(answer.body, Path(target))]
    except (UserError, RemoteError) as error:
        raise error.with_context(details=[f"the answer as it came is kept at {answer.location}"]) from error
    text = f"answered in {format_duration(answer.seconds)}: {', '.join(saved[:3])}{' ...' if len(saved) > 3 else ''}"
    result(options, text, {"files": saved, "location": answer.location, "seconds": round(answer.seconds, 3)})
    return 0


def _request(context: BuildContext, source: str) -> tuple[bytes | Path, str | None]:
    """The request to send, a file or the spec's sample, and its content type if that is known."""
    if source:
        return Path(source), None
    sample = context.spec.sample
    if sample is None:
        raise UserError("the spec has no sample", where="sample", fix="name a file with --input")
    if sample.file is not None:
        return context.work.root / sample.file, sample.content_type
    return json.dumps(sample.request).encode(), sample.content_type


@task(YES)
def destroy(options: Options, *, yes: bool) -> int:
    """Remove the endpoint and all that deploy made for it, in the right order, and nothing else."""
    context = open_context(options, "deploy")
    owner, aws = deployment.Owner.of(context.spec), context.clients.aws
    found = [str(resource) for resource in destroying.inventory(aws, owner)]
    if not found:
        result(options, f"nothing to do: endpoint {owner.endpoint_name} and its parts do not exist", {"removed": []})
        return 0
    if not yes:
        for resource in found:
            echo(f"would remove {resource}")
    confirm(f"remove these {len(found)}", yes=yes)
    with executor.exclusive(context):
        config = waiter.WaiterConfig.of(context.spec)
        removed = [str(resource) for resource in destroying.destroy(aws, owner, context.progress, config)]
    kept = f"published packages stay under {context.spec.artifact.target}"
    result(options, f"removed {len(removed)} resources; {kept}", {"removed": removed})
    return 0
