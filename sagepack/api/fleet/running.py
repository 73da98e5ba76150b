"""Reaches a goal for many specs and environments: one failure stops only its own job, and a content travels once."""

from __future__ import annotations

import time
from collections import defaultdict
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, wait
from contextlib import nullcontext, suppress
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec
from msgspec.structs import replace

from sagepack.api import results
from sagepack.api.failure import as_failure
from sagepack.api.fleet import ALL_SPECS, JOBS, selection
from sagepack.api.fleet.job import Ended, Task, failed, joined, perform
from sagepack.api.fleet.order import Needs, Order, sort
from sagepack.api.fleet.sharing import Shared
from sagepack.decoding import Value, decode_json
from sagepack.engine.steps import GOALS
from sagepack.errors import RemoteError, UserError
from sagepack.spec import project_folder
from sagepack.text import did_you_mean, one_of
from sagepack.workers import worker_pool

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Executor, Future
    from contextlib import AbstractContextManager

    from sagepack.api import events
    from sagepack.api.fleet.selection import Member

_GRACE_SECONDS = 3.0  # that running jobs get to end in after an interrupt, before the summary
_TICK_SECONDS = 1.0


class Watcher(Protocol):
    """Who is told what a fleet does, in the thread that runs it. `job.log` is the file with a job's own lines.

    Attributes:
        hear: gets what happens in each job, in the job's own thread; None if nobody wants it. Jobs on an executor that was given to
            the fleet are not heard: each keeps its events in its build folder.
    """

    hear: Callable[[str, str, events.Event], None] | None

    def looking(self) -> AbstractContextManager[None]:
        """Within the block specs and locks are read."""

    def selected(self, goal: str, to: str | None, jobs: Sequence[results.Job]) -> None:
        """The jobs are known: all of them, of which none has begun. `to` is the step that is planned for."""

    def begins(self, job: results.Job, *, left: int) -> None:
        """A job begins; `left` others wait."""

    def skipped(self, job: results.Job) -> None:
        """A job does not begin: it has failed already, or has nothing to do."""

    def ended(self, job: results.Job) -> None:
        """A job has ended."""

    def waits(self) -> None:
        """Nothing has ended for a second or so."""

    def interrupted(self, run: results.FleetRun) -> None:
        """The fleet was interrupted: what was done until then, and what was not. `KeyboardInterrupt` follows."""


class Unwatched:
    """Tells nobody. Derive from it to be told some of it.

    Attributes:
        hear: nobody.
    """

    hear: Callable[[str, str, events.Event], None] | None = None

    def looking(self) -> AbstractContextManager[None]:
        """Drop it."""
        return nullcontext()

    def selected(self, goal: str, to: str | None, jobs: Sequence[results.Job]) -> None:
        """Drop it."""

    def begins(self, job: results.Job, *, left: int) -> None:
        """Drop it."""

    def skipped(self, job: results.Job) -> None:
        """Drop it."""

    def ended(self, job: results.Job) -> None:
        """Drop it."""

    def waits(self) -> None:
        """Drop it."""

    def interrupted(self, run: results.FleetRun) -> None:
        """Drop it."""


class JobOptions(Value, frozen=True):
    """How each job reaches the goal, as `Project.build` has it.

    Attributes:
        locked: fail rather than make or change a lock.
        stream: publish from the Hub to S3 without the models on this disk.
        smoke: try each endpoint after its deployment, as its spec says.
        recreate: also delete and create again an endpoint that has failed.
    """

    locked: bool = False
    stream: bool = False
    smoke: bool = True
    recreate: bool = False


_USUAL = JobOptions()


class Fleet:
    """Many specs of a project, each in several environments. Nothing is read before a method needs it.

    Args:
        root: the project's folder, which holds `config/env/`, or a folder in it; by default the working folder.
        select: patterns of specs, from the project's folder.
        envs: the environments, files in `config/env/`.
        sets: settings such as `endpoint.instance_type=ml.g5.xlarge`, laid over every spec and environment.
        jobs: most jobs at a time.
        executor: runs the jobs, each of them `perform` of a text; by default threads of this process. Elsewhere the project must lie in
            the same folder.
        watcher: is told what happens; by default nobody.

    Attributes:
        root: the project's folder.
    """

    def __init__(
        self,
        root: str | Path = ".",
        select: str | Sequence[str] = ALL_SPECS,
        envs: str | Sequence[str] = "local",
        sets: str | Sequence[str] = (),
        *,
        jobs: int = JOBS,
        executor: Executor | None = None,
        watcher: Watcher | None = None,
    ) -> None:
        self.root = project_folder.find(Path(root).absolute()) or Path(root).absolute()
        self._select = (select,) if isinstance(select, str) else tuple(select)
        self._envs = (envs,) if isinstance(envs, str) else tuple(envs)
        self._sets = (sets,) if isinstance(sets, str) else tuple(sets)
        self._jobs, self._executor, self._watcher = jobs, executor, watcher or Unwatched()

    @cached_property
    def pairs(self) -> list[tuple[str, str]]:
        """The selected specs, each in each environment.

        Raises:
            UserError: a pattern matches no spec, or an environment does not exist.
        """
        project_folder.require(self.root)
        return selection.members(self.root, self._select, self._envs)

    @property
    def protected_envs(self) -> tuple[str, ...]:
        """The environments in which a person has to agree before a spec is deployed. The methods here do not ask."""
        return tuple(dict.fromkeys(member.env for member in self._members("deploy") if member.protected))

    def plan(
        self,
        to: str = "package",
        how: JobOptions = _USUAL,
        *,
        keep: bool = False,
    ) -> results.FleetRun:
        """What would run for each to reach a step, and the bytes of all. Changes nothing but logs in `build/fleet`.

        Args:
            to: a step, or `package`.
            how: as for the goal.
            keep: keep the plans of protected environments, for `run(agreed=...)`.

        Raises:
            UserError: there is no such step; a pattern matches no spec, or an environment does not exist.
        """
        _require_goal(to, tuple(GOALS))
        members = self._members(to)
        tasks = {
            member.key: self._task(
                member, "plan", how, to=to, plan=self._plan_path(member) if keep and member.protected else ""
            )
            for member in members
        }
        ended = self._run("plan", to, members, tasks, {})
        shared, once = Shared(stream=how.stream), dict[str, results.Job]()
        by_key = {member.key: member for member in members}
        for each in sort([member.needs(to) for member in members]):
            found = ended[each.name]
            once[each.name] = shared.after_those(found.job, by_key[each.name], found.contents)
        return _result("plan", to, [once[member.key] for member in members])

    def run(
        self,
        goal: str,
        how: JobOptions = _USUAL,
        *,
        agreed: results.FleetRun | None = None,
    ) -> results.FleetRun:
        """Reach a goal for each. After an interruption the same call does what is left.

        Args:
            goal: a step, `package`, or `validate`.
            how: how each job reaches it.
            agreed: a plan that `plan(goal, keep=True)` has made: what it says of protected environments is done, or nothing. What has
                failed there is not tried, and what has nothing to do is left alone.

        Raises:
            UserError: there is no such goal; a pattern matches no spec, or an environment does not exist.
        """
        _require_goal(goal, ("validate", *GOALS))
        members, ended = self._members(goal), dict[str, Ended]()
        if agreed:
            ended = {
                member.key: Ended(job)
                for member, job in zip(members, agreed.jobs, strict=True)
                if job.status in ("failed", "unchanged")
            }
        tasks = {
            member.key: self._task(
                member, goal, how, plan=self._plan_path(member) if agreed and member.protected else ""
            )
            for member in members
        }
        found = self._run(goal, None, members, tasks, ended)
        return _result(goal, None, [found[member.key].job for member in members])

    def matrix(self, goal: str, how: JobOptions = _USUAL) -> results.FleetMatrix:
        """The jobs that have work to reach a goal, for a CI system that runs each on a machine of its own.

        Raises:
            UserError: there is no such goal; a pattern matches no spec, or an environment does not exist.
        """
        planned = self.plan(goal, how)
        work = [job for job in planned.jobs if job.status != "unchanged"]
        return results.FleetMatrix(tuple(results.MatrixEntry(job.config, job.env) for job in work))

    def _members(self, goal: str) -> list[Member]:
        """The selected specs and environments, with what is known of each."""
        branch_allowed = goal == "lock"
        with self._watcher.looking():
            return [selection.look(self.root, *pair, self._sets, branch_allowed=branch_allowed) for pair in self.pairs]

    def _task(self, member: Member, goal: str, how: JobOptions, *, to: str = "package", plan: str = "") -> Task:
        return Task(
            str(self.root),
            member.config,
            member.env,
            goal,
            f"{self._folder / member.stem}.log",
            to,
            plan,
            self._sets,
            locked=how.locked,
            stream=how.stream,
            smoke=how.smoke,
            recreate=how.recreate,
        )

    @property
    def _folder(self) -> Path:
        return self.root / "build" / "fleet"

    def _plan_path(self, member: Member) -> str:
        return f"{self._folder / member.stem}.plan"

    def _run(
        self, goal: str, to: str | None, members: Sequence[Member], tasks: dict[str, Task], ended: dict[str, Ended]
    ) -> dict[str, Ended]:
        """What came of each job; `ended` has those that need not run."""
        ended |= {key: found for key, found in _same_names(members).items() if key not in ended}
        kept = self._executor
        pool: AbstractContextManager[Executor] = (
            nullcontext(kept) if kept else worker_pool(self._jobs, "job", sharers=self._jobs, grace=_GRACE_SECONDS)
        )
        left = [member for member in members if member.key not in ended]
        # What is only looked at is brought nowhere.
        ordered = sort([member.needs(goal) if goal in GOALS else Needs(member.key, "") for member in left])
        hear = None if kept else self._watcher.hear
        run = _Run(Order(ordered), {member.key: member for member in members}, tasks, ended, self._watcher, hear)
        self._watcher.selected(goal, to, [run.state_of(member) for member in members])
        for each in ended.values():
            self._watcher.skipped(each.job)
        try:
            with pool as executor:
                run.all(executor, self._jobs)
        except KeyboardInterrupt as error:
            run.collect()
            jobs = [run.state_of(member) for member in members]
            number = getattr(error, "number", 2)
            self._watcher.interrupted(replace(_result(goal, to, jobs), interrupted_by=number))
            raise
        return ended


class _Run:
    """The jobs of a fleet while they run.

    Args:
        order: those that are to run.
        members: of each its spec and environment.
        tasks: what each is to do.
        ended: gets what came of each.
        watcher: is told.
        hear: gets what happens in the jobs.
    """

    def __init__(
        self,
        order: Order,
        members: dict[str, Member],
        tasks: dict[str, Task],
        ended: dict[str, Ended],
        watcher: Watcher,
        hear: Callable[[str, str, events.Event], None] | None,
    ) -> None:
        self._order, self._members, self._tasks, self._ended, self._watcher = order, members, tasks, ended, watcher
        self._hear = hear
        self._running: dict[Future[str], str] = {}
        self._first: dict[str, Ended] = {}  # what came of the first part of a job
        self._parts: set[str] = set()  # jobs that do their first part
        self._begun: dict[str, float] = {}

    def all(self, executor: Executor, most: int) -> None:
        """Run all, at most so many at a time."""
        while len(self._order):
            while len(self._running) < most and (key := self._order.ready()) is not None:
                self._begin(executor, key)
            done, _ = wait(self._running, _TICK_SECONDS, FIRST_COMPLETED)
            for future in done:
                self._end(executor, future)
            if not done:
                self._watcher.waits()

    def collect(self) -> None:
        """Take what has ended meanwhile."""
        for future, key in self._running.items():
            if future.done() and not future.cancelled() and key not in self._parts:
                with suppress(CancelledError):
                    self._ended[key] = self._whole(key, _outcome(future, self._blank(key)))

    def state_of(self, member: Member) -> results.Job:
        """A job as it is now."""
        if member.key in self._ended:
            return self._ended[member.key].job
        job = self._blank(member.key)
        if member.key not in self._begun:
            return replace(job, log=None)
        job = self._whole(member.key, Ended(job)).job
        return replace(job, status="interrupted", seconds=round(time.monotonic() - self._begun[member.key], 3))

    def _begin(self, executor: Executor, key: str) -> None:
        task = self._tasks[key]
        if task.goal == "deploy" and self._order.is_awaited(key):
            # An endpoint takes minutes to start; others need only what is published before.
            task = replace(task, goal="upload", then=task.goal)
            self._parts.add(key)
        self._begun[key] = time.monotonic()
        self._watcher.begins(self._blank(key), left=len(self._order.waiting))
        self._submit(executor, key, task)

    def _submit(self, executor: Executor, key: str, task: Task) -> None:
        text = msgspec.json.encode(task).decode()
        hears = (partial(self._hear, task.config, task.env),) if self._hear else ()
        self._running[executor.submit(perform, text, *hears)] = key

    def _end(self, executor: Executor, future: Future[str]) -> None:
        key = self._running.pop(future)
        try:
            found = _outcome(future, self._blank(key))
        except CancelledError as error:  # not by an interrupt: that ends the loop
            found = Ended(failed(self._blank(key), _lost(error)))
        if key in self._parts:
            self._parts.remove(key)
            if found.job.error is None:
                self._first[key] = found
                self._order.brought(key)
                self._submit(executor, key, replace(self._tasks[key], first=replace(found, contents=())))
                return
        whole = self._ended[key] = self._whole(key, found)
        self._order.end(key, well=whole.job.error is None)
        self._watcher.ended(whole.job)

    def _whole(self, key: str, found: Ended) -> Ended:
        job = joined(self._first[key].job, found.job) if key in self._first else found.job
        log, root = Path(job.log or ""), self._tasks[key].root
        shown = log.relative_to(root).as_posix() if log.is_relative_to(root) else job.log
        return replace(found, job=replace(job, name=job.name or self._members[key].name, log=shown))

    def _blank(self, key: str) -> results.Job:
        """The job before anything is known of it."""
        task = self._tasks[key]
        return results.Job(task.config, task.env, self._members[key].name, "waiting", log=task.log)


def _outcome(future: Future[str], job: results.Job) -> Ended:
    """What a job returned; of one that was lost with its worker, an error.

    Raises:
        CancelledError: it was told to end.
    """
    try:
        return decode_json(future.result().encode(), Ended)
    except CancelledError:
        raise
    except BrokenExecutor as error:
        return Ended(failed(job, _lost(error)))
    except Exception as error:  # noqa: BLE001 - of the executor, whatever that is
        return Ended(failed(job, as_failure(error)))


def _lost(error: Exception) -> RemoteError:
    return RemoteError(
        f"the worker was lost: {error or type(error).__name__}", fix="run the same command again: it continues"
    )


def _same_names(members: Sequence[Member]) -> dict[str, Ended]:
    """The jobs of specs that would write the same files, which none of them may."""
    found: dict[str, Ended] = {}
    by_stem: defaultdict[str, list[Member]] = defaultdict(list)
    for member in members:
        by_stem[member.stem].append(member)
    for member in members:
        twins = [each.config for each in by_stem[member.stem] if each.config != member.config]
        if member.name and twins:
            error = UserError(
                f"{one_of(twins)} has the name {member.name!r}, too",
                where=member.config,
                fix="lock, output and packages are stored under the name: give each spec its own",
            )
            found[member.key] = Ended(failed(results.Job(member.config, member.env, member.name, "failed"), error))
    return found


def _result(goal: str, to: str | None, jobs: Sequence[results.Job]) -> results.FleetRun:
    fetch, send, copy = (sum(getattr(job, name) for job in jobs) for name in ("fetch", "send", "copy"))
    return results.FleetRun(goal, to, tuple(jobs), fetch, send, copy)


def _require_goal(goal: str, goals: Sequence[str]) -> None:
    if goal not in goals:
        fix = did_you_mean(goal, goals) or f"choose one of {one_of(goals)}"
        raise UserError(f"unknown step {goal!r}", fix=fix)
