"""Gathers what is known of each step, asks the plan, and runs the actions."""

from __future__ import annotations

import time
from contextlib import nullcontext
from typing import TYPE_CHECKING

from msgspec.structs import replace

from sagepack import files
from sagepack.deploy.change import MANAGED_FIX, require_no_loss
from sagepack.engine import lazy
from sagepack.engine import plan as planning
from sagepack.errors import SagepackError, UserError
from sagepack.text import counted
from sagepack.workers import worker_pool

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from sagepack.deploy import waiter
    from sagepack.engine import preflight, scanning
    from sagepack.engine.context import BuildContext
    from sagepack.engine.plan import Action, StepStatus

    Review = Callable[[BuildContext, Sequence[Action]], None]
else:
    preflight = lazy.module("engine.preflight")
    scanning = lazy.module("engine.scanning")
    waiter = lazy.module("deploy.waiter")

_LOOK_LASTS = 10.0
"""Seconds for which what was seen of an endpoint is acted on: about as long as a look over a bad link takes. Whoever else deploys
needs minutes, and is noticed after the wait."""


def plan(context: BuildContext) -> list[Action]:
    """What would run, and why. Changes nothing; services are asked only where a step of the goal observes or writes to them."""
    statuses, _ = _look(context)
    _report(context)
    _warn(context, statuses)
    actions = planning.plan(context.steps, statuses)
    _announce(context, actions)
    return actions


def run(context: BuildContext, review: Review | None = None) -> tuple[BuildContext, list[Action]]:
    """Reach the goal. An outage of AWS, the network or the login during it is survived if steps write to AWS.

    A step whose inputs an earlier step had yet to make is planned again when they are there.

    Args:
        context: the run.
        review: called with what would be done, before it is, and again before resources of AWS are changed; raises what
            ends the run.

    Returns:
        The context after the last step, and the actions as they were taken.

    Raises:
        UserError: a step is blocked, or a check of what it needs failed. Those before it have not run, unless the status was
            only known after them.
    """
    with _surviving(context):
        return _run(context, review)


def _surviving(context: BuildContext) -> AbstractContextManager[None]:
    if not any(step.writes_to_aws for step in context.steps):
        return nullcontext()
    return waiter.surviving(context.clients.aws, context.progress, waiter.WaiterConfig.of(context.spec))


def _run(context: BuildContext, review: Review | None) -> tuple[BuildContext, list[Action]]:
    holder = files.last_holder(context.work.mutex_path)
    looked = time.monotonic()
    statuses, obstacles = _look(context)
    actions = _allowed(context, planning.plan(context.steps, statuses), obstacles.errors if obstacles else None)
    if obstacles and any(
        step.writes_to_aws and action.runs for step, action in zip(context.steps, actions, strict=True)
    ):
        with context.progress.activity("checking what else the steps need"):
            preflight.guard(context, known=obstacles.known, updates=_updates(actions))
    _report(context)
    warned = _warn(context, statuses)
    _announce(context, actions)
    if review:
        review(context, actions)
    context.progress.planned(actions)
    if not any(action.runs for action in actions):
        return context, actions
    with exclusive(context) as last_holder:
        if last_holder != holder:  # another command may have done the work meanwhile
            context, looked = context.refreshed(), time.monotonic()
            statuses = _statuses(context)
            actions = _allowed(context, planning.plan(context.steps, statuses))
            if review:
                review(context, actions)
            context.progress.planned(actions)
        return _carry_out(context, actions, statuses, review, looked, warned=warned)


def _report(context: BuildContext) -> None:
    """Tell what is known to be wrong with the model's files, where the spec wants it reported. What a step finds it tells itself."""
    if context.spec.trust.scan == "warn" and context.current_lock:
        scanning.enforce(context, scanning.remembered(context))


def _announce(context: BuildContext, actions: Sequence[Action]) -> None:
    """Tell what becomes public, and cannot be taken back, before it does."""
    if any(action.step == "upload" and action.runs for action in actions) and (told := context.trust.made_public):
        context.progress.note(told)


def _warn(context: BuildContext, statuses: Mapping[str, StepStatus]) -> bool:
    """Tell what is wrong with the code, but not wrong enough to refuse it; whether the code could be read."""
    assembled = statuses.get("assemble")
    if assembled is None or assembled.inputs is None:
        return False
    for warning in context.code_warnings:
        context.progress.warn(warning)
    return True


def _carry_out(
    context: BuildContext,
    actions: list[Action],
    statuses: dict[str, StepStatus],
    review: Review | None,
    looked: float,
    *,
    warned: bool,
) -> tuple[BuildContext, list[Action]]:
    """Run the steps of a plan, of which `looked` is the time on the monotonic clock."""
    for number, step in enumerate(context.steps):
        if not actions[number].runs:
            continue
        # Whoever reviewed the plan took the time for it.
        is_old = review is not None or time.monotonic() - looked > _LOOK_LASTS
        if is_old and actions[number].changes:
            context = context.refreshed()
            if review:
                review(context, planning.plan([step], {step.name: step.status(context)}))
        begun = time.monotonic()
        with context.progress.step(step.name, _briefly(actions[number])):
            for change in actions[number].changes:
                context.progress.note(f"{change.sign} {change.effect}".lstrip())
            step.run(context)
        actions[number] = replace(actions[number], seconds=round(time.monotonic() - begun, 3))
        if any(statuses[later.name].inputs is None for later in context.steps[number + 1 :]):
            context, looked = context.refreshed(), time.monotonic()
            statuses = _statuses(context)
            warned = warned or _warn(context, statuses)
            actions[number + 1 :] = _allowed(context, planning.plan(context.steps, statuses))[number + 1 :]
            context.progress.planned(actions)
    return context, actions


def _updates(actions: Sequence[Action]) -> bool:
    """Whether the endpoint may be updated: something of it is changed, or what is changed is known only after other steps."""
    deploying = [action for action in actions if action.step == "deploy" and action.runs]
    return any(not action.changes or "update" in {change.kind for change in action.changes} for action in deploying)


def exclusive(context: BuildContext) -> AbstractContextManager[str]:
    """One command at a time changes the output and the endpoint of a spec and environment, or relies on them.

    Its value tells the command before this one from all others (`files.last_holder`).

    Raises:
        UserError: another command has not ended for an hour.
    """
    return files.exclusive(context.work.mutex_path, context.progress.activity)


def _allowed(
    context: BuildContext, actions: list[Action], obstacles: Mapping[str, UserError] | None = None
) -> list[Action]:
    """The actions, none of which is blocked, or loses requests to which nobody has agreed.

    Args:
        context: the run.
        actions: a plan.
        obstacles: the errors for the steps that are blocked whatever their status is.
    """
    for action in actions:
        if action.status == "blocked":
            is_managed = any(change.kind == "managed" for change in action.changes)
            other = "choose another endpoint.name, or the right --config and --env"
            raise (obstacles or {}).get(action.step) or UserError(
                "; ".join(action.reasons),
                where=action.step,
                fix=f"nothing was changed; {MANAGED_FIX if is_managed else other}",
            )
        if not context.recreate:
            require_no_loss(action.changes)
    return actions


def _look(context: BuildContext) -> tuple[dict[str, StepStatus], preflight.Obstacles | None]:
    """What is known of each step, and what stands in the way of those that write to AWS, which is asked at the same time.

    Raises:
        UserError, RemoteError: a step could not be looked at; if something stands in the way, that is the error, since with
            the keys of another account S3 merely denies access.
    """
    if not any(step.writes_to_aws for step in context.steps):
        return _statuses(context), None
    ask = preflight.obstacles(context)
    with context.progress.activity("asking AWS what is there"), worker_pool(1, "obstacles") as pool:
        asked = pool.submit(ask)
        try:
            statuses = _statuses(context)
        except SagepackError as error:
            for obstacle in asked.result().errors.values():
                raise obstacle from error
            raise
        obstacles = asked.result()
    for step, obstacle in obstacles.errors.items():
        statuses[step] = replace(statuses[step], obstacle=obstacle.message)
    return statuses, obstacles


def _briefly(action: Action) -> tuple[str, ...]:
    """Why a step runs; its changes are told one by one."""
    return (counted(len(action.changes), "change"),) if action.changes else action.reasons


def _statuses(context: BuildContext) -> dict[str, StepStatus]:
    """What is known of each step; the last one is looked at beside the others if that is the endpoint."""
    *others, last = context.steps
    if last.name != "deploy" or context.current_lock is None:
        return {step.name: step.status(context) for step in context.steps}
    _ = context.publication.package, context.manifest  # what both need is found out once
    if context.spec.trust.verify:
        _ = context.publication.upload_plan
    with worker_pool(1, "endpoint") as pool:
        looked = pool.submit(last.status, context)
        return {**{step.name: step.status(context) for step in others}, last.name: looked.result()}
