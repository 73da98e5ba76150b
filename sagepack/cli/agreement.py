"""Asks a person about a plan before it is carried out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagepack.api.results import FOUND_WORK
from sagepack.cli import screens
from sagepack.cli.output import confirm, echo

if TYPE_CHECKING:
    from sagepack.api.review import ReviewedPlan
    from sagepack.progress import Progress


def agreed_plan(reviewed: ReviewedPlan, progress: Progress) -> ReviewedPlan:
    """The plan, once a person who has seen it agrees.

    Args:
        reviewed: the plan.
        progress: is told while the person thinks.

    Raises:
        UserError: the person does not.
    """
    if reviewed.plan.exit_code == FOUND_WORK:
        for line in screens.lines(reviewed.plan):
            echo(line)
        with progress.asked():
            confirm(f"deploy to {reviewed.settings['env']}", yes=False)
    return reviewed
