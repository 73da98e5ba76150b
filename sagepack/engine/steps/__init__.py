"""The steps of a build, one short file each: what a step depends on (`status`) and how it is done (`run`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagepack.engine import plan
from sagepack.engine.steps import assemble, checksum, deploy, download, lock, tar, upload

if TYPE_CHECKING:
    from sagepack.engine.context import BuildContext
    from sagepack.engine.plan import Step

# Each after what it needs. `upload` needs no archive on this disk: it makes the one in S3 from contents, wherever they lie.
STEPS: tuple[Step[BuildContext], ...] = (
    lock.STEP,
    download.STEP,
    assemble.STEP,
    checksum.STEP,
    tar.STEP,
    upload.STEP,
    deploy.STEP,
)
GOALS = {**{step.name: step.name for step in STEPS}, "package": "tar"}


def steps_to(goal: str) -> tuple[Step[BuildContext], ...]:
    """The steps that a goal takes, in the order they run."""
    return plan.steps_to(GOALS[goal], STEPS)
