"""The tasks that look after what builds leave: local output, unfinished uploads, the policy that publishing needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagepack.api.fleet import ALL_SPECS
from sagepack.api.results import PURPOSES, TOOLS, Cleaned
from sagepack.cli import screens
from sagepack.cli.output import confirm, echo
from sagepack.cli.task import YES, Flag, task
from sagepack.engine import lazy
from sagepack.text import counted

if TYPE_CHECKING:
    from sagepack.api import cleaning
    from sagepack.api.project import Project
    from sagepack.api.results import Collected, Doctor, Exported, Garbage, Policy, Reported
else:
    cleaning = lazy.module("api.cleaning")

_MOST_HOURS = 24 * 366 * 10
_OLDER_THAN = Flag(
    "older-than",
    24,
    "hours an unfinished upload must be old to count as stale",
    most=_MOST_HOURS,
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


@task(
    Flag("keep", 3, "keep so many of the newest deployments of each environment", most=1000),
    Flag(
        "older-than",
        24,
        "hours a package, model, configuration or unfinished upload must be old",
        most=_MOST_HOURS,
        parameter="hours",
    ),
    Flag(
        "answers-older-than",
        30,
        "days requests, answers and failures must be old",
        most=_MOST_HOURS // 24,
        parameter="answer_days",
    ),
    Flag("dry-run", default=False, help="only show what would be removed"),
    YES,
    example="--dry-run --env prod",
)
def gc(project: Project, *, keep: int, hours: int, answer_days: int, dry_run: bool, yes: bool) -> Collected | Garbage:
    """Remove packages and answers that nobody needs.

    It shows them with their bytes and their cost first, and asks. What an endpoint of the account, a model, or one of the newest
    deployments of any environment needs is kept, and so is what is young. Exit code 1, and nothing of that is removed, if AWS
    denies to say what is needed.
    """
    how = {"keep": keep, "older_than_hours": hours, "answers_older_than_days": answer_days}
    if yes and not dry_run:
        return project.gc(**how)
    found = project.garbage(**how)
    if dry_run or not found.removable:
        return found
    for block in screens.lines(found):
        echo(block)
    confirm(f"remove {'these ' if len(found.removable) > 1 else ''}{counted(len(found.removable), 'item')}", yes=yes)
    return project.gc(**how)


@task(
    Flag(
        "for",
        "publish",
        "plan, publish, worker, sign, deploy, predict, gc or remote; execution, remote-execution or trust for roles",
        parameter="purpose",
        choices=PURPOSES,
        placeholder="WHO",
    ),
    example="--for deploy --env prod",
)
def policy(project: Project, *, purpose: str) -> Policy:
    """Print the minimal IAM policy for a person or a role."""
    return project.policy(purpose)


@task(
    Flag("format", "cloudformation", "the tool that reads it", parameter="tool", choices=TOOLS, placeholder="TOOL"),
    Flag(
        "output",
        "",
        "the folder, or - to print it; export/<name>-<env>/<format>/ of the project if left out",
        placeholder="FOLDER",
    ),
    Flag(
        "check",
        default=False,
        help="write nothing, and compare the files with the spec: exit code 2 if they differ (for CI)",
    ),
    Flag("create-role", default=False, help="make the execution role, too, under the name that the spec gives it"),
    example="--format cloudformation --env prod",
)
def export(project: Project, *, tool: str, output: str, check: bool, create_role: bool) -> Exported:
    """Write the endpoint for CloudFormation, CDK or Terraform.

    Its README.md lists what the tool cannot say. What the tool makes belongs to it: `deploy`, `promote`, `rollback` and `destroy` refuse
    to change that. The package has to be published by `upload` before.
    """
    return project.export(tool, output, check=check, create_role=create_role)


@task(
    Flag(
        "output",
        "",
        "the file; report.html in build/<name>-<env>/, or in build/ of several specs, if left out",
        placeholder="FILE",
    ),
    Flag(
        "select",
        (),
        f"about many specs: a pattern from the project's folder, such as {ALL_SPECS}; repeat it for more",
        placeholder="PATTERN",
    ),
    Flag("envs", "", "about many specs: the environments, with commas between them", placeholder="NAME,..."),
    example="--env prod --output report.html",
)
def report(project: Project, *, output: str, select: list[str], envs: str) -> Reported:
    """Write a page about a spec and its last run.

    One HTML file that loads nothing: why the last run took as long as it did, what was built, where its bytes came from, its files,
    the endpoint, its releases and cost. What cannot be found out is said in it. With --select or --envs it has a row for each spec,
    and is made from what is on this machine. `pip install 'sagepack[report]'` brings what draws it.
    """
    if not select and not envs:
        return project.report(output)
    names = [name for part in envs.split(",") if (name := part.strip())] or [project.selection.env]
    return project.report_fleet(select, names, output)
