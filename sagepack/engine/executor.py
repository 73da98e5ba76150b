"""Gathers the facts, asks the plan, runs the actions."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from sagepack import files
from sagepack.engine import plan as planning

if TYPE_CHECKING:
    import contextlib

    from sagepack.engine.context import BuildContext
    from sagepack.engine.plan import Action, StepStatus
    from sagepack.engine.steps import Step


def step(name: str) -> Step:
    """The module of a step, imported when it is needed: a package that is done pays for no publishing."""
    module: Step = importlib.import_module(f"sagepack.engine.steps.{name}")
    return module


def facts(build: BuildContext) -> dict[str, StepStatus]:
    """What is known of each step of the goal; services are asked only by the steps that observe them."""
    return {name: step(name).fact(build) for name in planning.steps_to(build.goal)}


def plan(build: BuildContext) -> list[Action]:
    """What would run, and why. Changes nothing."""
    return planning.plan(build.goal, facts(build))


def run(build: BuildContext) -> list[Action]:
    """Reach the goal; gives back the actions as they were taken.

    A step whose inputs an earlier step had yet to make is planned again when they are there.
    """
    actions = plan(build)
    if not any(action.run for action in actions):
        return actions
    with alone(build):
        # Another process may have done the work while this one waited.
        build.forget()
        actions = plan(build)
        for number, name in enumerate(planning.steps_to(build.goal)):
            if not actions[number].run:
                continue
            reasons = "; ".join(actions[number].reasons)
            build.progress.note(f"{name}: {reasons}")
            step(name).run(build)
            if name == "lock":
                actions = [actions[0], *plan(build)[1:]]
    return actions


def alone(build: BuildContext) -> contextlib.AbstractContextManager[None]:
    """One command at a time changes the output and the endpoint of a spec and environment, or relies on them.

    Raises:
        UserError: another command has not ended for an hour.
    """
    return files.exclusive(build.work.running, build.progress.note)
