"""What came of a fleet, for people: a table of jobs, each error once with the jobs that it stopped, and a summary."""

from __future__ import annotations

from collections import Counter, defaultdict
from functools import partial
from typing import TYPE_CHECKING

from sagepack.cli.layout import Block, Line, Screen, Span, padded, shortened, wrapped
from sagepack.cli.output import as_called, problem
from sagepack.text import counted, format_bytes, format_duration, one_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sagepack.api.results import FleetRun, Job, JobError

_WORDS = {
    "done": "done",
    "unchanged": "up to date",
    "planned": "to do",
    "failed": "failed",
    "interrupted": "interrupted",
    "waiting": "not begun",
}
_LOOKS = {"done": "green", "unchanged": "dim", "planned": "bold cyan", "failed": "bold red", "interrupted": "yellow"}
_GLYPHS = {"done": "ok", "unchanged": "ok", "planned": "run", "failed": "bad", "interrupted": "bad"}
_AMOUNTS = {"fetch": "FETCH", "send": "SEND", "copy": "COPY"}
_ALL = 40  # jobs of which each is listed; of more those that had nothing to do are counted
_READABLE = 30  # columns that the words of a job need
_COUNTED = ("done", "planned", "failed", "interrupted", "waiting", "unchanged")


def label(job: Job) -> str:
    """A job as people call it."""
    return f"{job.name or job.config} {job.env}"


def blocks(run: FleetRun) -> list[Block]:
    """The table, the errors and the summary."""
    shown: list[Block] = [partial(_table, run)]
    errors: defaultdict[tuple[str, ...], list[Job]] = defaultdict(list)
    for job in run.jobs:
        if job.error:
            errors[tuple(error_lines(job.error))].append(job)
    for lines, jobs in errors.items():
        logs = [job.log for job in jobs if job.log]
        head, *rest = _as_typed(lines, jobs[0])
        shown += ["", problem("error", [f"{one_of(map(label, jobs))}: {head}", *(f"  {line}" for line in rest)])]
        shown += [(Span(f"       log: {one_of(logs)}", "dim"),)] if logs else []
    return [*shown, "", partial(_summary, run)]


def _as_typed(lines: Iterable[str], job: Job) -> list[str]:
    """Lines whose commands are about the spec and environment of a job, and not about those of a command without flags."""
    flags = ["--config", job.config, "--env", job.env]
    return [as_called(line, flags) for line in lines]


def error_lines(error: JobError) -> list[str]:
    """All that is known of an error: what happened, every mistake of the spec, and what to do."""
    lines = [f"{error.where}: {error.message}" if error.where else error.message]
    for each in error.problems:
        lines.append(": ".join(part for part in (each.where, each.key, each.message) if part))
        lines += [f"  {each.fix}"] if each.fix else []
    return [*lines, *error.details, *([error.fix] if error.fix else [])]


def outcome(job: Job) -> str:
    """What a job did, or why it did not, in a line."""
    if job.error:
        return f"{job.error.where}: {job.error.message}" if job.error.where else job.error.message
    if job.endpoint and job.status == "done":
        return f"{', '.join(job.steps)}: endpoint {job.endpoint.name}"
    return ", ".join(job.steps)


def _table(run: FleetRun, screen: Screen) -> list[Line]:
    jobs = [job for job in run.jobs if len(run.jobs) <= _ALL or job.status not in ("unchanged", "waiting")]
    if not jobs:
        return []
    names, envs = [job.name or job.config for job in jobs], [job.env for job in jobs]
    results = [_WORDS[job.status] for job in jobs]
    glyph = 2 if screen.glyphs != "none" else 0
    name, env, result = (
        max(map(len, (head, *texts))) + 2 for head, texts in (("NAME", names), ("ENV", envs), ("RESULT", results))
    )
    name = min(name, max(12, screen.width // 3))
    amounts = {
        key: max(len(head), *(len(_bytes(job, key)) for job in jobs)) + 2
        for key, head in _AMOUNTS.items()
        if any(getattr(job, key) for job in jobs)
    }
    times = max(len("TIME"), *(len(_time(job)) for job in jobs)) + 2
    left = glyph + name + env + result + times
    if screen.width - left - sum(amounts.values()) < _READABLE:
        amounts = {}  # the summary has their sums
    left += sum(amounts.values())
    head = " " * glyph + padded("NAME", name) + padded("ENV", env) + padded("RESULT", result)
    head += "".join(f"{_AMOUNTS[key]:>{width - 2}}  " for key, width in amounts.items()) + f"{'TIME':>{times - 2}}  "
    lines: list[Line] = [
        (Span(f"{head}{'STEPS' if all(job.error is None for job in jobs) else 'STEPS, OR WHY NOT'}", "dim"),)
    ]
    for job, shown in zip(jobs, names, strict=True):
        look = _LOOKS.get(job.status, "dim")
        words = outcome(job)
        lines.append(
            (
                Span(padded(screen.glyph(_GLYPHS.get(job.status, "run")), glyph), look),
                Span(padded(shortened(shown, name - 2, screen.ellipsis), name), "" if job.steps else "dim"),
                Span(padded(job.env, env)),
                Span(padded(_WORDS[job.status], result), look),
                Span("".join(f"{_bytes(job, key):>{width - 2}}  " for key, width in amounts.items())),
                Span(f"{_time(job):>{times - 2}}  ", "dim"),
                Span(shortened(words, max(12, screen.width - left), screen.ellipsis) if screen.is_terminal else words),
            )
        )
    return lines


def _summary(run: FleetRun, screen: Screen) -> list[Line]:
    """How many jobs came to what, and the bytes of all."""
    count: Counter[str] = Counter(job.status for job in run.jobs)
    parts = [f"{count[status]} {_WORDS[status]}" for status in _COUNTED if count[status]]
    planned = run.goal == "plan"
    words = {"fetch": ("to fetch", "fetched"), "send": ("to send", "sent"), "copy": ("copied inside S3",) * 2}
    moved = [
        f"{format_bytes(amount)} {words[key][0 if planned else 1]}" for key in words if (amount := getattr(run, key))
    ]
    goal = f"plan to {run.to}" if planned else run.goal
    head = f"{counted(len(run.jobs), 'job')}, {goal}:"
    text = " ".join([head, ", ".join(parts) + (f"; {', '.join(moved)}" if moved else "")])
    if planned and moved:
        text += " (a content that several need is counted once)"
    if run.interrupted_by is not None:
        text += "; the same command does the rest"
    first, *rest = wrapped(text, screen.width)
    return [(Span(head, "bold"), Span(first[len(head) :])), *rest]


def _bytes(job: Job, key: str) -> str:
    amount = getattr(job, key)
    return format_bytes(amount) if amount else "-"


def _time(job: Job) -> str:
    return format_duration(job.seconds) if job.seconds is not None else "-"
