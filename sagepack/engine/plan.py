"""The plan: the status of each step in, a list of actions out. Pure: it reads no disk and asks no service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from msgspec import field

from sagepack.decoding import Value
from sagepack.deploy.change import Change  # noqa: TC001 - msgspec reads the annotations
from sagepack.engine.records import differences

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sagepack.engine.records import Record

Context = TypeVar("Context")


class Content(Value, frozen=True):
    """How a file of the package gets to S3.

    Attributes:
        path: path of the file in the package.
        size: its bytes.
        copied: bytes that S3 copies by itself.
        sent: bytes that are sent to S3.
        fetched: bytes that are fetched from the Hub or from S3 to be sent.
        read: bytes that are read from the source and hashed before S3 copies them.
        source: the object that S3 copies from, if there is one.
        binding: what binds the bytes of the source to the SHA-256 of the content.
    """

    path: str
    size: int
    copied: int
    sent: int
    fetched: int
    read: int
    source: str | None
    binding: str | None


class Step(Value, Generic[Context], frozen=True):
    """One step of a build: what it needs, how it is looked at, and how it is done.

    Attributes:
        name: as plans, records and the command line have it.
        needs: names of the steps that must be done before.
        version: of the step's code; raised when the same inputs give another output.
        status: what is known of the step before anything runs. Looks and changes nothing.
        run: does the work, verifies the output and then writes the record; the same call after a crash at any instant
            finishes it.
        result: what a user looks for after a run: values of `outputs`, by their field of `api.results.Built`.
        model_files: the model files that the step reads from this disk; `download` fetches those that any step of the goal
            reads.
        contents: for each file of the package, the bytes that the step would move.
        writes_to_aws: whether it changes something in the account of `aws.account`.
    """

    name: str
    needs: tuple[str, ...]
    version: int
    status: Callable[[Context], StepStatus]
    run: Callable[[Context], None]
    result: Callable[[Context], dict[str, Any]] = field(default=lambda _context: {})
    model_files: Callable[[Context], tuple[Any, ...]] | None = None
    contents: Callable[[Context], tuple[Content, ...]] | None = None
    writes_to_aws: bool = False


class StepStatus(Value, frozen=True):
    """What is known of a step before anything runs. `recorded`, `observed` and `UNKNOWN` make one.

    Attributes:
        inputs: everything that the output depends on; None while an earlier step has yet to say.
        record: what the step did last.
        stale_reasons: why the output cannot be used although the inputs are the same (missing, of another size); for a
            step that is observed, why there is work to do.
        is_observed: whether `stale_reasons` alone decide: the output was looked at where it is, so no record is needed.
        fetch, send, copy: bytes that would come from, go to, and be copied inside remote services.
        changes: what would be done to resources of AWS.
        done: what to say when there is nothing to do.
        obstacle: why the step must not run, whatever else is known of it.
    """

    inputs: dict[str, Any] | None = None
    record: Record | None = None
    stale_reasons: tuple[str, ...] = ()
    is_observed: bool = False
    fetch: int = 0
    send: int = 0
    copy: int = 0
    changes: tuple[Change, ...] = ()
    done: str = "up to date"
    obstacle: str | None = None

    @classmethod
    def recorded(cls, inputs: dict[str, Any], record: Record | None, stale_reasons: tuple[str, ...] = ()) -> StepStatus:
        """The status of a step whose last record says what it did."""
        return cls(inputs, record, stale_reasons)

    @classmethod
    def observed(cls, inputs: dict[str, Any], stale_reasons: tuple[str, ...], *, done: str, **more: Any) -> StepStatus:
        """The status of a step whose output was looked at where it is: on this disk, in S3, at SageMaker.

        `more` are `fetch`, `send`, `copy` and `changes`.
        """
        return cls(inputs, None, stale_reasons, is_observed=True, done=done, **more)


UNKNOWN = StepStatus()  # an earlier step has to run before anything can be said


Status = Literal["run", "skip", "blocked"]


class Action(Value, frozen=True):
    """One line of a plan.

    Attributes:
        step: name of the step.
        status: whether it runs, is skipped, or must not run: what it would change, or the account, is not this spec's.
        reasons: why.
        fetch: bytes that it fetches from the Hub, as far as known.
        send: bytes that it sends to S3, as far as known.
        copy: bytes that S3 copies by itself, as far as known.
        changes: what is done to resources of AWS.
        seconds: how long it took; null for a step that has not run.
    """

    step: str
    status: Status
    reasons: tuple[str, ...]
    fetch: int = 0
    send: int = 0
    copy: int = 0
    changes: tuple[Change, ...] = ()
    seconds: float | None = None

    @property
    def runs(self) -> bool:
        """Whether the step runs."""
        return self.status == "run"


def steps_to(goal: str, steps: Sequence[Step[Context]]) -> tuple[Step[Context], ...]:
    """The steps that reaching the step `goal` takes, in the order of `steps`, each after what it needs."""
    by_name = {step.name: step for step in steps}
    wanted: set[str] = set()
    pending = [goal]
    while pending:
        name = pending.pop()
        wanted.add(name)
        pending.extend(by_name[name].needs)
    return tuple(step for step in steps if step.name in wanted)


def plan(steps: Sequence[Step[Context]], statuses: Mapping[str, StepStatus]) -> list[Action]:
    """What would run, and why; every step is listed.

    Args:
        steps: those of the goal, each after what it needs.
        statuses: what is known of each, by name.
    """
    actions: list[Action] = []
    running: set[str] = set()
    for step in steps:
        status = statuses[step.name]
        reasons = _reasons(step, status, running)
        if status.obstacle:
            actions.append(Action(step.name, "blocked", (status.obstacle,)))
        elif reasons:
            running.add(step.name)
            how: Status = "blocked" if any(change.is_blocked for change in status.changes) else "run"
            actions.append(Action(step.name, how, reasons, status.fetch, status.send, status.copy, status.changes))
        else:
            actions.append(Action(step.name, "skip", (status.done,)))
    return actions


def _reasons(step: Step[Context], status: StepStatus, running: set[str]) -> tuple[str, ...]:
    if status.inputs is None:
        return tuple(f"{need} runs first" for need in step.needs if need in running) or status.stale_reasons
    if status.is_observed:
        return status.stale_reasons
    record = status.record
    if record is None or not record.finished:
        return ("its last run did not finish" if record else "first run",)
    if record.version != step.version:
        return (f"the step's own code changed (version {record.version} to {step.version})",)
    return differences(record.inputs, status.inputs) or status.stale_reasons
