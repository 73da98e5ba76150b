"""The tasks, each a function from options to an exit code."""

from __future__ import annotations

import json
import shutil
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagepack import run, sandbox, verifying
from sagepack.cli import Options, agreed, load, open_build, result
from sagepack.deploy import destroy as destroying
from sagepack.deploy import predict as predicting
from sagepack.deploy.answer import save_answer
from sagepack.deploy.deployment import Owner
from sagepack.deploy.pace import Pace
from sagepack.errors import UserError
from sagepack.fetch.download import survey
from sagepack.plan import GOALS, steps_to
from sagepack.publish import upkeep
from sagepack.publish.policy import publish_policy
from sagepack.remote.s3 import Location
from sagepack.report import contents_table, table
from sagepack.units import amount, duration

if TYPE_CHECKING:
    from sagepack.build import Build
    from sagepack.remote.s3 import Upload

FOUND_WORK = 2


def validate(options: Options) -> int:
    """Judge the spec and say so."""
    spec = load(options)
    result(options, f"{options.config} is valid for {spec.env}", {"valid": True, "name": spec.name, "env": spec.env})
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
    result(options, text, {"lock": shown, "commit": after.commit, "changed": after != before, "bytes": after.size})
    return 0


def plan(options: Options, goal: str) -> int:
    """Show what would run; exit code 2 if anything would."""
    if goal not in GOALS:
        raise UserError(f"{goal!r} is no goal", where="--to", fix=f"choose one of {', '.join(GOALS)}")
    build = open_build(options, goal)
    actions = run.plan(build)
    document: dict[str, Any] = {"goal": goal, "actions": [action.to_json() for action in actions]}
    text = table(actions)
    if any(action.run and action.step == "upload" for action in actions) and build.answered:
        document["contents"] = contents(build)
        text += "\n\n" + contents_table(document["contents"])
    result(options, text, document)
    return FOUND_WORK if any(action.run for action in actions) else 0


def reach(options: Options, goal: str) -> int:
    """Run the steps to `goal` and say what came of it."""
    begun = time.monotonic()
    build = open_build(options, goal)
    actions = run.run(build)
    made = _made(build)
    did = [action.step for action in actions if action.run]
    lines = [table(actions)] if not did else []
    lines.append(f"{', '.join(did) if did else 'nothing to do'} ({duration(time.monotonic() - begun)})")
    lines += [f"{key}: {value}" for key, value in made.items()]
    document = {"goal": goal, "actions": [action.to_json() for action in actions], "result": made}
    result(options, "\n".join(lines), document)
    return 0


def verify(options: Options, *, rebuild: bool) -> int:
    """Check the artifact."""
    build = open_build(options, "package")
    found = (verifying.verify_rebuild if rebuild else verifying.verify_local)(build)
    shown = build.shown(build.work.archive)
    how = "is as its manifest says, and a rebuild gave the same bytes" if rebuild else "is as its manifest says"
    text = f"{shown} {how}: {len(found.contents)} files, {amount(found.size)}, sha256 {found.sha256.value}"
    document = {"archive": shown, "size": found.size, "sha256": found.sha256.value, "rebuilt": rebuild}
    result(options, text, document)
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
    text = f"answered in {duration(answer.seconds)}: {', '.join(files[:3])}{' ...' if len(files) > 3 else ''}"
    result(options, text, {"files": files, "location": answer.location, "seconds": round(answer.seconds, 3)})
    return 0


def destroy(options: Options) -> int:
    """Remove the endpoint and what belongs to it, after showing what that is."""
    build = open_build(options, "deploy")
    owner, pace = Owner.of(build.spec), Pace.of(build.spec)
    found = [str(resource) for resource in destroying.inventory(build.aws, owner)]
    if not found:
        result(options, f"nothing to do: endpoint {owner.endpoint} and its parts do not exist", {"removed": []})
        return 0
    sys.stderr.write("".join(f"would remove {resource}\n" for resource in found) if not options.yes else "")
    agreed(options, f"remove these {len(found)}")
    removed = [str(resource) for resource in destroying.destroy(build.aws, owner, build.progress, pace)]
    kept = f"published packages stay under {build.spec.artifact.target}"
    result(options, f"removed {len(removed)} resources; {kept}", {"removed": removed})
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
    result(options, f"removed {', '.join(removed)}" if removed else "nothing to remove", {"removed": removed})
    return 0


def sandbox_status(options: Options) -> int:
    """Say whether the sandbox runs, and where."""
    box = sandbox.status(options.root)
    if box is None:
        result(options, "the sandbox does not run", {"running": False})
        return 0
    text = f"the sandbox runs as process {box.pid}\n  Hub  {box.hub_url}\n  AWS  {box.aws_url}\n  log  {box.log}"
    result(options, text, {"running": True, "pid": box.pid, "hub": box.hub_url, "aws": box.aws_url})
    return 0


def sandbox_stop(options: Options) -> int:
    """End the sandbox."""
    stopped = sandbox.stop(options.root)
    result(options, "the sandbox has ended" if stopped else "the sandbox did not run", {"stopped": stopped})
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


def _made(build: Build) -> dict[str, Any]:
    """What a user looks for after a run: where the results are."""
    steps = steps_to(build.goal)
    made: dict[str, Any] = {}
    if "checksum" in steps:
        made["manifest"] = str(build.manifest.digest)
    if "tar" in steps:
        size = build.work.archive.stat().st_size
        made |= {"archive": build.shown(build.work.archive), "size": f"{size} bytes ({amount(size)})"}
        made["sha256"] = build.work.archive_sha256.read_text().split()[0]
    if "upload" in steps:
        made["artifact"] = str(build.package.model)
    if "deploy" in steps:
        made["endpoint"] = build.spec.endpoint.name
    return made


def doctor(options: Options, hours: int) -> int:
    """List unfinished uploads that nobody continues: their parts are paid for."""
    build, found = _stale(options, hours)
    lines = [_upload_line(upload) for upload in found]
    head = f"unfinished uploads older than {hours} h under {build.spec.artifact.target}: {len(found) or 'none'}"
    fix = ["`invoke gc` aborts them"] if found else []
    result(options, "\n".join([head, *lines, *fix]), {"stale_uploads": lines})
    return 0


def gc(options: Options, hours: int) -> int:
    """Abort unfinished uploads of ours that are old, after showing them."""
    build, found = _stale(options, hours)
    lines = [_upload_line(upload) for upload in found]
    if found:
        sys.stderr.write("".join(f"would abort {line}\n" for line in lines) if not options.yes else "")
        agreed(options, f"abort these {len(found)}")
        upkeep.abort_stale(build.store, found)
    result(options, "\n".join(f"aborted {line}" for line in lines) or "nothing to do", {"aborted": lines})
    return 0


def policy(options: Options) -> int:
    """Print the least IAM policy that publishing needs."""
    document = publish_policy(load(options))
    # A policy is a document for AWS either way.
    result(options, json.dumps(document, indent=2), document)
    return 0


def contents(build: Build) -> list[dict[str, Any]]:
    """For each file of the package, the bytes that S3 copies, that are sent, and that are fetched to be sent."""
    here = survey(build.cache, build.require_lock().commit, build.lacking, build.trust)
    from_hub = {file.path for file in here.missing}
    return [
        {
            "path": content.member.path,
            "size": content.member.size,
            "copied": content.copied,
            "sent": content.sent + content.borrowed,
            "fetched": content.borrowed + (content.member.size if content.member.path in from_hub else 0),
        }
        for content in build.upload_plan.contents
    ]


def _stale(options: Options, hours: int) -> tuple[Build, list[Upload]]:
    build = open_build(options, "upload")
    target = Location.parse(build.spec.artifact.target)
    return build, upkeep.stale_uploads(build.store, target, timedelta(hours=hours))


def _upload_line(upload: Upload) -> str:
    begun = f"{upload.initiated:%Y-%m-%d %H:%M} UTC" if upload.initiated else "at an unknown time"
    return f"{upload.location}, begun {begun}"
