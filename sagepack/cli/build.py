"""The tasks of a build: from a spec to a package, in S3, behind an endpoint."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from sagepack import hub
from sagepack.cli.output import contents_table, result, table
from sagepack.cli.session import load, open_context
from sagepack.cli.task import CONNECTIONS, LOCKED, STREAM, Flag, task
from sagepack.engine import executor, lazy
from sagepack.engine.steps import GOALS
from sagepack.errors import UserError
from sagepack.text import format_bytes, format_duration

if TYPE_CHECKING:
    from sagepack.cli.options import Options
    from sagepack.engine import verify as verifying
    from sagepack.engine.context import BuildContext
    from sagepack.publish import remote_read
else:
    verifying = lazy.module("engine.verify")
    remote_read = lazy.module("publish.remote_read")

FOUND_WORK = 2


@task()
def validate(options: Options) -> int:
    """Check the spec and the files that it names: every mistake at once, each with its place and what to do."""
    spec, warnings = load(options, contents=True)
    document = {"valid": True, "name": spec.name, "env": spec.env, "warnings": [found.to_json() for found in warnings]}
    result(options, f"{options.config} is valid for {spec.env}", document)
    return 0


@task(Flag("update", default=False, help="resolve again even if the lock is up to date with the spec"), LOCKED)
def lock(options: Options, *, update: bool = False, locked: bool = False) -> int:
    """Resolve revision, files, image and requirements; write config/locks/<name>-<env>.lock.yaml."""
    context = open_context(options, "lock", locked=locked, branch_allowed=True)
    before = None
    if update:
        # Whatever the file holds, it is made again.
        with suppress(UserError):
            before = context.lock
        with executor.exclusive(context):
            context.steps[-1].run(context)
    else:
        before = context.lock
        executor.run(context)
    after = context.refreshed().required_lock()
    path = context.display(context.work.lock_path)
    text = (
        f"{path} {'is as it was' if after == before else 'written'}: {after.revision.repo} at {after.revision.commit}"
    )
    document = {"lock": path, "commit": after.revision.commit, "changed": after != before, "bytes": after.size}
    result(options, text, document)
    return 0


@task(Flag("to", "package", "the step to plan for, or package"), LOCKED, STREAM)
def plan(options: Options, *, to: str = "package", locked: bool = False, stream: bool = False) -> int:
    """Show what would run and why; exit code 0 if nothing would, 2 if something would."""
    if to not in GOALS:
        raise UserError(f"unknown step {to!r}", where="--to", fix=f"choose one of {', '.join(GOALS)}")
    context = open_context(options, to, locked=locked, stream=stream)
    actions = executor.plan(context)
    document: dict[str, Any] = {"goal": to, "actions": [action.to_json() for action in actions]}
    lines = table(actions)
    for step, action in zip(context.steps, actions, strict=True):
        if step.contents and action.run and context.current_lock:
            document["contents"] = step.contents(context)
            lines += ["", *contents_table(document["contents"])]
    result(options, lines, document)
    return FOUND_WORK if any(action.run for action in actions) else 0


@task(LOCKED, CONNECTIONS)
def download(options: Options, *, locked: bool, connections: int) -> int:
    """Fetch the model's files into the Hugging Face cache, every byte checked against the lock."""
    return reach(options, "download", locked=locked, connections=connections)


@task(LOCKED)
def assemble(options: Options, *, locked: bool) -> int:
    """Stage the inference code and the requirements."""
    return reach(options, "assemble", locked=locked)


@task(LOCKED)
def checksum(options: Options, *, locked: bool) -> int:
    """Write the manifest; its digest is the identity of the package."""
    return reach(options, "checksum", locked=locked)


@task(LOCKED, CONNECTIONS)
def tar(options: Options, *, locked: bool, connections: int) -> int:
    """Write dist/<name>/<env>/model.tar.gz (the same as `package`)."""
    return reach(options, "tar", locked=locked, connections=connections)


@task(LOCKED, CONNECTIONS)
def package(options: Options, *, locked: bool = False, connections: int = hub.CONNECTIONS) -> int:
    """Everything up to dist/<name>/<env>/model.tar.gz, its .sha256 and manifest.json."""
    return reach(options, "package", locked=locked, connections=connections)


@task(LOCKED, STREAM, CONNECTIONS)
def upload(options: Options, *, locked: bool, stream: bool, connections: int) -> int:
    """Publish the package under its content-addressed key; sends only what is missing in S3."""
    return reach(options, "upload", locked=locked, stream=stream, connections=connections)


@task(LOCKED, STREAM, CONNECTIONS)
def deploy(options: Options, *, locked: bool, stream: bool, connections: int) -> int:
    """Publish, then make the endpoint what the spec says, and wait until it is."""
    return reach(options, "deploy", locked=locked, stream=stream, connections=connections)


def reach(options: Options, goal: str, **settings: Any) -> int:
    """Run the steps to `goal` and print what came of it.

    Args:
        options: the task's options.
        goal: a step, or `package`.
        settings: for `open_context`.
    """
    begun = time.monotonic()
    context, actions = executor.run(open_context(options, goal, **settings))
    made = {key: value for step in context.steps for key, value in step.result(context).items()}
    done = [action.step for action in actions if action.run]
    lines = table(actions) if not done else []
    lines.append(f"{', '.join(done) if done else 'nothing to do'} ({format_duration(time.monotonic() - begun)})")
    lines += [f"{key}: {value}" for key, value in made.items()]
    document = {"goal": goal, "actions": [action.to_json() for action in actions], "result": made}
    result(options, lines, document)
    return 0


@task(
    Flag("rebuild", default=False, help="build again from nothing and compare the bytes"),
    Flag("remote", default=False, help="check what S3 holds, in a few small requests"),
    Flag("deep", default=False, help="with --remote: read and hash every byte that S3 holds"),
)
def verify(options: Options, *, rebuild: bool, remote: bool, deep: bool) -> int:
    """Check the artifact against its manifest, byte by byte; with --remote, the package in S3."""
    if deep and not remote:
        raise UserError("it says how much of the package in S3 is read", where="--deep", fix="write --remote --deep")
    if rebuild and remote:
        raise UserError("one is about the artifact on this disk, the other about S3", where="--rebuild --remote")
    if remote:
        return _verify_remote(options, open_context(options, "upload"), deep=deep)
    context = open_context(options, "package")
    found = (verifying.verify_rebuild if rebuild else verifying.verify_local)(context)
    archive = context.display(context.work.archive_path)
    how = "is as its manifest says, and a rebuild gave the same bytes" if rebuild else "is as its manifest says"
    text = f"{archive} {how}: {len(found.contents)} files, {format_bytes(found.size)}, sha256 {found.sha256.value}"
    document = {"archive": archive, "size": found.size, "sha256": found.sha256.value, "rebuilt": rebuild}
    result(options, text, document)
    return 0


def _verify_remote(options: Options, context: BuildContext, *, deep: bool) -> int:
    """Check what S3 holds of the package that lock and code make."""
    publication, manifest = context.publication, context.manifest
    found = remote_read.verify(
        context.clients.s3, publication.package, manifest, context.progress, verified=publication.verified, deep=deep
    )
    uri = str(publication.package.model_uri)
    how = (
        "every byte is what the manifest says" if deep else "records, checksums and ETags agree; the model was not read"
    )
    lines = [
        f"{uri}: {how}",
        f"{len(manifest.members)} files, {format_bytes(manifest.size)}, released as {found.record}",
        f"{found.requests} requests, {format_bytes(found.bytes_read)} read",
        *(f"not compared: {note}" for note in found.notes),
    ]
    document = {
        "version": 1,
        "artifact": uri,
        "manifest": str(manifest.digest),
        "release": str(found.record),
        "deep": deep,
        "files": len(manifest.members),
        "size": manifest.size,
        "requests": found.requests,
        "bytes_read": found.bytes_read,
        "not_compared": list(found.notes),
    }
    result(options, lines, document)
    return 0
