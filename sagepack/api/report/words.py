"""What a report says of a run, in sentences: where its time went, and where its bytes came from. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagepack.api.graph import words
from sagepack.decoding import Value
from sagepack.text import counted, format_bytes, format_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagepack.api.report.facts import Facts
    from sagepack.api.report.last_run import LastRun, RanStep

BEFORE, AFTER = "planning", "the end"
_BEFORE = "the spec was read, and the services were asked what is there"
_SANDBOX = "; the sandbox started, if it did not run"
_AFTER = "what came of it was looked up"
STATES = ("done", "failed", "interrupted", "not ended", "wrong", "no run")
_INTERRUPTED = (129, 130, 143)
_WORTH_LISTING = 0.01  # share of the time of what comes after the last step
_WORTH_SAYING = 0.2  # share of the time of what comes second
_MOVED = (("fetched", "fetched"), ("sent", "sent to S3"), ("copied", "copied inside S3"))


class Part(Value, frozen=True):
    """A part of the time of a run.

    Attributes:
        name: a step, or what there is beside steps.
        begun: seconds since the run began.
        seconds: how long it took.
        step: the step; None for a part that is none.
    """

    name: str
    begun: float
    seconds: float
    step: RanStep | None = None


class Wait(Value, frozen=True):
    """A long time in a step in which nothing was told.

    Attributes:
        seconds: how long.
        after: what was told before it.
        until: what was told after it; None for the end of the step.
    """

    seconds: float
    after: str
    until: str | None


def parts(run: LastRun) -> tuple[Part, ...]:
    """The parts of a run, in their order."""
    found = [Part(BEFORE, 0.0, run.before)] if run.before else []
    found += [Part(step.name, step.begun, step.seconds, step) for step in run.steps]
    if run.steps and run.after > run.seconds * _WORTH_LISTING:
        found.append(Part(AFTER, run.seconds - run.after, run.after))
    return tuple(found)


def share(part: Part, run: LastRun) -> float:
    """How much of the time of the run a part took, from 0 to 1."""
    return min(1.0, part.seconds / run.seconds) if run.seconds else 0.0


def outcome(run: LastRun) -> str:
    """How a run ended, in a word: `done`, `failed`, `interrupted`, or `not ended`."""
    if run.exit_code is None:
        return "not ended"
    if run.exit_code in _INTERRUPTED:
        return "interrupted"
    return "failed" if run.error else "done"


def headline(run: LastRun) -> str:
    """How long the run took, and most of it for what."""
    took = format_duration(run.seconds)
    stopped = next((f" in the step `{step.name}`" for step in reversed(run.steps) if not step.succeeded), "")
    begin = {
        "done": f"The last run (`{run.task}`) took {took}",
        "failed": f"The last run (`{run.task}`) failed{stopped} after {took}",
        "interrupted": f"The last run (`{run.task}`) was interrupted{stopped} after {took}",
        "not ended": f"The last run (`{run.task}`) goes on, or was killed: it was last seen{stopped} after {took}",
    }[outcome(run)]
    longest = _longest(run)
    if not longest:
        return f"{begin}."
    first, *others = longest
    text = f"{begin}, of which {_amount(first, run)} went to {_what(first)}"
    if others and share(others[0], run) >= _WORTH_SAYING:
        text += f", and {_amount(others[0], run)} to {_what(others[0])}"
    return f"{text}."


def state(member: Facts) -> str:
    """How the last run of a spec ended, `no run` if none is known, or `wrong` for a spec with mistakes."""
    if member.name is None:
        return "wrong"
    return outcome(member.run) if member.run else "no run"


def outcomes(members: Sequence[Facts]) -> dict[str, int]:
    """How many specs are in which state."""
    words = [state(each) for each in members]
    return {word: words.count(word) for word in STATES if word in words}


def fleet_headline(members: Sequence[Facts]) -> str:
    """What the last runs of several specs came to, and which took longest."""
    runs = [(each, each.run) for each in members if each.run]
    text = (
        f"{counted(len(members), 'spec')}: {', '.join(f'{count} {word}' for word, count in outcomes(members).items())}."
    )
    if not runs:
        return text
    slowest, run = max(runs, key=lambda each: each[1].seconds)
    took = format_duration(sum(run.seconds for _, run in runs))
    return f"{text} The last runs took {took} together; the longest was `{slowest.name}` in {slowest.env}, {format_duration(run.seconds)}."


def because(run: LastRun, *, sandbox: bool = False) -> tuple[str, ...]:
    """Why the longest parts of a run took their time, a sentence or two each.

    Args:
        run: the run.
        sandbox: whether the services are those of the sandbox.
    """
    found = [part for part in _longest(run)[:2] if share(part, run) >= _WORTH_SAYING]
    return tuple(_reason(part, run, sandbox=sandbox) for part in found)


def longest(run: LastRun) -> str:
    """The part that took longest, in a few words; empty for a run of no time."""
    first = next(iter(_longest(run)), None)
    return f"longest part: {first.name}" if first else ""


def longest_wait(run: LastRun, step: RanStep) -> Wait | None:
    """The longest time in a step in which nothing was told, if that is more than half of it; None otherwise."""
    told = [
        ((note.time - run.begun).total_seconds(), note.text)
        for note in run.notes
        if note.step == step.name and note.time >= run.begun
    ]
    gaps = []
    for number, (at, text) in enumerate(told):
        later = told[number + 1] if number + 1 < len(told) else (step.begun + step.seconds, None)
        gaps.append(Wait(later[0] - at, text, later[1]))
    longest = max(gaps, key=lambda gap: gap.seconds, default=None)
    return longest if longest and longest.seconds > step.seconds / 2 else None


def meanwhile(part: Part, *, sandbox: bool = False) -> str:
    """What is done in a part that is no step."""
    if part.name == AFTER:
        return _AFTER
    return _BEFORE + (_SANDBOX if sandbox else "")


def moved(step: RanStep) -> str:
    """The bytes that a step moved, such as `4.2 GiB fetched, 1.0 MiB sent to S3`; empty if it moved none."""
    amounts = ((getattr(step, name), words) for name, words in _MOVED)
    return ", ".join(f"{format_bytes(amount)} {words}" for amount, words in amounts if amount)


def reasons(step: RanStep, run: LastRun) -> tuple[str, ...]:
    """Why a step ran: what it changed at AWS, or what the plan said."""
    action = next((action for action in run.actions if action.step == step.name), None)
    return words.why(action) if action and action.changes else step.reasons


def _longest(run: LastRun) -> list[Part]:
    return sorted((part for part in parts(run) if part.seconds > 0), key=lambda part: -part.seconds)


def _amount(part: Part, run: LastRun) -> str:
    return f"{format_duration(part.seconds)} ({share(part, run):.0%})".replace("%", "\N{NO-BREAK SPACE}%")


def _what(part: Part) -> str:
    if part.step is None:
        return part.name
    done = moved(part.step)
    if done and part.seconds >= 1:
        done += f", {format_bytes(part.step.moved / part.seconds)} a second"
    return f"the step `{part.name}` ({done})" if done else f"the step `{part.name}`"


def _reason(part: Part, run: LastRun, *, sandbox: bool) -> str:
    if part.step is None:
        return f"{part.name.capitalize()}: {meanwhile(part, sandbox=sandbox)}."
    step = part.step
    text = f"`{step.name}` ran because: {'; '.join(reasons(step, run))}."
    wait = None if step.moved else longest_wait(run, step)  # bytes say enough
    if wait:
        until = f" and “{wait.until}”" if wait.until else " and the end of the step"
        text += f" {format_duration(wait.seconds)} of it passed between “{wait.after}”{until}."
    return text


class Source(Value, frozen=True):
    """Where bytes came from.

    Attributes:
        kind: its colour in pictures.
        words: what it is called.
        size: bytes.
    """

    kind: str
    words: str
    size: int


class Way(Value, frozen=True):
    """Bytes on the way to one place.

    Attributes:
        to: the place.
        sources: where they came from.
    """

    to: str
    sources: tuple[Source, ...]

    @property
    def size(self) -> int:
        """All of them."""
        return sum(source.size for source in self.sources)


def ways(run: LastRun, package: int) -> tuple[Way, ...]:
    """Where the bytes of the package came from in a run: those on this machine, and those in S3.

    Args:
        run: the run.
        package: bytes of the package; 0 if they are not known.
    """
    by_name = {step.name: step for step in run.steps}
    planned = {action.step for action in run.actions}
    found = []
    if "tar" in planned:
        fetched = sum(step.fetched or 0 for name, step in by_name.items() if name != "upload")
        found.append(
            Way(
                "the archive on this machine",
                _nonzero(
                    Source("fetched", "fetched from the Hub", fetched),
                    Source("kept", "on this machine before", max(0, package - fetched)),
                ),
            )
        )
    if "upload" in planned:
        step = by_name.get("upload")
        sent, copied = (step.sent or 0, step.copied or 0) if step else (0, 0)
        passed = min(sent, step.fetched or 0) if step else 0
        brought = min(sent - passed, sum(each.fetched or 0 for name, each in by_name.items() if name != "upload"))
        found.append(
            Way(
                "the package in S3",
                _nonzero(
                    Source("copied", "copied inside S3", copied),
                    Source("fetched", "fetched from the Hub, and sent to S3", passed + brought),
                    Source("sent", "sent to S3 from this machine, which had them before", sent - passed - brought),
                    Source("kept", "in S3 before", max(0, package - sent - copied)),
                ),
            )
        )
    return tuple(way for way in found if way.sources)


def _nonzero(*sources: Source) -> tuple[Source, ...]:
    return tuple(source for source in sources if source.size)


def contents(files: int, size: int) -> str:
    """How much there is: `12 files, 4.2 GiB`."""
    return f"{counted(files, 'file')}, {format_bytes(size)}"
