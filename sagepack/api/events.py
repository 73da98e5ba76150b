"""What happens in a run, as `--events` writes it: a value for each kind of event, one JSON document a line.

A run begins with `RunBegun` and ends with `RunEnded`, also one of a fleet. What happens in a job of a fleet lies between its
`JobBegun` and its `JobEnded`, and names the job; whoever groups the events by it reads each job as the run of a single spec.
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - msgspec reads the annotations
from typing import Any

from sagepack.api.results import (
    Job,  # noqa: TC001 - msgspec reads the annotations
    SpecReference,  # noqa: TC001 - msgspec reads the annotations
)
from sagepack.decoding import Value
from sagepack.engine.plan import Action  # noqa: TC001 - msgspec reads the annotations


class JobReference(Value, frozen=True):
    """Which job of a fleet.

    Attributes:
        config: the spec's file.
        env: the environment.
    """

    config: str
    env: str


class RunBegun(Value, frozen=True, tag="run-begun", tag_field="event"):
    """The first event of a run.

    Attributes:
        time: when, in UTC.
        version: version of this format.
        sagepack: version of the program.
        task: the task as it is typed.
        config: the spec's file as it was given; empty for the only one of the project, and for a task that is about no spec.
        env: the environment; empty for a task that is about no spec.
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
        job: the job of a fleet that it happens in; null in the run of a single spec.
    """

    time: datetime
    actions: tuple[Action, ...]
    job: JobReference | None = None


class StepBegun(Value, frozen=True, tag="step-begun", tag_field="event"):
    """A step runs.

    Attributes:
        time: when, in UTC.
        step: its name.
        reasons: why.
        job: the job of a fleet that it happens in; null in the run of a single spec.
    """

    time: datetime
    step: str
    reasons: tuple[str, ...]
    job: JobReference | None = None


class ActivityBegun(Value, frozen=True, tag="activity-begun", tag_field="event"):
    """Something begins that may take a while, nobody knows how long. Several may go on at a time, within and outside of steps.

    Attributes:
        time: when, in UTC.
        step: the step that runs; null outside of steps.
        label: what is being done, such as `asking AWS what is there`.
        job: the job of a fleet that it happens in; null in the run of a single spec.
    """

    time: datetime
    step: str | None
    label: str
    job: JobReference | None = None


class ActivityEnded(Value, frozen=True, tag="activity-ended", tag_field="event"):
    """It has ended, well or not.

    Attributes:
        time: when, in UTC.
        step: the step in which it began; null outside of steps.
        label: as in activity-begun.
        seconds: how long it took.
        job: the job of a fleet that it happens in; null in the run of a single spec.
    """

    time: datetime
    step: str | None
    label: str
    seconds: float
    job: JobReference | None = None


class Moving(Value, frozen=True, tag="progress", tag_field="event"):
    """How far something is: at most two a second of each label, and one when it ends.

    Attributes:
        time: when, in UTC.
        step: the step that runs; null outside of steps.
        label: what is being done, such as `fetching` or `publishing`.
        done: bytes that are done. It may become less, when a request is repeated.
        total: bytes that there are to do.
        job: the job of a fleet that it happens in; null in the run of a single spec.
    """

    time: datetime
    step: str | None
    label: str
    done: int
    total: int
    job: JobReference | None = None


class Noted(Value, frozen=True, tag="note", tag_field="event"):
    """A line for people.

    Attributes:
        time: when, in UTC.
        step: the step that runs; null outside of steps.
        text: what it says.
        job: the job of a fleet that it happens in; null in the run of a single spec.
    """

    time: datetime
    step: str | None
    text: str
    job: JobReference | None = None


class Warned(Value, frozen=True, tag="warning", tag_field="event"):
    """Something is wrong with the spec or its code, but not wrong enough to refuse it.

    Attributes:
        time: when, in UTC.
        where: `file:line:column`, `file:line` or `file`.
        key: dotted path of the key; empty where it is about none.
        message: what is wrong.
        fix: what to do.
        job: the job of a fleet that it happens in; null in the run of a single spec.
    """

    time: datetime
    where: str
    key: str
    message: str
    fix: str | None
    job: JobReference | None = None


class CameFrom(Value, frozen=True):
    """Where a file of the package came from, as it was planned when the step began.

    Attributes:
        path: path of the file in the package; null for all but the 20 largest together.
        count: number of files: 1, or how many others there are.
        size: bytes.
        fetched: bytes of it that were fetched from the Hub, or from S3 to be sent.
        sent: bytes of it that were sent to S3.
        copied: bytes of it that S3 copied by itself.
    """

    path: str | None
    count: int
    size: int
    fetched: int
    sent: int
    copied: int


class StepEnded(Value, frozen=True, tag="step-ended", tag_field="event"):
    """A step has ended.

    Attributes:
        time: when, in UTC.
        step: its name.
        succeeded: whether it did all of its work.
        seconds: how long it took.
        outcome: what it has done, in a few words.
        fetched: bytes that it has fetched from the Hub, those included that are sent on and not kept; null where it counts none.
        sent: bytes of the model that it has sent to S3; null where it counts none.
        copied: bytes that S3 has copied by itself; null where it counts none. With `--remote` all three are those of the job,
            and null if it did not say.
        files: where the files came from, the largest first; null where the step does not know.
        job: the job of a fleet that it happens in; null in the run of a single spec.
    """

    time: datetime
    step: str
    succeeded: bool
    seconds: float
    outcome: tuple[str, ...]
    fetched: int | None
    sent: int | None
    copied: int | None
    files: tuple[CameFrom, ...] | None = None
    job: JobReference | None = None


class FleetBegun(Value, frozen=True, tag="fleet-begun", tag_field="event"):
    """The jobs of a fleet are known. It comes twice where a person has to agree first: for the plan, and for the goal.

    Attributes:
        time: when, in UTC.
        goal: what each job is to reach.
        to: the step that is planned for, if the goal is `plan`.
        jobs: each spec in each environment, in the order of the selection.
    """

    time: datetime
    goal: str
    to: str | None
    jobs: tuple[JobReference, ...]


class JobBegun(Value, frozen=True, tag="job-begun", tag_field="event"):
    """A job of a fleet begins.

    Attributes:
        time: when, in UTC.
        job: which.
        left: how many others wait.
    """

    time: datetime
    job: JobReference
    left: int


class JobSkipped(Value, frozen=True, tag="job-skipped", tag_field="event"):
    """A job of a fleet does not begin.

    Attributes:
        time: when, in UTC.
        job: which.
        reason: why.
        result: what is known of it.
    """

    time: datetime
    job: JobReference
    reason: str
    result: Job


class JobEnded(Value, frozen=True, tag="job-ended", tag_field="event"):
    """A job of a fleet has ended.

    Attributes:
        time: when, in UTC.
        job: which.
        result: what came of it, with the error if it failed.
    """

    time: datetime
    job: JobReference
    result: Job


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
Event = (
    RunBegun
    | Planned
    | StepBegun
    | ActivityBegun
    | ActivityEnded
    | Moving
    | Noted
    | Warned
    | StepEnded
    | FleetBegun
    | JobBegun
    | JobSkipped
    | JobEnded
    | RunEnded
)
EVENTS: tuple[type[Value], ...] = (
    RunBegun,
    Planned,
    StepBegun,
    ActivityBegun,
    ActivityEnded,
    Moving,
    Noted,
    Warned,
    StepEnded,
    FleetBegun,
    JobBegun,
    JobSkipped,
    JobEnded,
    RunEnded,
)
