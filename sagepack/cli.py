"""What the tasks call: options in, an exit code out. Results go to stdout, everything else to stderr."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagepack import __version__, check, run, sandbox, specfile
from sagepack.build import Build, Connections
from sagepack.deploy import destroy as destroying
from sagepack.deploy import predict as predicting
from sagepack.deploy.answer import save_answer
from sagepack.deploy.deployment import Owner
from sagepack.deploy.pace import Pace
from sagepack.errors import SagepackError, UserError
from sagepack.fetch.cachelayout import default_cache
from sagepack.plan import GOALS, steps_to
from sagepack.remote.aws import AwsConnection
from sagepack.report import Terminal, table
from sagepack.store import Record, Records
from sagepack.units import amount, duration
from sagepack.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagepack.spec import Spec

INTERRUPTED = 130
FOUND_WORK = 2


@dataclass(frozen=True)
class Options:
    """The options every task shares.

    Attributes:
        root: the project's folder.
        config: path of the spec.
        env: environment, a file in `config/env/`.
        sets: `key=value` overlays, applied last.
        json: print one JSON document on stdout and nothing else there.
        yes: do not ask before something is destroyed.
        locked: refuse to make or refresh the lock.
        stream: publish from the Hub to S3 without the model on this disk.
        debug: show tracebacks.
    """

    root: Path
    config: str = "config/svd.yaml"
    env: str = "local"
    sets: tuple[str, ...] = ()
    json: bool = False
    yes: bool = False
    locked: bool = False
    stream: bool = False
    debug: bool = False


def guarded(body: Callable[[], int], *, debug: bool) -> int:
    """Run a task; every failure becomes a message on stderr and an exit code."""
    try:
        return body()
    except SagepackError as error:
        if debug:
            traceback.print_exc()
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; the same command continues\n")
        return INTERRUPTED
    except Exception as error:
        if debug:
            raise
        sys.stderr.write(f"error: unexpected {type(error).__name__}: {error}\n  run it with --debug for the traceback\n")
        return 1


def load(options: Options, *, branch_allowed: bool = False) -> Spec:
    """Read the spec and judge it, unless the same document passed before.

    Raises:
        UserError: the spec cannot be read, or is wrong.
    """
    config = Path(options.config)
    if not config.is_file() and (options.root / config).is_file():
        config = options.root / config
    document = specfile.load(config, options.env, options.sets, options.root)
    inputs = {"document": str(document.digest), "sagepack": __version__, "branch_allowed": branch_allowed}
    records = Records(options.root / "build" / "validated")
    key = document.digest.short
    record = records.load(key)
    if record is None or record.inputs != inputs:
        for warning in check.check(document, options.root, branch_allowed=branch_allowed):
            sys.stderr.write(f"warning: {warning}\n")
        records.save(Record(key, 1, inputs, {}))
    return document.spec()


def open_build(options: Options, goal: str, *, branch_allowed: bool = False) -> Build:
    """The build of the options' spec."""
    spec = load(options, branch_allowed=branch_allowed)
    work = Workspace(options.root, spec.name, spec.env)
    return Build(
        spec,
        work,
        goal,
        lambda: connections(options.root, spec),
        work.sandbox_hub_cache if spec.sandbox else default_cache(os.environ),
        Terminal(),
        locked=options.locked,
        stream=options.stream,
    )


def connections(root: Path, spec: Spec) -> Connections:
    """How to reach the services of the spec's environment; starts the sandbox if that is it."""
    if not spec.sandbox:
        return Connections(AwsConnection(spec.aws.region, spec.aws.profile))
    box = sandbox.ensure(root)
    aws = AwsConnection(spec.aws.region, None, box.aws_url, box.access_key, box.secret_key)
    return Connections(aws, box.hub_url, box.hf_token)


def validate(options: Options) -> int:
    """Judge the spec and say so."""
    spec = load(options)
    _result(options, f"{options.config} is valid for {spec.env}", {"valid": True, "name": spec.name, "env": spec.env})
    return 0


def lock(options: Options, *, update: bool) -> int:
    """Make the lock, or with `update` make it again."""
    build = open_build(options, "lock", branch_allowed=True)
    before = build.lock
    if update:
        run.step("lock").run(build)
    else:
        run.run(build)
    after = build.require_lock()
    shown = build.shown(build.work.lock)
    text = f"{shown} {'is as it was' if after == before else 'written'}: {after.model} at {after.commit}"
    _result(options, text, {"lock": shown, "commit": after.commit, "changed": after != before, "bytes": after.size})
    return 0


def plan(options: Options, goal: str) -> int:
    """Show what would run; exit code 2 if anything would."""
    if goal not in GOALS:
        raise UserError(f"{goal!r} is no goal", where="--to", fix=f"choose one of {', '.join(GOALS)}")
    build = open_build(options, goal)
    actions = run.plan(build)
    _result(options, table(actions), {"goal": goal, "actions": [action.to_json() for action in actions]})
    return FOUND_WORK if any(action.run for action in actions) else 0


def reach(options: Options, goal: str) -> int:
    """Run the steps to `goal` and say what came of it."""
    begun = time.monotonic()
    build = open_build(options, goal)
    actions = run.run(build)
    result = _made(build)
    did = [action.step for action in actions if action.run]
    lines = [table(actions)] if not did else []
    lines.append(f"{', '.join(did) if did else 'nothing to do'} ({duration(time.monotonic() - begun)})")
    lines += [f"{key}: {value}" for key, value in result.items()]
    document = {"goal": goal, "actions": [action.to_json() for action in actions], "result": result}
    _result(options, "\n".join(lines), document)
    return 0


def predict(options: Options, source: str, output: str, timeout: int) -> int:
    """Send a request to the deployed endpoint and save or print the answer."""
    build = open_build(options, "deploy")
    request, content_type = _request(build, source)
    answer = predicting.predict(
        build.aws,
        build.spec.endpoint,
        request,
        build.progress,
        content_type=content_type,
        timeout=timeout,
        pace=Pace.of(build.spec),
    )
    target = output or str(build.work.root / "build" / "answers" / f"{build.spec.name}-{build.spec.env}")
    files = [str(path) for path in save_answer(answer.body, Path(target))]
    text = f"answered in {duration(answer.seconds)}: {', '.join(files[:3])}{' ...' if len(files) > 3 else ''}"  # noqa: PLR2004
    _result(options, text, {"files": files, "location": answer.location, "seconds": round(answer.seconds, 3)})
    return 0


def destroy(options: Options) -> int:
    """Remove the endpoint and what belongs to it, after showing what that is."""
    build = open_build(options, "deploy")
    owner, pace = Owner.of(build.spec), Pace.of(build.spec)
    found = [str(resource) for resource in destroying.inventory(build.aws, owner)]
    if not found:
        _result(options, f"nothing to do: endpoint {owner.endpoint} and its parts do not exist", {"removed": []})
        return 0
    sys.stderr.write("".join(f"would remove {resource}\n" for resource in found) if not options.yes else "")
    _agreed(options, f"remove these {len(found)}")
    removed = [str(resource) for resource in destroying.destroy(build.aws, owner, build.progress, pace)]
    kept = f"published packages stay under {build.spec.artifact.target}"
    _result(options, f"removed {len(removed)} resources; {kept}", {"removed": removed})
    return 0


def clean(options: Options, *, everything: bool) -> int:
    """Remove local output; downloads, locks and everything remote stay."""
    if everything:
        sandbox.stop(options.root)
        folders = [options.root / "build", options.root / "dist"]
    else:
        build = open_build(options, "package")
        folders = [build.work.build, build.work.dist]
    removed = [str(folder.relative_to(options.root)) for folder in folders if folder.exists()]
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    _result(options, f"removed {', '.join(removed)}" if removed else "nothing to remove", {"removed": removed})
    return 0


def sandbox_status(options: Options) -> int:
    """Say whether the sandbox runs, and where."""
    box = sandbox.status(options.root)
    if box is None:
        _result(options, "the sandbox does not run", {"running": False})
        return 0
    text = f"the sandbox runs as process {box.pid}\n  Hub  {box.hub_url}\n  AWS  {box.aws_url}\n  log  {box.log}"
    _result(options, text, {"running": True, "pid": box.pid, "hub": box.hub_url, "aws": box.aws_url})
    return 0


def sandbox_stop(options: Options) -> int:
    """End the sandbox."""
    stopped = sandbox.stop(options.root)
    _result(options, "the sandbox has ended" if stopped else "the sandbox did not run", {"stopped": stopped})
    return 0


def _request(build: Build, source: str) -> tuple[bytes | Path, str | None]:
    """The request to send: a file, or the spec's sample."""
    if source:
        return Path(source), None
    sample = build.spec.sample
    if sample is None:
        raise UserError("the spec has no sample", where="sample", fix="name a file with --input")
    if sample.file is not None:
        return build.work.root / sample.file, sample.content_type
    return json.dumps(sample.request).encode(), sample.content_type


def _agreed(options: Options, what: str) -> None:
    if options.yes:
        return
    if not sys.stdin.isatty():
        raise UserError("nobody is there to ask", fix="repeat it with --yes")
    sys.stderr.write(f"{what}? [y/N] ")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UserError("nothing was removed")


def _made(build: Build) -> dict[str, Any]:
    """What a user looks for after a run: where the results are."""
    steps = steps_to(build.goal)
    result: dict[str, Any] = {}
    if "checksum" in steps:
        result["manifest"] = str(build.manifest.digest)
    if "tar" in steps:
        size = build.work.archive.stat().st_size
        result |= {"archive": build.shown(build.work.archive), "size": f"{size} bytes ({amount(size)})"}
        result["sha256"] = build.work.archive_sha256.read_text().split()[0]
    if "upload" in steps:
        result["artifact"] = str(build.package.model)
    if "deploy" in steps:
        result["endpoint"] = build.spec.endpoint.name
    return result


def _result(options: Options, text: str, document: dict[str, Any]) -> None:
    sys.stdout.write(f"{json.dumps(document, indent=1) if options.json else text}\n")
