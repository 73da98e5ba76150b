"""Gathers the facts, asks the plan, runs the actions."""

from __future__ import annotations

import contextlib
import importlib
from typing import TYPE_CHECKING

from sagepack import plan as planning
from sagepack.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagepack.build import Build
    from sagepack.plan import Action, Fact
    from sagepack.steps import Step


def step(name: str) -> Step:
    """The module of a step, imported when it is needed: a package that is done pays for no publishing."""
    module: Step = importlib.import_module(f"sagepack.steps.{name}")
    return module


def facts(build: Build) -> dict[str, Fact]:
    """What is known of each step of the goal; services are asked only by the steps that observe them."""
    return {name: step(name).fact(build) for name in planning.steps_to(build.goal)}


def plan(build: Build) -> list[Action]:
    """What would run, and why. Changes nothing."""
    return planning.plan(build.goal, facts(build))


def run(build: Build) -> list[Action]:
    """Reach the goal; gives back the actions as they were taken.

    A step whose inputs an earlier step had yet to make is planned again when they are there.
    """
    actions = plan(build)
    if not any(action.run for action in actions):
        return actions
    with _alone(build):
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


@contextlib.contextmanager
def _alone(build: Build) -> Iterator[None]:
    """One run of a spec and environment at a time on this machine."""
    # filelock takes as long to import as all the rest of a run with nothing to do.
    import filelock  # noqa: PLC0415

    build.work.build.mkdir(parents=True, exist_ok=True)
    held = filelock.FileLock(build.work.build / ".lock")
    try:
        held.acquire(timeout=0)
    except filelock.Timeout:
        build.progress.note(f"waiting for another run in {build.shown(build.work.build)}")
        try:
            held.acquire(timeout=3600)
        except filelock.Timeout as error:
            raise UserError("another run has been at it for an hour", where=build.shown(build.work.build)) from error
    try:
        yield
    finally:
        held.release()
