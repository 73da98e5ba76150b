"""Results of `fleet`: one goal for many specs and environments."""

from __future__ import annotations

from typing import Literal

from sagepack.api.results.base import FAILED, FOUND_WORK, Result
from sagepack.decoding import Value
from sagepack.engine.outputs import (
    Archive,  # noqa: TC001 - msgspec reads the annotations
    LiveEndpoint,  # noqa: TC001 - msgspec reads the annotations
    Published,  # noqa: TC001 - msgspec reads the annotations
)
from sagepack.engine.plan import Action  # noqa: TC001 - msgspec reads the annotations

JobStatus = Literal["done", "unchanged", "planned", "failed", "interrupted", "waiting"]
# Exit codes of jobs, the worst first: bytes that are not what the lock says, a service, a mistake, work that was found.
WORST_FIRST = (4, 3, FAILED, FOUND_WORK, 0)


class JobProblem(Value, frozen=True):
    """One mistake of a spec or of a file that it names, or one warning about it.

    Attributes:
        where: `file:line:column`, `file:line` or `file`.
        key: dotted path of the key; empty where it is about none.
        message: what is wrong.
        fix: what to do.
    """

    where: str
    key: str
    message: str
    fix: str | None


class JobError(Value, frozen=True):
    """Why a job failed, as `error.schema.json` has it for a task.

    Attributes:
        type: the class of the error.
        exit_code: that of a task which fails with it.
        message: what happened.
        where: the file, key, URI or ARN it happened at.
        fix: what to do.
        details: more lines, such as the end of a log.
        id: the known failure that it is, an entry of `docs/failures.md`.
        problems: everything that is wrong with the spec, if that is the error.
    """

    type: str
    exit_code: int
    message: str
    where: str | None = None
    fix: str | None = None
    details: tuple[str, ...] = ()
    id: str | None = None
    problems: tuple[JobProblem, ...] = ()


class Job(Value, frozen=True):
    """What came of one spec in one environment.

    Attributes:
        config: the spec's file.
        env: the environment.
        name: name of the model's packages; null if the spec could not be read.
        status: `done`: it did something; `unchanged`: there was nothing to do; `planned`: there is something to do; `failed`;
            `interrupted`: it was running when the fleet was; `waiting`: it had not begun then.
        exit_code: that of the task for this spec alone; 0 for a job that has not ended.
        steps: the steps that ran, or that would run.
        fetch: bytes from the Hub, as far as known.
        send: bytes to S3, as far as known.
        copy: bytes that S3 copies by itself, as far as known.
        seconds: how long it took; null for a job that has not begun.
        log: the file with its own lines; null for a job that has not begun.
        actions: every step of the goal, as it was taken or planned.
        manifest: digest of the manifest, the identity of the package.
        archive: the archive on this disk, if the goal includes it.
        artifact: the package in S3, if the goal includes it.
        endpoint: what serves it, if the goal includes that.
        error: why it failed.
        warnings: what is wrong with the spec, but not wrong enough to refuse it.
    """

    config: str
    env: str
    name: str | None
    status: JobStatus
    exit_code: int = 0
    steps: tuple[str, ...] = ()
    fetch: int = 0
    send: int = 0
    copy: int = 0
    seconds: float | None = None
    log: str | None = None
    actions: tuple[Action, ...] = ()
    manifest: str | None = None
    archive: Archive | None = None
    artifact: Published | None = None
    endpoint: LiveEndpoint | None = None
    error: JobError | None = None
    warnings: tuple[JobProblem, ...] = ()


class FleetRun(Result, frozen=True):
    """What came of a goal for many specs and environments.

    Attributes:
        goal: what each job was to reach.
        to: the step that was planned for, if the goal is `plan`.
        jobs: each spec in each environment, in the order of the selection.
        fetch, send, copy: bytes of all jobs together. In a plan, a content that several jobs need counts once as fetched or
            sent, and as copied for the others.
        interrupted_by: number of the signal that ended it; null if it ran to its end.
    """

    goal: str
    to: str | None
    jobs: tuple[Job, ...]
    fetch: int
    send: int
    copy: int
    interrupted_by: int | None = None

    @property
    def exit_code(self) -> int:
        """The worst of its jobs': 4, 3, 1, 2 (`plan` found work), 0; 128 plus the signal's number if it was interrupted."""
        if self.interrupted_by is not None:
            return 128 + self.interrupted_by
        codes = {job.exit_code for job in self.jobs}
        return next(code for code in WORST_FIRST if code in codes | {0})


class MatrixEntry(Value, frozen=True):
    """One job of a CI system.

    Attributes:
        config: the spec's file.
        env: the environment.
    """

    config: str
    env: str


class FleetMatrix(Result, frozen=True):
    """The jobs that have work, in the form of `strategy.matrix` of GitHub Actions.

    Attributes:
        include: the jobs. One that cannot be planned is among them: its own run tells why.
    """

    include: tuple[MatrixEntry, ...]
