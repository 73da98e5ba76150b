"""The plan: the status of each step in, a list of actions out. Pure: it reads no disk and asks no service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from msgspec import field, structs

from sagepack.decoding import Value
from sagepack.engine.records import differences

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sagepack.engine.records import Record

Context = TypeVar("Context")


class Step(Value, Generic[Context], frozen=True):
    """One step of a build: what it needs, how it is looked at, and how it is done.

    Attributes:
        name: as plans, records and the command line have it.
        needs: names of the steps that must be done before.
        version: of the step's code; raised when the same inputs give another output.
        status: what is known of the step before anything runs. Looks and changes nothing.
        run: does the work, verifies the output and then writes the record; the same call after a crash at any instant
            finishes it.
        result: what a user looks for after a run, by name.
        model_files: the model files that the step reads from this disk; `download` fetches those that any step of the goal
            reads.
        contents: for each file of the package, the bytes that the step would move, as a JSON document.
    """

    name: str
    needs: tuple[str, ...]
    version: int
    status: Callable[[Context], StepStatus]
    run: Callable[[Context], None]
    result: Callable[[Context], dict[str, str]] = field(default=lambda _context: {})
    model_files: Callable[[Context], tuple[Any, ...]] | None = None
    contents: Callable[[Context], list[dict[str, Any]]] | None = None


class StepStatus(Value, frozen=True):
    """What is known of a step before anything runs. `recorded`, `observed` and `UNKNOWN` make one.

    Attributes:
        inputs: everything that the output depends on; None while an earlier step has yet to say.
        record: what the step did last.
        stale_reasons: why the output cannot be used although the inputs are the same (missing, of another size); for a
            step that is observed, why there is work to do.
        is_observed: whether `stale_reasons` alone decide: the output was looked at where it is, so no record is needed.
        fetch, send: bytes that would come from, and go to, remote services.
        done: what to say when there is nothing to do.
    """

    inputs: dict[str, Any] | None = None
    record: Record | None = None
    stale_reasons: tuple[str, ...] = ()
    is_observed: bool = False
    fetch: int = 0
    send: int = 0
    done: str = "inputs and output are as recorded"

    @classmethod
    def recorded(cls, inputs: dict[str, Any], record: Record | None, stale_reasons: tuple[str, ...] = ()) -> StepStatus:
        """The status of a step whose last record says what it did."""
        return cls(inputs, record, stale_reasons)

    @classmethod
    def observed(
        cls, inputs: dict[str, Any], stale_reasons: tuple[str, ...], *, done: str, fetch: int = 0, send: int = 0
    ) -> StepStatus:
        """The status of a step whose output was looked at where it is: on this disk, in S3, at SageMaker."""
        return cls(inputs, None, stale_reasons, is_observed=True, fetch=fetch, send=send, done=done)


UNKNOWN = StepStatus()  # an earlier step has to run before anything can be said


class Action(Value, frozen=True):
    """One line of a plan.

    Attributes:
        step: name of the step.
        run: whether it runs; otherwise it is skipped.
        reasons: why.
        fetch, send: bytes over the network, as far as known.
    """

    step: str
    run: bool
    reasons: tuple[str, ...]
    fetch: int = 0
    send: int = 0

    def to_json(self) -> dict[str, Any]:
        """The document of `schemas/plan.schema.json`, one entry."""
        return {**structs.asdict(self), "reasons": list(self.reasons)}


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
        if reasons:
            running.add(step.name)
            actions.append(Action(step.name, True, reasons, status.fetch, status.send))
        else:
            actions.append(Action(step.name, False, (status.done,)))
    return actions


def _reasons(step: Step[Context], status: StepStatus, running: set[str]) -> tuple[str, ...]:
    if status.inputs is None:
        return tuple(f"{need} runs first" for need in step.needs if need in running) or status.stale_reasons
    if status.is_observed:
        return status.stale_reasons
    record = status.record
    if record is None or not record.finished:
        return ("its last run did not finish" if record else "it has not run yet",)
    if record.version != step.version:
        return (f"the step's own code changed (version {record.version} to {step.version})",)
    return differences(record.inputs, status.inputs) or status.stale_reasons
