"""The tasks about an endpoint that was deployed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagepack.cli.layout import Span
from sagepack.cli.output import confirm, echo
from sagepack.cli.task import YES, Flag, task
from sagepack.decoding import MalformedError, decode_json
from sagepack.errors import UserError
from sagepack.text import counted

if TYPE_CHECKING:
    from sagepack.api.project import Project
    from sagepack.api.results import Answer, Destroyed


@task(
    Flag(
        "input",
        "",
        "the request: a JSON file, an image, - for JSON from stdin, or the spec's sample if left out",
        parameter="source",
        placeholder="FILE",
    ),
    Flag("output", "", "where the answer goes: a file, or a folder for the frames", placeholder="PATH"),
    Flag("timeout", 900, "seconds to wait for the answer", most=86400, placeholder="SECONDS"),
    example="--input request.json --output frames/ --env prod",
)
def predict(project: Project, *, source: str, output: str, timeout: int) -> Answer:
    """Send a request to the endpoint and wait for its answer."""
    if output == "-":
        fix = "leave it out: every answer is saved, and a short one is printed, too"
        raise UserError("an answer may be several files, so it does not go to stdout", where="--output -", fix=fix)
    request = _from_stdin() if source == "-" else Path(source) if source else None
    return project.predict(request, Path(output) if output else None, timeout=timeout)


def _from_stdin() -> dict[str, Any]:
    """The request that another program writes to this one."""
    try:
        return decode_json(b"" if sys.stdin is None else sys.stdin.buffer.read(), dict[str, Any])
    except MalformedError as error:
        fix = "write the request to a file, and name that"
        raise UserError(f"stdin is no JSON object: {error}", where="--input -", fix=fix) from error


@task(YES, example="--env dev --yes")
def destroy(project: Project, *, yes: bool) -> Destroyed:
    """Remove the endpoint and all that deploy made for it.

    It asks first. Published packages stay in S3.
    """
    if not yes and (found := project.deployed_resources()):
        echo("would remove")
        for resource in found:
            echo((Span("- ", "red"), Span(f"{resource.kind} {resource.name}")))
        confirm(f"remove {'these ' if len(found) > 1 else ''}{counted(len(found), 'resource')}", yes=yes)
    return project.destroy()
