"""The last run of a spec, from the events that it left. Pure: bytes in, a value out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from sagepack.api import events
from sagepack.api.events import Event
from sagepack.decoding import MalformedError, Value, convert, decode_json

if TYPE_CHECKING:
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
        files: where the files came from, the largest first; None if it does not know.
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
    files: tuple[events.CameFrom, ...] | None = None

    @property
    def moved(self) -> int:
        """All bytes that it moved."""
        return sum(getattr(self, name) or 0 for name in _MOVED)


class Activity(Value, frozen=True):
    """Something that took a while, such as a wait for an answer.

    Attributes:
        label: what it was.
        step: the step in which it began; None outside of steps.
        begun: seconds since the run began.
        seconds: how long it took; of one that has not ended, how long it was seen to go on.
        has_ended: whether its end is among the events.
    """

    label: str
    step: str | None
    begun: float
    seconds: float
    has_ended: bool = True


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

    @property
    def summary(self) -> str:
        """Where and what, on one line."""
        return f"{self.where}: {self.message}" if self.where else self.message


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
        activities: what took a while, in the order in which it began.
        exit_code: None if the end of the run is not among the events: it goes on, or it was killed.
        goes_on: whether one without an end still goes on; None if that is not known.
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
    activities: tuple[Activity, ...] = ()
    exit_code: int | None = None
    goes_on: bool | None = None
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


def read(data: bytes, goes_on: bool | None = None, now: datetime | None = None) -> LastRun | None:
    """The run that left these events; None if they do not even say that one began.

    A line that is no event is passed over and counted, but for a last one that is not whole: whoever wrote it was about to
    write the rest, or was killed.

    Args:
        data: a line for each event.
        goes_on: whether somebody still writes them; None if that is not known.
        now: the time, for a run that goes on.

    Raises:
        NewerEventsError: they are of a later version of the program.
    """
    read_lines = [_event(line) for line in data.split(b"\n") if line.strip()]
    whole = read_lines if data.endswith(b"\n") else read_lines[:-1]
    found = [event for event in read_lines if event]
    begun = next((event for event in found if isinstance(event, events.RunBegun)), None)
    if begun is None:
        return None
    if begun.version > events.VERSION:
        raise NewerEventsError(f"they are of version {begun.version}, written by sagepack {begun.sagepack}")
    until = now if goes_on and now else found[-1].time
    return replace(_of_events(begun, found, until), goes_on=goes_on, unreadable=whole.count(None))


def _event(line: bytes) -> Event | None:
    try:
        return decode_json(line, Event)  # type: ignore[arg-type] # a union is no class
    except MalformedError:
        return None


def _of_events(begun: events.RunBegun, found: list[Event], until: datetime) -> LastRun:
    ended = next((event for event in reversed(found) if isinstance(event, events.RunEnded)), None)
    seen = max(0.0, (until - begun.time).total_seconds())
    return LastRun(
        begun.task,
        begun.sagepack,
        begun.time,
        max(0.0, ended.seconds) if ended else seen,
        next((event.actions for event in reversed(found) if isinstance(event, events.Planned)), ()),
        _steps(found, begun.time, seen),
        tuple(event for event in found if isinstance(event, events.Warned)),
        tuple(event for event in found if isinstance(event, events.Noted)),
        _activities(found, begun.time, seen),
        ended.exit_code if ended else None,
        manifest=_manifest(ended.result if ended else None),
        error=_failure(ended.error if ended else None),
    )


def _steps(found: list[Event], begun: datetime, seen: float) -> tuple[RanStep, ...]:
    going_on, steps = list[events.StepBegun](), []
    for event in found:
        if isinstance(event, events.StepBegun):
            going_on.append(event)
        elif isinstance(event, events.StepEnded) and going_on:
            steps.append(_ended(going_on.pop(), event, begun))
    return (*steps, *(_open(step, begun, seen) for step in going_on))


def _activities(found: list[Event], begun: datetime, seen: float) -> tuple[Activity, ...]:
    going_on, activities = list[events.ActivityBegun](), list[Activity]()
    for event in found:
        if isinstance(event, events.ActivityBegun):
            going_on.append(event)
        elif isinstance(event, events.ActivityEnded):
            first = next((each for each in going_on if (each.step, each.label) == (event.step, event.label)), None)
            if first:
                going_on.remove(first)
                at = _seconds_between(begun, first.time)
                activities.append(Activity(first.label, first.step, at, max(0.0, event.seconds)))
    for each in going_on:
        at = _seconds_between(begun, each.time)
        activities.append(Activity(each.label, each.step, at, max(0.0, seen - at), has_ended=False))
    return tuple(sorted(activities, key=lambda each: each.begun))


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
    at = _seconds_between(begun, step.time)
    moved = end.fetched, end.sent, end.copied
    return RanStep(
        step.step, step.reasons, at, max(0.0, end.seconds), end.succeeded, end.outcome, *moved, files=end.files
    )


def _open(step: events.StepBegun, begun: datetime, seen: float) -> RanStep:
    at = _seconds_between(begun, step.time)
    return RanStep(step.step, step.reasons, at, max(0.0, seen - at))


def _seconds_between(begun: datetime, time: datetime) -> float:
    return max(0.0, (time - begun).total_seconds())
