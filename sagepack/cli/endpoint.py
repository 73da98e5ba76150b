"""The tasks about an endpoint that was deployed."""

from __future__ import annotations

import re
import sys
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagepack.api.results import Followed
from sagepack.cli import interrupts, screens
from sagepack.cli.output import confirm, echo, write_out
from sagepack.cli.proposals import as_typed, selecting_flags
from sagepack.cli.task import YES, Flag, task
from sagepack.decoding import MalformedError, decode_json
from sagepack.errors import UserError
from sagepack.text import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagepack.api.project import Project
    from sagepack.api.results import (
        Answer,
        Answers,
        Asleep,
        Destroyed,
        EndpointStatus,
        Log,
        ToDestroy,
        Woken,
    )

FIELD = Flag(
    "field",
    (),
    "lay a value over the request's, such as num_frames=14; repeat it for more",
    parameter="fields",
    placeholder="NAME=VALUE",
)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_MOST_DAYS = 3650
_INTERVAL = 5  # seconds between two looks at an endpoint


@task(
    Flag(
        "input",
        "",
        "the request: a JSON file, - for JSON from stdin, or the spec's sample if left out; an image or a recording, which takes "
        "the place of the one in the sample; many requests: a folder of files, or a .jsonl file with one a line",
        parameter="source",
        placeholder="FILE",
    ),
    Flag(
        "output",
        "",
        "where the answer goes: a file, whose suffix says what it should be (.mp4, .gif, .json), or a folder for the frames or "
        "many answers",
        placeholder="PATH",
    ),
    FIELD,
    Flag(
        "accept",
        "",
        "the media type that the answer should have; if left out, that of the output's suffix, or sample.accept of the spec",
        placeholder="TYPE",
    ),
    Flag(
        "timeout",
        "",
        "seconds to wait for the answer; if left out 900, or 1800 where the endpoint may have to wake first",
        most=86400,
        placeholder="SECONDS",
    ),
    Flag(
        "id",
        "",
        "fetch the answer of this earlier request, and send nothing",
        parameter="inference_id",
        placeholder="ID",
    ),
    Flag(
        "url",
        "",
        "ask this server of this machine, which `serve --keep` runs, and not the endpoint",
        placeholder="URL",
    ),
    example="--input picture.png --output film.mp4 --env prod",
)
def predict(
    project: Project,
    *,
    source: str,
    output: str,
    fields: Sequence[str],
    accept: str,
    timeout: int | None,
    inference_id: str,
    url: str,
) -> Answer | Answers:
    """Send a request to the endpoint and wait for its answer.

    A wait that ends early leaves the request in the queue: the same command goes on to wait for it, and --id fetches its answer.
    Of many requests 16 are in the queue at a time; the same command sends those that have no answer yet.
    """
    target, laid_over = target_of(output, source, project.root), fields_of(fields)
    if inference_id and source:
        fix = "leave --input out; or leave --id out to send a new request"
        raise UserError("an answer is fetched without sending anything", where="--id with --input", fix=fix)
    if url and inference_id:
        raise UserError(
            "a server of this machine keeps no answers", where="--id with --url", fix="leave one of them out"
        )
    if url and (source.endswith(".jsonl") or (source and Path(source).is_dir())):
        fix = "send them one by one, or leave --url out to send them to the endpoint"
        raise UserError("a server of this machine takes one request", where="--input with --url", fix=fix)
    if source.endswith(".jsonl") or (source and Path(source).is_dir()):
        return project.predict_all(source, output or None, timeout=timeout, accept=accept or None, fields=laid_over)
    return project.predict(
        request_of(source),
        target,
        timeout=timeout,
        accept=accept or None,
        fields=laid_over,
        inference_id=inference_id,
        url=url,
    )


def request_of(source: str) -> Path | dict[str, Any] | None:
    """The request that the flag --input names; None for the spec's sample.

    Raises:
        UserError: it is to come from stdin, and is no JSON object.
    """
    return _from_stdin() if source == "-" else Path(source) if source else None


def target_of(output: str, source: str, root: Path) -> Path | None:
    """Where the flag --output wants an answer; None for a place in `build/answers`.

    Args:
        output: the flag.
        source: the flag --input.
        root: the project.

    Raises:
        UserError: it names stdout, or a file that the answer must not replace: the request, or one of those in `config/`.
    """
    if output == "-":
        fix = "leave it out: every answer is saved, and a short one is printed, too"
        raise UserError("an answer may be several files, so it does not go to stdout", where="--output -", fix=fix)
    if not output:
        return None
    target = Path(output)
    if target.is_file():
        is_request = bool(source) and Path(source).exists() and target.samefile(source)
        if is_request or target.resolve().is_relative_to((root / "config").resolve()):
            what = "the request" if is_request else "a file of the project"
            fix = "name another file, or leave it out: every answer is saved"
            raise UserError(f"that is {what}, which the answer would replace", where=f"--output {output}", fix=fix)
    return target


def fields_of(texts: Sequence[str]) -> dict[str, Any]:
    """The fields that the flag FIELD gives.

    Raises:
        UserError: one has no name.
    """
    return dict(map(_field, texts))


def _field(text: str) -> tuple[str, Any]:
    """Name and value of a field that is laid over a request: JSON, or else the text as it is.

    Raises:
        UserError: it has no name.
    """
    name, equals, value = text.partition("=")
    if not equals or not all(name.split(".")):
        fix = "write NAME=VALUE, such as seed=7, or parameters.seed=7 for one in an object"
        raise UserError(f"{text!r} is no field", where="--field", fix=fix)
    try:
        return name, decode_json(value.encode(), Any)
    except MalformedError:
        return name, value


def _from_stdin() -> dict[str, Any]:
    """The request that another program writes to this one."""
    try:
        return decode_json(b"" if sys.stdin is None else sys.stdin.buffer.read(), dict[str, Any])
    except MalformedError as error:
        fix = "write the request to a file, and name that"
        raise UserError(f"stdin is no JSON object: {error}", where="--input -", fix=fix) from error


@task(
    Flag("watch", default=False, help="show it again and again until Ctrl-C", endless=True),
    Flag("interval", "", f"with --watch: seconds between two looks (default {_INTERVAL})", most=3600),
    example="--watch --env prod",
)
def status(project: Project, *, watch: bool, interval: int | None) -> EndpointStatus:
    """Show what the endpoint does now.

    What serves and since when, instances and their bounds, the newest scaling activity, the queue, alarms and links. With
    --watch a terminal is drawn anew after each look, and a log gets one look after another.
    """
    if not watch:
        if interval is not None:
            raise UserError("it is the time between two looks", where="--interval", fix="write --watch, too")
        return project.status()
    seconds = interval or _INTERVAL
    with interrupts.endless():
        looks = project.watch_status(interval=seconds)
        while True:
            found = next(looks)
            head = f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M:%S} UTC, every {seconds} s until Ctrl-C"
            if not write_out([head, *screens.lines(as_typed(found, _flags(project))), ""], anew=True):
                return found  # its reader has seen enough, such as `| head -20`


@task(
    Flag("follow", default=False, help="go on with new lines until Ctrl-C", endless=True),
    Flag("since", "1h", "how long ago to begin: 90s, 30m, 2h, 7d", placeholder="TIME"),
    example="--follow --since 10m --env prod",
)
def logs(project: Project, *, follow: bool, since: str) -> Log | Followed:
    """Show what the endpoint's containers wrote."""
    begin = _duration(since)
    if not follow:
        return project.logs(since=begin)
    instances, count = set[str](), 0
    with interrupts.endless():
        for line in project.follow_logs(since=begin):
            instances.add(line.instance)
            count += 1
            if not write_out([screens.log_line(line, several=len(instances) > 1)]):
                break  # a reader that has seen enough, such as `| head -1`
    return Followed(count)


@task(Flag("yes", default=False, help="do not ask before a protected environment is changed"), example="--env prod")
def wake(project: Project, *, yes: bool) -> Woken:
    """Start an instance now if the endpoint sleeps.

    It waits until the instance serves. The endpoint sleeps again by itself when it had no request for a while.
    """
    if project.is_protected and not yes and project.status().instances == 0:
        confirm(f"start an instance in {project.selection.env}", yes=yes)
    return project.wake()


@task(
    Flag(
        "yes",
        default=False,
        help="do not ask before a protected environment is changed, and stop instances that are busy, too",
    ),
    example="--env prod",
)
def sleep(project: Project, *, yes: bool) -> Asleep:
    """Stop all instances now; a request wakes the endpoint.

    Only where something wakes it again (endpoint.scaling.min_capacity: 0, deployed), and not while requests are in its queue or running.
    """
    if project.is_protected and not yes and project.status().instances:
        confirm(f"stop all instances in {project.selection.env}", yes=yes)
    return project.sleep(even_if_busy=yes)


def _duration(text: str) -> timedelta:
    """How long `30m` or `2h` is.

    Raises:
        UserError: it is no such text.
    """
    match = re.fullmatch(r"([0-9]{1,9})([smhd])", text)
    if match and (found := timedelta(seconds=int(match[1]) * _UNITS[match[2]])) <= timedelta(days=_MOST_DAYS):
        return found
    fix = f"write a whole number and s, m, h or d after it, at most {_MOST_DAYS}d, such as 30m or 2h"
    raise UserError(f"{text!r} is no length of time", where="--since", fix=fix)


@task(
    Flag("dry-run", default=False, help="only show what would be removed, and what would stay"),
    YES,
    example="--env dev --yes",
)
def destroy(project: Project, *, dry_run: bool, yes: bool) -> Destroyed | ToDestroy:
    """Remove the endpoint and all that deploy made for it.

    It asks first, and says what stays and what that costs: published packages, answers and the log.
    """
    if dry_run:
        return project.deployed_resources()
    if not yes and (found := project.deployed_resources()).resources:
        for block in screens.lines(as_typed(found, _flags(project))):
            echo(block)
        count = len(found.resources)
        confirm(f"remove {'these ' if count > 1 else ''}{counted(count, 'resource')}", yes=yes)
    return project.destroy()


def _flags(project: Project) -> list[str]:
    """The flags that a proposed command needs to be about the same spec and environment."""
    return selecting_flags(project.selection.config, project.selection.env)
