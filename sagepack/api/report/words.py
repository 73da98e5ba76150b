"""What a report says of a run, in sentences: where its time went, and where its bytes came from. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagepack.decoding import Value
from sagepack.package.attest.provenance import LOCAL
from sagepack.text import counted, format_bytes, format_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagepack.api.report.facts import Facts
    from sagepack.api.report.last_run import Activity, LastRun, RanStep

BEFORE, BETWEEN, AFTER = "planning", "planning the rest", "the end"
_MEANWHILE = {
    BEFORE: "the spec was read, and the services were asked what is there",
    BETWEEN: "what the steps before it had made known was looked up for the next ones",
    AFTER: "the result was looked up",
}
STATES = ("done", "running", "failed", "interrupted", "killed", "not ended", "not valid", "no run")
TROUBLE = frozenset(STATES) - {"done", "running", "no run"}
"""Those in which something is to be done."""
_OF_SEVERAL = {"no run": "without a run"}
_INTERRUPTED = (129, 130, 143)
_WORTH_LISTING = 0.01  # share of the time of what is between and after the steps
_WORTH_SAYING = 0.2  # share of the time of what comes second
_WORTH_A_LINE = 0.05  # share of the time of what happened within a part
_MOST_LINES = 5  # of what happened within a part
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


def parts(run: LastRun) -> tuple[Part, ...]:
    """The parts of a run, in their order."""
    found = [Part(BEFORE, 0.0, run.before)] if run.before else []
    at = run.before
    for step in sorted(run.steps, key=lambda each: each.begun):
        if step.begun - at > run.seconds * _WORTH_LISTING:
            found.append(Part(BETWEEN, at, step.begun - at))
        found.append(Part(step.name, step.begun, step.seconds, step))
        at = step.begun + step.seconds
    if run.steps and run.after > run.seconds * _WORTH_LISTING:
        found.append(Part(AFTER, run.seconds - run.after, run.after))
    return tuple(found)


def within(part: Part, run: LastRun) -> tuple[Activity, ...]:
    """What took most of the time of a part, in its order: those that are a good part of the whole run, five at most."""
    end, step = part.begun + part.seconds, part.step.name if part.step else None
    found = [
        each
        for each in run.activities
        if each.step == step and part.begun <= each.begun <= end and each.seconds > run.seconds * _WORTH_A_LINE
    ]
    longest = sorted(found, key=lambda each: -each.seconds)[:_MOST_LINES]
    return tuple(sorted(longest, key=lambda each: each.begun))


def most_of(part: Part, run: LastRun) -> Activity | None:
    """What took more than half of the time of a part; the innermost, where one goes on within another."""
    found = [each for each in within(part, run) if each.seconds > part.seconds / 2]
    return min(found, key=lambda each: each.seconds, default=None)


def share(seconds: float, run: LastRun) -> float:
    """How much of the time of the run that is, from 0 to 1."""
    return min(1.0, seconds / run.seconds) if run.seconds else 0.0


def outcome(run: LastRun) -> str:
    """How a run ended, in a word: `done`, `failed`, `interrupted`, `killed`, `running`, or `not ended` if none of these is known."""
    if run.exit_code is None:
        return {True: "running", False: "killed", None: "not ended"}[run.goes_on]
    if run.exit_code in _INTERRUPTED:
        return "interrupted"
    return "failed" if run.error else "done"


def headline(run: LastRun) -> str:
    """How long the run took, and most of it for what."""
    took = format_duration(run.seconds)
    stopped = _where_it_stopped(run)
    begin = {
        "done": f"The last run (`{run.task}`) took {took}",
        "failed": f"The last run (`{run.task}`) failed{stopped} after {took}",
        "interrupted": f"The last run (`{run.task}`) was interrupted{stopped} after {took}",
        "running": f"The last run (`{run.task}`) goes on{stopped}: {took} until now",
        "killed": f"The last run (`{run.task}`) was killed{stopped}; its last event came after {took}",
        "not ended": f"The last run (`{run.task}`) goes on or was killed{stopped}; its last event came after {took}",
    }[outcome(run)]
    longest = _longest(run)
    if not longest:
        return f"{begin}."
    first, *others = longest
    text = f"{begin}, of which {_amount(first, run)} went to {_what(first, run)}"
    if others and share(others[0].seconds, run) >= _WORTH_SAYING:
        text += f", and {_amount(others[0], run)} to {_what(others[0], run)}"
    return f"{text}."


def state(member: Facts) -> str:
    """How the last run of a spec ended, `no run` if none is known, or `not valid` for a spec with mistakes."""
    if member.name is None:
        return "not valid"
    return outcome(member.run) if member.run else "no run"


def outcomes(members: Sequence[Facts]) -> dict[str, int]:
    """How many specs are in which state."""
    words = [state(each) for each in members]
    return {word: words.count(word) for word in STATES if word in words}


def how_many(members: Sequence[Facts]) -> str:
    """How many specs there are, and in how many environments: `4 specs in 2 environments`."""
    specs, envs = (
        counted(len(set(found)), word)
        for found, word in (
            ([each.config for each in members], "spec"),
            ([each.env for each in members], "environment"),
        )
    )
    return specs if envs == "1 environment" else f"{specs} in {envs}"


def fleet_moved(members: Sequence[Facts]) -> str:
    """The bytes that the last runs moved together; empty if they moved none."""
    amounts = ((sum(each.run.moved(name) for each in members if each.run), said) for name, said in _MOVED)
    return ", ".join(f"{format_bytes(amount)} {said}" for amount, said in amounts if amount)


def fleet_headline(members: Sequence[Facts]) -> str:
    """What the last runs of several specs came to, and which took longest."""
    runs = [(each, each.run) for each in members if each.run]
    ended = (f"{count} {_OF_SEVERAL.get(word, word)}" for word, count in outcomes(members).items())
    text = f"{how_many(members)}: {', '.join(ended)}."
    if not runs:
        return text
    slowest, run = max(runs, key=lambda each: each[1].seconds)
    took = format_duration(sum(run.seconds for _, run in runs))
    return f"{text} The last runs took {took} together; the longest was `{slowest.name}` in {slowest.env}, {format_duration(run.seconds)}."


def because(run: LastRun) -> tuple[str, ...]:
    """Why the longest parts of a run took their time, as far as the headline does not say it: a sentence or two each."""
    found = [part for part in _longest(run)[:2] if share(part.seconds, run) >= _WORTH_SAYING]
    return tuple(_reason(part, run) for part in found if part.step or not most_of(part, run))


def longest(run: LastRun) -> str:
    """The part that took longest, in a few words; empty for a run of no time."""
    first = next(iter(_longest(run)), None)
    return f"longest part: {first.name}" if first else ""


def did(part: Part, run: LastRun) -> str:
    """What a part has done, in a few words, or why a step ran that does not say it."""
    step = part.step
    if step is None:
        return _MEANWHILE[part.name]
    said = "; ".join(step.outcome) or moved(step)
    return said or (f"because: {'; '.join(reasons(step, run))}" if step.succeeded else "")


def moved(step: RanStep) -> str:
    """The bytes that a step moved, such as `4.2 GiB fetched, 1.0 MiB sent to S3`; empty if it moved none."""
    amounts = ((getattr(step, name), words) for name, words in _MOVED)
    return ", ".join(f"{format_bytes(amount)} {words}" for amount, words in amounts if amount)


def reasons(step: RanStep, run: LastRun) -> tuple[str, ...]:
    """Why a step ran: what was not as it should be at AWS, or what the plan said."""
    action = next((action for action in run.actions if action.step == step.name), None)
    return tuple(change.reason for change in action.changes) if action and action.changes else step.reasons


def _longest(run: LastRun) -> list[Part]:
    return sorted((part for part in parts(run) if part.seconds > 0), key=lambda part: -part.seconds)


def _amount(part: Part, run: LastRun) -> str:
    return f"{format_duration(part.seconds)} ({share(part.seconds, run):.0%})".replace("%", "\N{NO-BREAK SPACE}%")


def _where_it_stopped(run: LastRun) -> str:
    """In which step, and doing what, a run is that has not ended well; empty if it was in none."""
    step = next((f" in the step `{step.name}`" for step in reversed(run.steps) if not step.succeeded), "")
    doing = next((f" at “{each.label}”" for each in reversed(run.activities) if not each.has_ended), "")
    return step + doing


def _what(part: Part, run: LastRun) -> str:
    main = most_of(part, run)
    most = f", {format_duration(main.seconds)} of it to “{main.label}”" if main and main.has_ended else ""
    if part.step is None:
        return part.name + most
    done = moved(part.step)
    if done and not main and part.seconds >= 1:
        done += f", {format_bytes(part.step.moved / part.seconds)} a second"
    return f"the step `{part.name}`" + (f" ({done})" if done else "") + most


def _reason(part: Part, run: LastRun) -> str:
    if part.step is None:
        return f"{part.name.capitalize()}: {_MEANWHILE[part.name]}."
    planned = " the plan said" if any(action.step == part.name for action in run.actions) else ""
    return f"`{part.name}` ran because{planned}: {'; '.join(reasons(part.step, run))}."


def built_by(builder: str | None) -> str | None:
    """Who built a package, by the URI in its provenance."""
    return "a machine that is no CI" if builder == LOCAL else builder


def contents(files: int, size: int) -> str:
    """How much there is: `12 files, 4.2 GiB`."""
    return f"{counted(files, 'file')}, {format_bytes(size)}"
