"""Asks a person about a plan before it is carried out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagepack.api.results import FOUND_WORK
from sagepack.cli import screens
from sagepack.cli.output import confirm, echo

if TYPE_CHECKING:
    from sagepack.api.review import ReviewedPlan


def agreed_plan(reviewed: ReviewedPlan) -> ReviewedPlan:
    """The plan, once a person who has seen it agrees.

    Raises:
        UserError: the person does not.
    """
    if reviewed.plan.exit_code == FOUND_WORK:
        for line in screens.lines(reviewed.plan):
            echo(line)
        confirm(f"deploy to {reviewed.settings['env']}", yes=False)
    return reviewed
