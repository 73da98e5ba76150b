"""What happens in a run, as `--events` writes it: a value for each kind of event, one JSON document a line."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - msgspec reads the annotations
from typing import Any

from sagepack.api.results import SpecReference  # noqa: TC001 - msgspec reads the annotations
from sagepack.decoding import Value
from sagepack.engine.plan import Action  # noqa: TC001 - msgspec reads the annotations


class RunBegun(Value, frozen=True, tag="run-begun", tag_field="event"):
    """The first event of a run.

    Attributes:
        time: when, in UTC.
        version: version of this format.
        sagepack: version of the program.
        task: the task as it is typed.
        config: the spec's file as it was given; empty for the only one of the project.
        env: the environment.
    """

    time: datetime
    version: int
    sagepack: str
    task: str
    config: str
    env: str


class Planned(Value, frozen=True, tag="planned", tag_field="event"):
    """What will be done is known. It comes again when a step has made known what the later ones have to do; the last one counts.

    Attributes:
        time: when, in UTC.
        actions: every step of the goal: whether it runs and why, and the bytes that it is expected to move.
    """

    time: datetime
    actions: tuple[Action, ...]


class StepBegun(Value, frozen=True, tag="step-begun", tag_field="event"):
    """A step runs.

    Attributes:
        time: when, in UTC.
        step: its name.
        reasons: why.
    """

    time: datetime
    step: str
    reasons: tuple[str, ...]


class Moving(Value, frozen=True, tag="progress", tag_field="event"):
    """How far something is: at most two a second of each label, and one when it ends.

    Attributes:
        time: when, in UTC.
        step: the step that runs; null outside of steps.
        label: what is being done, such as `fetching` or `publishing`.
        done: bytes that are done. It may become less, when a request is repeated.
        total: bytes that there are to do.
    """

    time: datetime
    step: str | None
    label: str
    done: int
    total: int


class Noted(Value, frozen=True, tag="note", tag_field="event"):
    """A line for people.

    Attributes:
        time: when, in UTC.
        step: the step that runs; null outside of steps.
        text: what it says.
    """

    time: datetime
    step: str | None
    text: str


class Warned(Value, frozen=True, tag="warning", tag_field="event"):
    """Something is wrong with the spec or its code, but not wrong enough to refuse it.

    Attributes:
        time: when, in UTC.
        where: `file:line:column`, `file:line` or `file`.
        key: dotted path of the key; empty where it is about none.
        message: what is wrong.
        fix: what to do.
    """

    time: datetime
    where: str
    key: str
    message: str
    fix: str | None


class StepEnded(Value, frozen=True, tag="step-ended", tag_field="event"):
    """A step has ended.

    Attributes:
        time: when, in UTC.
        step: its name.
        succeeded: whether it did all of its work.
        seconds: how long it took.
        outcome: what it has done, in a few words.
        fetched: bytes that it has fetched; null where it counts none.
        sent: bytes of the model that it has sent to S3; null where it counts none.
        copied: bytes that S3 has copied by itself; null where it counts none.
    """

    time: datetime
    step: str
    succeeded: bool
    seconds: float
    outcome: tuple[str, ...]
    fetched: int | None
    sent: int | None
    copied: int | None


class RunEnded(Value, frozen=True, tag="run-ended", tag_field="event"):
    """The last event of a run. A file without it is of a run that goes on, or that was killed.

    Attributes:
        time: when, in UTC.
        exit_code: the exit code of the task.
        seconds: how long it took.
        spec: which spec it was about; null where it read none.
        result: what came of it, as `result.schema.json` has it; null if it failed.
        error: why it failed, as `error.schema.json` has it; null if it did not.
    """

    time: datetime
    exit_code: int
    seconds: float
    spec: SpecReference | None
    result: dict[str, Any] | None
    error: dict[str, Any] | None


VERSION = 1
Event = RunBegun | Planned | StepBegun | Moving | Noted | Warned | StepEnded | RunEnded
EVENTS: tuple[type[Value], ...] = (RunBegun, Planned, StepBegun, Moving, Noted, Warned, StepEnded, RunEnded)
