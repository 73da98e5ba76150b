"""The plan: facts in, a list of actions out. Pure: it reads no disk and asks no service."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from sagepack.digest import fingerprint
from sagepack.engine.records import differences

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sagepack.engine.records import Record

# What each step needs. `upload` needs no local archive: it splices the target from contents, wherever they lie.
NEEDS: dict[str, tuple[str, ...]] = {
    "lock": (),
    "download": ("lock",),
    "assemble": ("lock",),
    "checksum": ("assemble",),
    "tar": ("download", "checksum"),
    "upload": ("download", "checksum"),
    "deploy": ("upload",),
}
GOALS = {**{step: step for step in NEEDS}, "package": "tar"}


@dataclass(frozen=True)
class StepStatus:
    """What is known of a step before anything runs.

    Attributes:
        version: version of the step's code.
        inputs: everything that its output depends on; None while an earlier step has yet to tell.
        record: what it did last.
        trouble: why its output cannot be used although the inputs are the same (missing, of another size); for steps
            that are observed rather than remembered, why there is work to do.
        observed: whether `trouble` alone decides: the output was looked at where it is, so no record is needed.
        fetch, send: bytes that would come from, and go to, remote services.
        done: what to say when there is nothing to do.
    """

    version: int
    inputs: dict[str, Any] | None = None
    record: Record | None = None
    trouble: tuple[str, ...] = ()
    observed: bool = False
    fetch: int = 0
    send: int = 0
    done: str = "inputs and output are as recorded"


@dataclass(frozen=True)
class Action:
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
        return {**asdict(self), "reasons": list(self.reasons)}


def steps_to(goal: str) -> tuple[str, ...]:
    """The steps that `goal` stands for, in the order they run."""
    wanted: set[str] = set()
    pending = [GOALS[goal]]
    while pending:
        step = pending.pop()
        wanted.add(step)
        pending.extend(NEEDS[step])
    return tuple(step for step in NEEDS if step in wanted)


def plan(goal: str, facts: Mapping[str, StepStatus]) -> list[Action]:
    """What would run to reach `goal`, and why; every step of the goal is listed.

    Args:
        goal: a step, or `package`.
        facts: what is known of each step of the goal.
    """
    actions: list[Action] = []
    running: set[str] = set()
    for step in steps_to(goal):
        reasons = _reasons(step, facts[step], running)
        if reasons:
            running.add(step)
            actions.append(Action(step, True, reasons, facts[step].fetch, facts[step].send))
        else:
            actions.append(Action(step, False, (facts[step].done,)))
    return actions


def _reasons(step: str, fact: StepStatus, running: set[str]) -> tuple[str, ...]:
    if fact.inputs is None:
        return tuple(f"{need} runs first" for need in NEEDS[step] if need in running) or fact.trouble
    if fact.observed:
        return fact.trouble
    if fact.record is None or not fact.record.finished:
        return ("its last run did not finish" if fact.record else "it has not run yet",)
    if fact.record.version != fact.version:
        return (f"the step's own code changed (version {fact.record.version} to {fact.version})",)
    if fingerprint(fact.record.inputs) != fingerprint(fact.inputs):
        return differences(fact.record.inputs, fact.inputs)
    return fact.trouble
