"""The tasks about what was deployed before: who deployed what, how two deployments differ, and one that is deployed again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagepack.cli import screens
from sagepack.cli.agreement import agreed_plan
from sagepack.cli.output import confirm, echo
from sagepack.cli.task import NO_SMOKE, YES_CHANGE, Flag, task
from sagepack.errors import UserError

if TYPE_CHECKING:
    from sagepack.api.project import Project
    from sagepack.api.results import Built, Diff, Plan, Releases, Rollback


@task(Flag("most", 20, "how many, beginning with the newest", most=1000), example="--env prod")
def releases(project: Project, *, most: int) -> Releases:
    """List who deployed what, and when.

    Each deployment that changed the endpoint leaves a record beside the packages in S3.
    """
    return project.releases(most=most)


@task(
    Flag("before", "live", "a release as `releases` numbers them, live or tree", positional=True, placeholder="A"),
    Flag("after", "tree", "what it is compared with, likewise", positional=True, placeholder="B"),
    example="2 live --env prod",
)
def diff(project: Project, *, before: str, after: str) -> Diff:
    """Show how deployments and the working tree differ.

    Files, requirements, image and settings. A release is its number in `releases`, its time, or its configuration; `live` is what
    serves, `tree` the working tree. The exit code is 0 if nothing differs, and 2 if something does.
    """
    return project.diff(before, after)


@task(
    Flag("from-env", "", "the environment whose release is promoted", placeholder="NAME"),
    Flag("to-env", "", "the environment it is deployed to; the same as --env", parameter="env", placeholder="NAME"),
    Flag("release", "", "which release: as in `diff`; if left out the one that serves", placeholder="RELEASE"),
    Flag("dry-run", default=False, help="show what would be copied and changed, and change nothing"),
    NO_SMOKE,
    YES_CHANGE,
    builds=True,
    example="--from-env dev --to-env prod",
)
def promote(project: Project, *, from_env: str, release: str, dry_run: bool, no_smoke: bool, yes: bool) -> Built | Plan:
    """Deploy what another environment serves, the same bytes.

    S3 copies its package, nothing is built or uploaded, and the endpoint gets the settings of this environment. It is refused
    where lock and code make another package, or name another image.
    """
    if not from_env:
        fix = "write: --from-env dev --to-env prod"
        raise UserError("it is missing: the environment whose release is promoted", where="--from-env", fix=fix)
    if dry_run:
        return project.review_promotion(from_env, release=release).plan
    agreed = None
    if project.is_protected and not yes:
        agreed = agreed_plan(project.review_promotion(from_env, release=release), project.progress)
    return project.promote(from_env, release=release, plan=agreed, smoke=not no_smoke, recreate=yes)


@task(
    Flag("to", "", "the release, as in `diff`; if left out the one before the one that serves", placeholder="RELEASE"),
    Flag("dry-run", default=False, help="only show what would change"),
    YES_CHANGE,
    builds=True,
    example="--to 3 --env prod",
)
def rollback(project: Project, *, to: str, dry_run: bool, yes: bool) -> Rollback:
    """Serve a release again that was deployed before.

    Its model and configuration exist, so nothing is built or uploaded. It shows what changes, asks in a protected environment, and
    ends when the endpoint serves it. A second rollback goes further back.
    """
    found = project.review_rollback(to)
    if dry_run:
        return found
    for line in screens.lines(found):
        echo(line)
    if project.is_protected and found.changes_something and not yes:
        with project.progress.asked():
            confirm(f"roll back {found.endpoint}", yes=False)
    return project.rollback(found.record, recreate=yes)
