"""Many requests: a folder of files or the lines of a file, of which a few are in the endpoint's queue at a time."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from sagepack.deploy import request as requests
from sagepack.deploy.waiter import surviving
from sagepack.digest import Digest
from sagepack.errors import UserError
from sagepack.files import unreadable
from sagepack.text import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from sagepack.deploy.exchange import Prepared
    from sagepack.deploy.predict import InferenceResult, Sender, Wait
    from sagepack.deploy.request import Rules
    from sagepack.deploy.waiter import WaiterConfig
    from sagepack.errors import SagepackError

IN_FLIGHT = 16  # requests in the queue at a time: enough for several instances; a queue is lost with its endpoint
_DELAY = 2.0  # seconds between two looks at all of them: S3 takes thousands of requests a second


@dataclass(frozen=True)
class Item:
    """A request of a batch.

    Attributes:
        name: its file without the suffix, or its line, and the beginning of its digest: a changed request has another name.
        where: the file, or file and line.
        content_type: its media type.
        body: gives the request, or the file that holds it: not all of them are in memory at a time.
    """

    name: str
    where: str
    content_type: str
    body: Callable[[], bytes | Path]


def items(source: Path, accept: str, rules: Rules, prepare: Callable[[Path], Prepared]) -> list[Item]:
    """The requests of a folder, by name, or of a file of JSON lines; every one is checked.

    Args:
        source: the folder or file.
        accept: the media type that the answers should have.
        rules: what the endpoint accepts.
        prepare: makes the request of a file of the folder.

    Raises:
        UserError: one cannot be read or is wrong, or there is none.
    """
    try:
        found = _files(source, prepare) if source.is_dir() else _lines(source, accept, rules)
    except OSError as error:
        message, fix = unreadable(error)
        raise UserError(message, where=str(source), fix=fix) from error
    if not found:
        raise UserError("there are no requests", where=str(source), fix="write one request a line, or a file each")
    return found


def _files(folder: Path, prepare: Callable[[Path], Prepared]) -> list[Item]:
    found = []
    for path in sorted(folder.iterdir()):
        if path.is_file() and not path.name.startswith("."):
            request = prepare(path)
            # Of the file's name as well: a.jpg and a.jpeg may be the same picture, and each gets an answer.
            same = requests.digest(request.body, request.content_type, request.accept)
            digest = Digest.sha256(f"{path.name}\n{same}".encode())
            name = f"{path.stem.replace('.', '_')}-{digest.short}"
            found.append(Item(name, str(path), request.content_type, partial(_body, prepare, path)))
    return found


def _body(prepare: Callable[[Path], Prepared], path: Path) -> bytes | Path:
    return prepare(path).body


def _lines(file: Path, accept: str, rules: Rules) -> list[Item]:
    found = []
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            body = line.strip()
            if body:
                content_type = requests.check(body, None, rules, f"{file}:{number}")
                digest = requests.digest(body, content_type, accept)
                found.append(Item(f"{number:04}-{digest[:8]}", f"{file}:{number}", content_type, partial(bytes, body)))
    return found


def run(
    sender: Sender,
    todo: Iterable[Item],
    waiter: WaiterConfig,
    done: Callable[[Item, InferenceResult | SagepackError], None],
) -> None:
    """Send requests, at most `IN_FLIGHT` at a time, and wait for their answers.

    Whatever ends it early leaves the requests that were sent in the queue; they are waited for, not sent, the next time.

    Args:
        sender: sends to the endpoint.
        todo: the requests.
        waiter: how long to wait without any answer.
        done: called with each request and its result, or the error that stands for its failure.

    Raises:
        UserError: SageMaker refuses a request, or the caller may not read an answer.
        RemoteError: no answer came within `waiter.timeout`, or a request could not be sent.
    """
    waiting: list[tuple[Item, Wait]] = []
    try:
        with surviving(sender.aws, sender.progress, waiter):
            _work(sender, deque(todo), waiting, waiter, done)
    except BaseException:
        for _, wait in waiting:
            sender.abandon(wait)
        if waiting:
            count = counted(len(waiting), "request")
            sender.progress.note(
                f"{count} without an answer so far: in the queue for up to 6 hours, and not sent again"
            )
        raise


def _work(
    sender: Sender,
    rest: deque[Item],
    waiting: list[tuple[Item, Wait]],
    waiter: WaiterConfig,
    done: Callable[[Item, InferenceResult | SagepackError], None],
) -> None:
    """Do what `run` says; `waiting` always holds what is in the queue."""
    latest = waiter.clock()
    while rest or waiting:
        while rest and len(waiting) < IN_FLIGHT:
            waiting.append((rest[0], sender.begin(rest[0].body(), rest[0].content_type)))
            rest.popleft()
        before = len(waiting)
        for item, wait in list(waiting):
            if (found := wait.look(waiter.clock() - latest)) is not None:
                waiting.remove((item, wait))
                sender.settle(wait)
                done(item, found)
        if len(waiting) < before:
            latest = waiter.clock()
        elif waiter.clock() - latest >= waiter.timeout:
            raise waiting[0][1].timed_out(waiter.timeout)
        else:
            waiter.sleep(min(_DELAY, waiter.delay))
