"""The last run of a spec, from the events that it left. Pure: lines in, a value out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sagepack.api import events
from sagepack.api.events import Event
from sagepack.decoding import MalformedError, Value, convert, decode_json

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from sagepack.engine.plan import Action

_MOVED = ("fetched", "sent", "copied")


class NewerEventsError(ValueError):
    """The events were written by a later version of the program."""


class RanStep(Value, frozen=True):
    """A step that ran.

    Attributes:
        name: its name.
        reasons: why it ran.
        begun: seconds since the run began.
        seconds: how long it took; of one that has not ended, how long it was seen to run.
        succeeded: whether it did all of its work; None if its end is not among the events.
        outcome: what it has done.
        fetched, sent, copied: bytes that it moved, as far as it counts them.
    """

    name: str
    reasons: tuple[str, ...]
    begun: float
    seconds: float
    succeeded: bool | None = None
    outcome: tuple[str, ...] = ()
    fetched: int | None = None
    sent: int | None = None
    copied: int | None = None

    @property
    def moved(self) -> int:
        """All bytes that it moved."""
        return sum(getattr(self, name) or 0 for name in _MOVED)


class Problem(Value, frozen=True):
    """One of several things that are wrong with a spec, as `error.schema.json` has it."""

    where: str
    key: str
    message: str
    fix: str | None = None


class Failure(Value, frozen=True):
    """Why a run failed, as `error.schema.json` has it."""

    message: str
    where: str | None = None
    fix: str | None = None
    details: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()


class _Result(Value, frozen=True):
    manifest: str | None = None


class LastRun(Value, frozen=True):
    """What happened in a run.

    Attributes:
        task: the task as it was typed.
        sagepack: version of the program.
        begun: when it began, in UTC.
        seconds: how long it took, or was seen to run.
        actions: the last plan of it.
        steps: those that ran, in their order.
        warnings: what was wrong with the spec or its code.
        notes: lines for people: the step, if one ran, and the text.
        exit_code: None if the end of the run is not among the events: it goes on, or it was killed.
        manifest: identity of the package that it made; None if it made none.
        error: why it failed.
        unreadable: number of lines that were no events.
    """

    task: str
    sagepack: str
    begun: datetime
    seconds: float
    actions: tuple[Action, ...] = ()
    steps: tuple[RanStep, ...] = ()
    warnings: tuple[events.Warned, ...] = ()
    notes: tuple[events.Noted, ...] = ()
    exit_code: int | None = None
    manifest: str | None = None
    error: Failure | None = None
    unreadable: int = 0

    @property
    def has_ended(self) -> bool:
        """Whether its end is among the events."""
        return self.exit_code is not None

    @property
    def before(self) -> float:
        """Seconds before the first step: the spec was read, and the services were asked what is there."""
        return self.steps[0].begun if self.steps else self.seconds

    @property
    def after(self) -> float:
        """Seconds after the last step."""
        last = self.steps[-1] if self.steps else None
        return max(0.0, self.seconds - last.begun - last.seconds) if last else 0.0

    def moved(self, name: str) -> int:
        """Bytes that were `fetched`, `sent` or `copied` in all steps."""
        return sum(getattr(step, name) or 0 for step in self.steps)


def read(lines: Iterable[bytes]) -> LastRun | None:
    """The run that these lines are the events of; None if they do not even say that one began.

    A line that is no event is passed over and counted: a run that was killed may have left half of one.

    Raises:
        NewerEventsError: they are of a later version of the program.
    """
    found, unreadable = list[Event](), 0
    for line in lines:
        if not line.strip():
            continue
        try:
            found.append(decode_json(line, Event))  # type: ignore[arg-type] # a union is no class
        except MalformedError:
            unreadable += 1
    begun = next((event for event in found if isinstance(event, events.RunBegun)), None)
    if begun is None:
        return None
    if begun.version > events.VERSION:
        raise NewerEventsError(f"they are of version {begun.version}, written by sagepack {begun.sagepack}")
    return _of_events(begun, found, unreadable)


def _of_events(begun: events.RunBegun, found: list[Event], unreadable: int) -> LastRun:
    actions: tuple[Action, ...] = ()
    ended: events.RunEnded | None = None
    warnings, notes, open_steps, steps = list[events.Warned](), list[events.Noted](), list[events.StepBegun](), []
    for event in found:
        if isinstance(event, events.Planned):
            actions = event.actions
        elif isinstance(event, events.StepBegun):
            open_steps.append(event)
        elif isinstance(event, events.StepEnded) and open_steps:
            steps.append(_ended(open_steps.pop(), event, begun.time))
        elif isinstance(event, events.Warned):
            warnings.append(event)
        elif isinstance(event, events.Noted):
            notes.append(event)
        elif isinstance(event, events.RunEnded):
            ended = event
    seen = max(0.0, (found[-1].time - begun.time).total_seconds())
    steps += [_open(step, begun.time, seen) for step in open_steps]
    return LastRun(
        begun.task,
        begun.sagepack,
        begun.time,
        max(0.0, ended.seconds) if ended else seen,
        actions,
        tuple(steps),
        tuple(warnings),
        tuple(notes),
        ended.exit_code if ended else None,
        _manifest(ended.result if ended else None),
        _failure(ended.error if ended else None),
        unreadable,
    )


def _manifest(result: dict[str, Any] | None) -> str | None:
    try:
        return convert(result or {}, _Result).manifest
    except MalformedError:
        return None


def _failure(error: dict[str, Any] | None) -> Failure | None:
    try:
        return None if error is None else convert(error, Failure)
    except MalformedError:
        return Failure("it failed, and its error cannot be read")


def _ended(step: events.StepBegun, end: events.StepEnded, begun: datetime) -> RanStep:
    at = max(0.0, (step.time - begun).total_seconds())
    moved = end.fetched, end.sent, end.copied
    return RanStep(step.step, step.reasons, at, max(0.0, end.seconds), end.succeeded, end.outcome, *moved)


def _open(step: events.StepBegun, begun: datetime, seen: float) -> RanStep:
    at = max(0.0, (step.time - begun).total_seconds())
    return RanStep(step.step, step.reasons, at, max(0.0, seen - at))
