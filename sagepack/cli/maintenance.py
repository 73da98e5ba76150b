"""The tasks that look after what builds leave: local output, unfinished uploads, the policy that publishing needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagepack.api.results import PURPOSES, Cleaned
from sagepack.cli.output import confirm, echo
from sagepack.cli.screens import upload_line
from sagepack.cli.task import YES, Flag, task
from sagepack.engine import lazy
from sagepack.text import counted

if TYPE_CHECKING:
    from sagepack.api import cleaning
    from sagepack.api.project import Project
    from sagepack.api.results import Collected, Doctor, Policy
else:
    cleaning = lazy.module("api.cleaning")

_OLDER_THAN = Flag(
    "older-than",
    24,
    "hours an unfinished upload must be old to count as stale",
    most=24 * 366 * 10,
    parameter="hours",
)


@task(
    Flag(
        "all",
        default=False,
        help="remove build/ and dist/ of every spec, and the sandbox's state",
        parameter="everything",
    )
)
def clean(project: Project, *, everything: bool) -> Cleaned:
    """Remove build/<name>-<env>/ and dist/<name>/<env>/."""
    return Cleaned(cleaning.remove_all(project.root, project.progress)) if everything else project.clean()


@task(_OLDER_THAN)
def doctor(project: Project, *, hours: int) -> Doctor:
    """Check account, bucket, role, image, quota, Hub and disk.

    Lists abandoned uploads, too, for whose parts AWS charges. Exit code 1 if a check fails.
    """
    return project.doctor(older_than_hours=hours)


@task(_OLDER_THAN, YES)
def gc(project: Project, *, hours: int, yes: bool) -> Collected:
    """Abort old unfinished uploads of this spec.

    It shows them and asks first.
    """
    if not yes and (found := project.stale_uploads(older_than_hours=hours)):
        for upload in found:
            echo(f"would abort {upload_line(upload)}")
        confirm(f"abort {'these ' if len(found) > 1 else ''}{counted(len(found), 'upload')}", yes=yes)
    return project.abort_uploads(older_than_hours=hours)


@task(
    Flag(
        "for",
        "publish",
        "plan, publish, deploy or predict; execution or trust for the endpoint's role",
        parameter="purpose",
        choices=PURPOSES,
        placeholder="WHO",
    ),
    example="--for deploy --env prod",
)
def policy(project: Project, *, purpose: str) -> Policy:
    """Print the minimal IAM policy for a person or a role."""
    return project.policy(purpose)
