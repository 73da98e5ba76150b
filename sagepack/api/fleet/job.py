"""One job of a fleet: `perform` takes a text and returns one, so that a thread, a process or another machine can run it."""

from __future__ import annotations

import os
import time
import traceback
from concurrent.futures import CancelledError
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime  # noqa: TC003 - msgspec reads the annotations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace

from sagepack.api import results
from sagepack.api.failure import as_failure
from sagepack.api.fleet.job_events import JobEvents
from sagepack.api.fleet.log import LogFile
from sagepack.api.project import Project
from sagepack.api.recording import Recorder
from sagepack.api.review import ReviewedPlan
from sagepack.decoding import Value, convert, decode_json
from sagepack.engine.plan import Content  # noqa: TC001 - msgspec reads the annotations
from sagepack.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import IO

    from sagepack.api import events
    from sagepack.engine.plan import Action
    from sagepack.errors import Diagnostic, SagepackError

_CHANGE_NOTHING = frozenset({"validate", "lock", "plan"})  # goals whose runs nobody looks for later


class Ended(Value, frozen=True):
    """What came of a job.

    Attributes:
        job: for people and programs.
        contents: how each file would get to S3, of a plan that says so.
        begun: the time of the event that begins its run.
        last_run: the file that its events are kept in; empty if they are not, since no step ran.
    """

    job: results.Job
    contents: tuple[Content, ...] = ()
    begun: datetime | None = None
    last_run: str = ""


class Task(Value, frozen=True):
    """What a job is to do. The project lies at `root` wherever it runs, and credentials come from the worker's environment.

    Attributes:
        root: the project's folder.
        config: the spec's file.
        env: the environment.
        goal: a step, `package`, `plan` or `validate`.
        log: the file for its lines.
        to: the step that is planned for.
        plan: the file that a plan is written to, or that what is done is held to; empty for none.
        sets: what is laid over spec and environment.
        locked, stream, smoke, recreate: as `Project.build` has them.
        then: the goal of a second part, which follows if this one does not fail.
        first: what came of the first part; None if this is the first.
    """

    root: str
    config: str
    env: str
    goal: str
    log: str
    to: str = "package"
    plan: str = ""
    sets: tuple[str, ...] = ()
    locked: bool = False
    stream: bool = False
    smoke: bool = True
    recreate: bool = False
    then: str = ""
    first: Ended | None = None


def perform(text: str, hear: Callable[[events.Event], None] | None = None) -> str:
    """Do a task; every failure is told in what is returned.

    The events are kept in the build folder, as those of a single command are.

    Args:
        text: a `Task`, as JSON.
        hear: gets the events as well.

    Returns:
        An `Ended`, as JSON.

    Raises:
        CancelledError: the fleet was interrupted. What is kept has no last event then.
    """
    task, begun = decode_json(text.encode(), Task), time.monotonic()
    told = JobEvents(lambda: None if task.goal in _CHANGE_NOTHING else project.last_run_path, hear)
    with _opened(Path(task.log), "a" if task.first else "w") as file, closing(told):
        if not task.first or not told.go_on(task.first.begun, task.first.last_run):
            told.begin(task.then or task.goal, task.config, task.env)
        log = LogFile(file)
        project = Project(task.root, task.config, task.env, task.sets, progress=Recorder(log, told.tell))
        unknown = results.Job(task.config, task.env, None, "failed", log=task.log)
        result, failure = None, None
        try:
            ended, result = _reach(project, task, unknown)
        except CancelledError:
            log.write("interrupted")
            raise
        except Exception as error:  # noqa: BLE001 - one failure stops only its own job
            failure = as_failure(error)
            ended = Ended(failed(unknown, failure))
            _write_failure(log, error)
        seconds = round(time.monotonic() - begun, 3)
        if failure or not task.then:
            told.end(_seconds(task.first) + seconds, project.spec, result, failure)
    job = replace(
        ended.job,
        name=project.spec.name if project.spec else None,
        seconds=seconds,
        warnings=_problems(project.warnings),
    )
    return msgspec.json.encode(replace(ended, job=job, begun=told.begun, last_run=told.kept)).decode()


def failed(job: results.Job, error: SagepackError) -> results.Job:
    """A job that ended with an error."""
    problems = _problems(getattr(error, "diagnostics", ()))
    told = convert({**error.to_json(), "problems": [msgspec.to_builtins(each) for each in problems]}, results.JobError)
    return replace(job, status="failed", exit_code=error.exit_code, error=told)


def _reach(project: Project, task: Task, job: results.Job) -> tuple[Ended, results.Result]:
    """What comes of the goal: of the job, and of the task for this spec alone."""
    if task.goal == "validate":
        return Ended(replace(job, status="done")), project.validate()
    if task.goal == "lock":
        locked = project.lock(locked=task.locked)
        done = replace(job, status="done", steps=("lock",)) if locked.changed else replace(job, status="unchanged")
        return Ended(done), locked
    if task.goal == "plan":
        return _plan(project, task, job)
    plan = ReviewedPlan.read(Path(task.plan)).up_to(task.goal) if task.plan else None
    built = project.build(
        task.goal, locked=task.locked, stream=task.stream, plan=plan, smoke=task.smoke, recreate=task.recreate
    )
    job = _with_actions(job, built.actions)
    made = {name: getattr(built, name) for name in ("manifest", "archive", "artifact", "endpoint")}
    whole = replace(built, actions=_whole(task.first.job.actions, built.actions)) if task.first else built
    return Ended(replace(job, status="done" if job.steps else "unchanged", **made)), whole


def _plan(project: Project, task: Task, job: results.Job) -> tuple[Ended, results.Plan]:
    how: dict[str, Any] = {"locked": task.locked, "stream": task.stream}
    if task.plan:
        reviewed = project.review(task.to, **how)
        reviewed.write(Path(task.plan))
        plan = reviewed.plan
    else:
        plan = project.plan(task.to, **how)
    job = _with_actions(job, plan.actions)
    if plan.exit_code == results.BLOCKED:
        reasons = [action for action in plan.actions if action.status == "blocked"]
        error = UserError("; ".join(reason for action in reasons for reason in action.reasons), where=reasons[0].step)
        return Ended(failed(job, error)), plan
    planned = plan.exit_code == results.FOUND_WORK
    job = replace(job, status="planned" if planned else "unchanged", exit_code=plan.exit_code)
    return Ended(job, plan.contents or ()), plan


def _with_actions(job: results.Job, actions: Sequence[Action]) -> results.Job:
    """A job with its actions, and what those that run come to."""
    running = [action for action in actions if action.runs]
    return replace(
        job,
        actions=tuple(actions),
        steps=tuple(action.step for action in running),
        fetch=sum(action.fetch for action in running),
        send=sum(action.send for action in running),
        copy=sum(action.copy for action in running),
    )


def joined(first: results.Job, then: results.Job) -> results.Job:
    """What came of a job that was done in two parts, of which the second did not have to do what the first did."""
    whole = _with_actions(then, _whole(first.actions, then.actions) or first.actions)
    return replace(
        whole,
        status="done" if whole.steps and whole.status == "unchanged" else whole.status,
        seconds=round((first.seconds or 0) + (then.seconds or 0), 3),
    )


def _whole(first: Sequence[Action], then: Sequence[Action]) -> tuple[Action, ...]:
    """The actions of both parts of a job."""
    before = {action.step: action for action in first if action.runs}
    return tuple(action if action.runs else before.get(action.step, action) for action in then)


def _seconds(first: Ended | None) -> float:
    """How long the first part of a job took, if it has two."""
    return first.job.seconds or 0.0 if first else 0.0


@contextmanager
def _opened(path: Path, mode: str) -> Iterator[IO[str]]:
    """The log; where nothing can be written, as in a checkout that is only read, nobody reads it."""
    with ExitStack() as stack:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = stack.enter_context(path.open(mode, encoding="utf-8"))
        except OSError:
            file = stack.enter_context(Path(os.devnull).open(mode, encoding="utf-8"))
        yield file


def _write_failure(log: LogFile, error: Exception) -> None:
    failure = as_failure(error)
    if failure is not error:  # a mistake of this program, or something that this machine did
        for line in "".join(traceback.format_exception(error)).splitlines():
            log.write(line)
    for line in failure.lines():
        log.write(f"error: {line}")


def _problems(found: Sequence[Diagnostic]) -> tuple[results.JobProblem, ...]:
    return tuple(results.JobProblem(**each.to_json()) for each in found)
