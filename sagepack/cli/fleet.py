"""The task that reaches a goal for many specs and environments."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from sagepack.api.fleet import ALL_SPECS, JOBS
from sagepack.api.results import FOUND_WORK
from sagepack.cli import interrupts, screens
from sagepack.cli.output import confirm, echo
from sagepack.cli.task import LOCKED, NO_SMOKE, SET, STREAM, YES_CHANGE, Flag, task
from sagepack.engine import lazy
from sagepack.engine.steps import GOALS
from sagepack.errors import UserError
from sagepack.text import counted, one_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagepack.api.fleet import running
    from sagepack.api.project import Project
    from sagepack.api.results import FleetMatrix, FleetRun
    from sagepack.cli import fleet_events, fleet_watch
else:
    fleet_events = lazy.module("cli.fleet_events")
    fleet_watch = lazy.module("cli.fleet_watch")
    running = lazy.module("api.fleet.running")

_MATRIX_MOST = 256  # jobs of a matrix (GitHub Docs, "Usage limits")


@task(
    Flag("goal", "", "what each is to reach", choices=("validate", *GOALS, "plan"), positional=True),
    Flag(
        "select",
        (),
        f"the specs, as a pattern from the project's folder; repeat it for more (default {ALL_SPECS})",
        placeholder="PATTERN",
    ),
    Flag("envs", "local", "the environments, with commas between them", placeholder="NAME,..."),
    Flag(
        "to",
        "package",
        "with the goal plan: the step to plan for, or package",
        choices=tuple(GOALS),
        placeholder="STEP",
    ),
    SET,
    Flag("jobs", JOBS, "most jobs at a time", most=256),
    LOCKED,
    STREAM,
    NO_SMOKE,
    YES_CHANGE,
    Flag("matrix", default=False, help="only print the jobs that have work, as a matrix for GitHub Actions"),
    scope="project",
    example="deploy --envs dev,prod",
)
def fleet(
    project: Project,
    *,
    goal: str,
    select: list[str],
    envs: str,
    to: str,
    jobs: int,
    locked: bool,
    stream: bool,
    no_smoke: bool,
    yes: bool,
    matrix: bool,
) -> FleetRun | FleetMatrix:
    """Reach a goal for many specs and environments.

    Each spec in each environment is a job. One that fails stops only itself. What several need is fetched and sent once. The same
    command again does what is left.

    The exit code is the worst of all jobs: 4, 3, 1, then 2 (`fleet plan` found work), 0.
    """
    if to != "package" and goal != "plan":
        raise UserError("it is for the goal plan; this goal is a step itself", where="--to", fix="leave it out")
    names = [name for part in envs.split(",") if (name := part.strip())]
    if not names:
        raise UserError("names no environment", where="--envs", fix="write one or more, such as --envs dev,prod")
    how = running.JobOptions(locked, stream, smoke=not no_smoke, recreate=yes)
    with closing(fleet_watch.FleetWatch(project.progress)) as watch:
        watcher = fleet_events.telling(project.progress, watch)
        found = running.Fleet(
            project.root, select or ALL_SPECS, names, project.selection.sets, jobs=jobs, watcher=watcher
        )
        try:
            if matrix:
                return _matrix(project, found.matrix(to if goal == "plan" else goal, how))
            if goal == "plan":
                return found.plan(to, how)
            agreed = None
            if goal == "deploy" and not yes and (protected := found.protected_envs):
                agreed = _agreed(found.plan("deploy", how, keep=True), protected, watch)
            return found.run(goal, how, agreed=agreed)
        except KeyboardInterrupt:
            if watch.interrupted_run is None:
                raise
            interrupts.mark_reported()
            return watch.interrupted_run


def _agreed(planned: FleetRun, protected: Sequence[str], watch: fleet_watch.FleetWatch) -> FleetRun:
    """The plan of all, once a person who has seen it agrees to what it changes in protected environments.

    Raises:
        UserError: the person does not.
    """
    watch.close()
    work = [job for job in planned.jobs if job.env in protected and job.exit_code == FOUND_WORK]
    if work:
        for block in screens.lines(planned):
            echo(block)
        confirm(f"deploy {counted(len(work), 'job')} to {one_of(dict.fromkeys(job.env for job in work))}", yes=False)
    return planned


def _matrix(project: Project, found: FleetMatrix) -> FleetMatrix:
    if len(found.include) > _MATRIX_MOST:
        project.progress.note(
            f"GitHub Actions takes at most {_MATRIX_MOST} jobs of a matrix, and {len(found.include)} have work: "
            "select a part of them with --select or --envs"
        )
    return found
