"""A request that is ready to be sent, and an answer that is kept, whichever way they go: through the queue of an endpoint, or straight to a server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sagepack.deploy import request as requests
from sagepack.deploy import results
from sagepack.errors import UserError

if TYPE_CHECKING:
    from sagepack.spec.model import Spec

# The path of a file, an object to send as JSON, or None for the spec's sample.
Source = str | Path | dict[str, Any] | None


class Prepared(NamedTuple):
    """A request that was checked.

    Attributes:
        body: the body, or the file that holds it.
        content_type: its media type.
        accept: the media type that the answer should have.
    """

    body: bytes | Path
    content_type: str
    accept: str


class Saved(NamedTuple):
    """An answer in files.

    Attributes:
        files: where it was written.
        text: the answer itself, if it is one file of text, and short.
    """

    files: tuple[Path, ...]
    text: str | None


def prepare(spec: Spec, root: Path, source: Source, accept: str | None = None) -> Prepared:
    """The request that a user means, checked as far as that is possible before it is sent.

    Args:
        spec: the spec, whose sample is sent if no source is named.
        root: folder of the project.
        source: the request.
        accept: the media type that the answer should have; `sample.accept` of the spec if left out.

    Raises:
        UserError: there is no request, it cannot be read, or it is not what the endpoint takes.
    """
    body, content_type = _request(spec, root, source)
    content_type = requests.check(body, content_type, requests.Rules.of(spec, root))
    return Prepared(body, content_type, accept or accepted(spec))


def accepted(spec: Spec) -> str:
    """The media type of answers that a spec asks for."""
    return spec.sample.accept if spec.sample else requests.JSON


def save(body: bytes, output: Path) -> Saved:
    """Write an answer to a file, or its parts to a folder, as `results.save_result` does.

    Raises:
        UserError: a file cannot be written.
        RemoteError: the answer is not as its format says; nothing was written.
    """
    files = tuple(results.save_result(body, output))
    return Saved(files, results.short_text(body) if len(files) == 1 else None)


def _request(spec: Spec, root: Path, source: Source) -> tuple[bytes | Path, str | None]:
    """The request to send, a file, an object or the spec's sample, and its content type if that is known."""
    if isinstance(source, dict):
        return json.dumps(source).encode(), requests.JSON
    if source is not None:
        return Path(source), None
    if spec.sample is None:
        raise UserError("the spec has no sample", where="sample", fix="name a file with --input")
    return requests.of_sample(spec.sample, root)
