"""The tasks, each a function from options to an exit code."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sagepack.cli.main import load_with_warnings, open_build, result
from sagepack.cli.output import contents_table, table
from sagepack.engine import executor
from sagepack.engine.plan import GOALS, steps_to
from sagepack.errors import UserError
from sagepack.text import format_bytes, format_duration

if TYPE_CHECKING:
    from sagepack.cli.options import Options
    from sagepack.engine.context import BuildContext

FOUND_WORK = 2


def validate(options: Options) -> int:
    """Judge the spec and the files that it names, and say so."""
    spec, warnings = load_with_warnings(options, contents=True)
    document = {"valid": True, "name": spec.name, "env": spec.env, "warnings": [asdict(found) for found in warnings]}
    result(options, f"{options.config} is valid for {spec.env}", document)
    return 0


def lock(options: Options, *, update: bool) -> int:
    """Make the lock, or with `update` make it again."""
    build = open_build(options, "lock", branch_allowed=True)
    before = None
    if update:
        # Whatever the file holds, it is made anew.
        with suppress(UserError):
            before = build.lock
        with executor.alone(build):
            executor.step("lock").run(build)
    else:
        before = build.lock
        executor.run(build)
    after = build.require_lock()
    shown = build.shown(build.work.lock)
    text = f"{shown} {'is as it was' if after == before else 'written'}: {after.model} at {after.commit}"
    result(options, text, {"lock": shown, "commit": after.commit, "changed": after != before, "bytes": after.size})
    return 0


def plan(options: Options, goal: str) -> int:
    """Show what would run; exit code 2 if anything would."""
    if goal not in GOALS:
        raise UserError(f"{goal!r} is no goal", where="--to", fix=f"choose one of {', '.join(GOALS)}")
    build = open_build(options, goal)
    actions = executor.plan(build)
    document: dict[str, Any] = {"goal": goal, "actions": [action.to_json() for action in actions]}
    lines = table(actions)
    if any(action.run and action.step == "upload" for action in actions) and build.answered:
        document["contents"] = build.services.contents()
        lines += ["", *contents_table(document["contents"])]
    result(options, lines, document)
    return FOUND_WORK if any(action.run for action in actions) else 0


def run_to(options: Options, goal: str) -> int:
    """Run the steps to `goal` and say what came of it."""
    begun = time.monotonic()
    build = open_build(options, goal)
    actions = executor.run(build)
    made = _made(build)
    did = [action.step for action in actions if action.run]
    lines = table(actions) if not did else []
    lines.append(f"{', '.join(did) if did else 'nothing to do'} ({format_duration(time.monotonic() - begun)})")
    lines += [f"{key}: {value}" for key, value in made.items()]
    document = {"goal": goal, "actions": [action.to_json() for action in actions], "result": made}
    result(options, lines, document)
    return 0


def _made(build: BuildContext) -> dict[str, Any]:
    """What a user looks for after a run: where the results are."""
    steps = steps_to(build.goal)
    made: dict[str, Any] = {}
    if "checksum" in steps:
        made["manifest"] = str(build.manifest.digest)
    if "tar" in steps:
        size = build.work.archive.stat().st_size
        made |= {"archive": build.shown(build.work.archive), "size": f"{size} bytes ({format_bytes(size)})"}
        made["sha256"] = build.work.archive_sha256.read_text(encoding="utf-8").split()[0]
    if "upload" in steps:
        made["artifact"] = str(build.services.package.model_uri)
    if "deploy" in steps:
        made["endpoint"] = build.spec.endpoint.name
    return made
