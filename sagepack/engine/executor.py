"""Gathers what is known of each step, asks the plan, and runs the actions."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from msgspec.structs import replace

from sagepack import files
from sagepack.engine import plan as planning
from sagepack.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from sagepack.engine.context import BuildContext
    from sagepack.engine.plan import Action, StepStatus

    Review = Callable[[BuildContext, Sequence[Action]], None]


def agree(_context: BuildContext, _actions: Sequence[Action]) -> None:
    """The review of a run that nobody has to agree to."""


def plan(context: BuildContext) -> list[Action]:
    """What would run, and why. Changes nothing; services are asked only by the steps that observe them."""
    return planning.plan(context.steps, _statuses(context))


def run(context: BuildContext, review: Review = agree) -> tuple[BuildContext, list[Action]]:
    """Reach the goal.

    A step whose inputs an earlier step had yet to make is planned again when they are there.

    Args:
        context: the run.
        review: called with what would be done, before it is, and again before resources of AWS are changed; raises what
            ends the run.

    Returns:
        The context after the last step, and the actions as they were taken.

    Raises:
        UserError: a step is blocked. Those before it have not run, unless the status was only known after them.
    """
    actions = _allowed(plan(context))
    review(context, actions)
    if not any(action.runs for action in actions):
        return context, actions
    with exclusive(context):
        # Another process may have done the work while this one waited.
        context = context.refreshed()
        statuses = _statuses(context)
        actions = _allowed(planning.plan(context.steps, statuses))
        review(context, actions)
        for number, step in enumerate(context.steps):
            if not actions[number].runs:
                continue
            if review is not agree and actions[number].changes:  # the steps before took their time
                now = context.refreshed()
                review(now, planning.plan([step], {step.name: step.status(now)}))
            begun = time.monotonic()
            with context.progress.step(step.name, actions[number].reasons):
                step.run(context)
            actions[number] = replace(actions[number], seconds=round(time.monotonic() - begun, 3))
            if any(statuses[later.name].inputs is None for later in context.steps[number + 1 :]):
                context = context.refreshed()
                statuses = _statuses(context)
                actions[number + 1 :] = _allowed(planning.plan(context.steps, statuses))[number + 1 :]
    return context, actions


def exclusive(context: BuildContext) -> AbstractContextManager[None]:
    """One command at a time changes the output and the endpoint of a spec and environment, or relies on them.

    Raises:
        UserError: another command has not ended for an hour.
    """
    return files.exclusive(context.work.mutex_path, context.progress.note)


def _allowed(actions: list[Action]) -> list[Action]:
    """The actions, none of which is blocked."""
    for action in actions:
        if action.status == "blocked":
            raise UserError(
                "; ".join(action.reasons),
                where=action.step,
                fix="nothing was changed; choose another endpoint.name, or the right --config and --env",
            )
    return actions


def _statuses(context: BuildContext) -> dict[str, StepStatus]:
    return {step.name: step.status(context) for step in context.steps}
