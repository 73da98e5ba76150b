"""What `Project.predict` does with a server of this machine, such as one that `serve --keep` runs: no queue, and no S3."""

from __future__ import annotations

import time
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from sagepack.api import results
from sagepack.deploy import cause, exchange
from sagepack.deploy.failure import status_and_words
from sagepack.deploy.predict import MAX_INVOCATION_TIMEOUT
from sagepack.errors import RemoteError, UserError
from sagepack.sandbox.miniatures import models as miniatures
from sagepack.serving import model_server
from sagepack.serving.model_server import InferenceRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sagepack.engine.context import BuildContext

_HOSTS = ("127.0.0.1", "localhost")


def ask(
    context: BuildContext,
    url: str,
    source: exchange.Source,
    output: str | Path | None,
    *,
    timeout: int | None,
    accept: str | None,
    fields: Mapping[str, Any] | None,
) -> results.Answer:
    """Send one request, checked as those for an endpoint, and save its answer; raises as `Project.predict` does."""
    port, target = _port(url), Path(output) if output else None
    request = exchange.prepare(context.spec, context.work.root, source, accept=accept, output=target, fields=fields)
    if request.note:
        context.progress.note(request.note)
    body = request.body.read_bytes() if isinstance(request.body, Path) else request.body
    seconds = float(timeout or MAX_INVOCATION_TIMEOUT)
    begun = time.monotonic()
    try:
        with context.progress.activity(f"waiting for the answer of {url}"):
            sent = InferenceRequest(body, request.content_type, request.accept, seconds)
            status, answer = model_server.post(port, sent)
    except TimeoutError as error:
        raise RemoteError(f"no answer in {seconds:.0f} s", where=url, fix="raise --timeout") from error
    except ConnectionRefusedError as error:
        fix = "start a package there with `sagepack serve --keep`, which says its address"
        raise UserError("nothing listens there", where=url, fix=fix) from error
    except OSError as error:
        fix = "look at what `serve` prints: the worker, or the server, may have ended"
        raise RemoteError(f"the connection broke: {error}", where=url, fix=fix) from error
    taken = time.monotonic() - begun
    if status != HTTPStatus.OK:
        raise _refused(status, answer, url)
    folder = context.work.root / "build" / "answers" / f"{context.spec.name}-{context.spec.env}" / "served"
    saved = exchange.save(answer, target or folder)
    return results.Answer(
        files=tuple(context.display(path) for path in saved.files),
        location=url,
        inference_id="",
        size=len(answer),
        seconds=round(taken, 3),
        timing=results.Timing(0.0, round(taken, 3), 0.0),
        text=saved.text,
        miniature=context.spec.sandbox and miniatures.includes(context.spec.model.id),
    )


def _port(url: str) -> int:
    """The port of a server on this machine.

    Raises:
        UserError: it is no such address.
    """
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        port = parts.port
    except ValueError:
        port = None
    else:
        if parts.scheme == "http" and parts.hostname in _HOSTS and port and not (parts.path.strip("/") or parts.query):
            return port
    fix = "write it as `serve --keep` prints it, such as http://127.0.0.1:20000; for an endpoint leave --url out"
    raise UserError("this is no address of a server on this machine", where=f"--url {url}", fix=fix)


def _refused(status: int, answer: bytes, url: str) -> UserError:
    """The error for a response that is no answer. The handler's traceback is where the server runs."""
    first, *more = [
        line for line in status_and_words(answer.decode(errors="replace").strip())[1].splitlines() if line
    ] or ["it does not say why"]
    known = cause.known("\n".join([first, *more]))
    fix = "correct the request, or the code: its traceback is where `serve` runs"
    return UserError(
        f"the package failed on the request ({status}): {first}",
        where=url,
        fix=known.fix if known else fix,
        details=more,
    )
