"""What people read of answers to requests, from an endpoint or from this machine."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from sagepack.api import results
from sagepack.cli.output import problem
from sagepack.cli.screens.parts import done_line, fact_lines, itemized, lines
from sagepack.text import counted, format_bytes, format_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagepack.cli.layout import Block


_SHOWN_FILES = 3


@lines.register(results.Answer)
def _answer(result: results.Answer) -> list[Block]:
    return _saved(result)


def _saved(result: results.Answer | results.Served) -> list[Block]:
    """An answer in files."""
    if not result.files:
        return []
    if result.text is not None:
        shown: list[Block] = [*result.text.splitlines(), f"saved as {result.files[0]}"]
    elif len(result.files) > _SHOWN_FILES:
        (folder, _, first), (*_, last) = (path.rpartition("/") for path in (result.files[0], result.files[-1]))
        shown = [partial(itemized, f"{len(result.files)} files in {folder}/: {first} to {last}")]
    else:
        shown = list(result.files)
    if isinstance(result, results.Answer):
        shown.append(partial(itemized, _timing(result.timing)))
    if result.miniature:
        shown.append(
            partial(
                itemized,
                "the sandbox's miniature of the model answered: that shows that the way works, not what the model can do",
            )
        )
    return shown


def _timing(timing: results.Timing) -> str:
    """Where the time of a request went."""
    sent = "sent before" if timing.sending is None else f"sent in {timing.sending:.1f} s"
    return f"{sent}, answered after {timing.waiting:.1f} s, downloaded in {timing.download:.1f} s"


@lines.register(results.Answers)
def _answers(result: results.Answers) -> list[Block]:
    alike: dict[str, list[results.FailedRequest]] = {}
    for failed in result.failed:
        alike.setdefault(failed.message, []).append(failed)
    shown: list[Block] = []
    for message, (first, *others) in alike.items():
        more = f" and {len(others)} more" if others else ""
        shown.append(partial(itemized, f"{first.request}{more}: {message}; {first.location}", bullet="- "))
    counts = [f"{result.answered} answered"]
    counts += [f"{result.before} answered before"] if result.before else []
    counts += [f"{len(result.failed)} failed"] if result.failed else []
    summary = f"{counted(result.requests, 'request')}: {', '.join(counts)}; the answers are in {result.folder}/"
    return [*shown, partial(itemized, summary)]


@lines.register(results.Served)
def _served(result: results.Served) -> list[Block]:
    if result.untried:
        head: Block = partial(itemized, f"{result.package} started, which proves nothing: {result.untried}")
    else:
        how = "answers as expected" if result.as_expected else "answered"
        head = done_line(f"{result.package} {how} under the image's server")
    facts = {"start": format_duration(result.start_seconds), "model": format_duration(result.load_seconds)}
    if result.answers:
        times = " and ".join(format_duration(answer.seconds) for answer in result.answers)
        facts["answers" if len(result.answers) > 1 else "answer"] = f"{times}, {format_bytes(result.answers[0].size)}"
    return [head, fact_lines(facts), *_saved(result)]


def kept(url: str, commands: Sequence[str], *, watch: bool = False) -> list[Block]:
    """What is said of a server that goes on, with the commands that send a request to it."""
    more = ["each edit of the code that is saved is served at once"] if watch else []
    return ["", f"it listens at {url} until Ctrl-C", *more, *(f"  {command}" for command in commands)]


def edit(found: results.Edit) -> list[Block]:
    """What came of an edit."""
    warned = [problem("warning", lines) for lines in found.warnings]
    changed = ", ".join(found.files[:_SHOWN_FILES]) + (" ..." if len(found.files) > _SHOWN_FILES else "")
    if found.error:
        head: Block = partial(itemized, f"{changed}: not served; the code from before serves")
        return [head, *warned, problem("error", found.error)]
    said = [*warned, *(f"| {line}" for line in found.log)]
    taken = f"served after {format_duration(found.seconds)}, {found.model}"
    if found.answer is None:
        return [*said, done_line(f"{changed}: {taken}")]
    answer = f"answers as expected, {format_bytes(found.answer.size)} in {format_duration(found.answer.seconds)}"
    return [*said, done_line(f"{changed}: {taken}; {answer}")]
