"""Gathers what is known of each step, asks the plan, and runs the actions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagepack import files
from sagepack.engine import plan as planning

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from sagepack.engine.context import BuildContext
    from sagepack.engine.plan import Action, StepStatus


def plan(context: BuildContext) -> list[Action]:
    """What would run, and why. Changes nothing; services are asked only by the steps that observe them."""
    return planning.plan(context.steps, _statuses(context))


def run(context: BuildContext) -> tuple[BuildContext, list[Action]]:
    """Reach the goal.

    A step whose inputs an earlier step had yet to make is planned again when they are there.

    Returns:
        The context after the last step, and the actions as they were taken.
    """
    actions = plan(context)
    if not any(action.run for action in actions):
        return context, actions
    with exclusive(context):
        # Another process may have done the work while this one waited.
        context = context.refreshed()
        statuses = _statuses(context)
        actions = planning.plan(context.steps, statuses)
        for number, step in enumerate(context.steps):
            if not actions[number].run:
                continue
            context.progress.note(f"{step.name}: {'; '.join(actions[number].reasons)}")
            step.run(context)
            if any(statuses[later.name].inputs is None for later in context.steps[number + 1 :]):
                context = context.refreshed()
                statuses = _statuses(context)
                actions[number + 1 :] = planning.plan(context.steps, statuses)[number + 1 :]
    return context, actions


def exclusive(context: BuildContext) -> AbstractContextManager[None]:
    """One command at a time changes the output and the endpoint of a spec and environment, or relies on them.

    Raises:
        UserError: another command has not ended for an hour.
    """
    return files.exclusive(context.work.mutex_path, context.progress.note)


def _statuses(context: BuildContext) -> dict[str, StepStatus]:
    return {step.name: step.status(context) for step in context.steps}
