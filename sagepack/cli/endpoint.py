"""The tasks beside the build: asking and removing endpoints, verifying, housekeeping, the sandbox."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import shutil
from contextlib import ExitStack, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from sagepack import files, sandbox
from sagepack.aws.s3 import S3Uri
from sagepack.cli import connect
from sagepack.cli.main import confirm, load, open_build, parse_int, result
from sagepack.cli.output import Terminal, echo
from sagepack.deploy import destroy as destroying
from sagepack.deploy import predict as predicting
from sagepack.deploy.deployment import Owner
from sagepack.deploy.results import save_result
from sagepack.deploy.waiter import WaiterConfig
from sagepack.engine import executor
from sagepack.engine import verify as verifying
from sagepack.engine.workspace import Workspace
from sagepack.errors import RemoteError, UserError
from sagepack.publish import cleanup, remote_read
from sagepack.publish.iam_policy import publish_policy
from sagepack.text import format_bytes, format_duration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagepack.aws.s3 import MultipartHandle
    from sagepack.cli.options import Options
    from sagepack.engine.context import BuildContext

_MOST_HOURS = 24 * 366 * 10


def verify(options: Options, *, rebuild: bool, remote: bool, deep: bool) -> int:
    """Check the artifact on this disk, or the package in S3."""
    if deep and not remote:
        raise UserError("it says how much of the package in S3 is read", where="--deep", fix="write --remote --deep")
    if rebuild and remote:
        raise UserError("one is about the artifact on this disk, the other about S3", where="--rebuild --remote")
    if remote:
        return _verify_remote(options, deep=deep)
    build = open_build(options, "package")
    found = (verifying.verify_rebuild if rebuild else verifying.verify_local)(build)
    shown = build.shown(build.work.archive)
    how = "is as its manifest says, and a rebuild gave the same bytes" if rebuild else "is as its manifest says"
    text = f"{shown} {how}: {len(found.contents)} files, {format_bytes(found.size)}, sha256 {found.sha256.value}"
    document = {"archive": shown, "size": found.size, "sha256": found.sha256.value, "rebuilt": rebuild}
    result(options, text, document)
    return 0


def _verify_remote(options: Options, *, deep: bool) -> int:
    """Check what S3 holds of the package that lock and code make."""
    build = open_build(options, "upload")
    services, manifest = build.services, build.manifest
    found = remote_read.verify(
        services.store, services.package, manifest, build.progress, verified=services.verified, deep=deep
    )
    package = services.package
    how = (
        "every byte is what the manifest says" if deep else "records, checksums and ETags agree; the model was not read"
    )
    lines = [
        f"{package.model}: {how}",
        f"{len(manifest.members)} files, {format_bytes(manifest.size)}, released as {found.record}",
        f"{found.requests} requests, {format_bytes(found.bytes_read)} read",
        *(f"not compared: {note}" for note in found.notes),
    ]
    document = {
        "version": 1,
        "artifact": str(package.model),
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


def predict(options: Options, source: str, output: str, timeout: str) -> int:
    """Send a request to the deployed endpoint and save or print the answer."""
    seconds = parse_int(timeout, "--timeout", 86400)
    build = open_build(options, "deploy")
    request, content_type = _request(build, source)
    answer = predicting.predict(
        build.services.aws,
        build.spec.endpoint,
        request,
        build.progress,
        store=build.services.store,
        content_type=content_type,
        waiter=dataclasses.replace(WaiterConfig.of(build.spec), timeout=seconds),
    )
    target = output or str(build.work.root / "build" / "answers" / f"{build.spec.name}-{build.spec.env}")
    try:
        saved = [str(path) for path in save_result(answer.body, Path(target))]
    except (UserError, RemoteError) as error:
        error.details = (f"the answer as it came is kept at {answer.location}",)
        raise
    text = f"answered in {format_duration(answer.seconds)}: {', '.join(saved[:3])}{' ...' if len(saved) > 3 else ''}"
    result(options, text, {"files": saved, "location": answer.location, "seconds": round(answer.seconds, 3)})
    return 0


def destroy(options: Options) -> int:
    """Remove the endpoint and what belongs to it, after showing what that is."""
    build = open_build(options, "deploy")
    owner, waiter = Owner.of(build.spec), WaiterConfig.of(build.spec)
    found = [str(resource) for resource in destroying.inventory(build.services.aws, owner)]
    if not found:
        result(options, f"nothing to do: endpoint {owner.endpoint_name} and its parts do not exist", {"removed": []})
        return 0
    _show(options, "would remove", found)
    confirm(options, f"remove these {len(found)}")
    with executor.alone(build):
        removed = [str(resource) for resource in destroying.destroy(build.services.aws, owner, build.progress, waiter)]
    kept = f"published packages stay under {build.spec.artifact.target}"
    result(options, f"removed {len(removed)} resources; {kept}", {"removed": removed})
    return 0


def clean(options: Options, *, everything: bool) -> int:
    """Remove local output; downloads, locks and everything remote stay."""
    if everything:
        removed = _clean_all(options.root)
    else:
        build = open_build(options, "package")
        with executor.alone(build):
            removed = _remove(options.root, [build.work.build, build.work.dist])
    result(options, f"removed {', '.join(removed)}" if removed else "nothing to remove", {"removed": removed})
    return 0


def doctor(options: Options, older_than: str) -> int:
    """List unfinished uploads that nobody continues: their parts are paid for."""
    hours = parse_int(older_than, "--older-than", _MOST_HOURS)
    build, found = _stale(options, hours)
    lines = [_upload_line(upload) for upload in found]
    head = f"unfinished uploads older than {hours} h under {build.spec.artifact.target}: {len(found) or 'none'}"
    fix = ["`invoke gc` aborts them"] if found else []
    result(options, [head, *lines, *fix], {"stale_uploads": lines})
    return 0


def gc(options: Options, older_than: str) -> int:
    """Abort unfinished uploads of ours that are old, after showing them."""
    build, found = _stale(options, parse_int(older_than, "--older-than", _MOST_HOURS))
    lines = [_upload_line(upload) for upload in found]
    if found:
        _show(options, "would abort", lines)
        confirm(options, f"abort these {len(found)}")
        cleanup.abort_stale(build.services.store, found)
    result(options, [f"aborted {line}" for line in lines] or "nothing to do", {"aborted": lines})
    return 0


def policy(options: Options) -> int:
    """Print the least IAM policy that publishing needs."""
    document = publish_policy(load(options))
    # A policy is a document for AWS either way.
    result(options, json.dumps(document, indent=2).splitlines(), document)
    return 0


def sandbox_status(options: Options) -> int:
    """Say whether the sandbox runs, and where."""
    box = sandbox.status(options.root)
    if box is None:
        result(options, "the sandbox does not run", {"running": False})
        return 0
    places = [f"  Hub  {box.hub_url}", f"  AWS  {box.aws_url}", f"  log  {box.log}"]
    result(
        options,
        [f"the sandbox runs as process {box.pid}", *places],
        {"running": True, "pid": box.pid, "hub": box.hub_url, "aws": box.aws_url},
    )
    return 0


def sandbox_stop(options: Options) -> int:
    """End the sandbox."""
    stopped = sandbox.stop(options.root)
    result(options, "the sandbox has ended" if stopped else "the sandbox did not run", {"stopped": stopped})
    return 0


def sandbox_env(options: Options) -> int:
    """Print the environment that another program needs to use the sandbox, which is started if it does not run."""
    box = connect.running(options.root, echo)
    export = {
        "AWS_ENDPOINT_URL": box.aws_url,
        "AWS_ACCESS_KEY_ID": box.access_key,
        "AWS_SECRET_ACCESS_KEY": box.secret_key,
        "AWS_REGION": box.region,
        "AWS_DEFAULT_REGION": box.region,  # boto3 reads this one
        "HF_ENDPOINT": box.hub_url,
        "HF_TOKEN": box.hf_token,
        "HF_HUB_CACHE": str(Workspace(options.root, "", options.env).sandbox_hub_cache),
        **{name: connect.past_proxies(os.environ.get(name, "")) for name in ("NO_PROXY", "no_proxy")},
    }
    # With these the clients would send the user's own session or fail for want of a profile.
    unset = ["AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"]
    lines = [f"unset {' '.join(unset)}", *(f"export {name}={shlex.quote(value)}" for name, value in export.items())]
    result(options, lines, {"export": export, "unset": unset})
    return 0


def _show(options: Options, verb: str, things: Sequence[str]) -> None:
    if not options.yes:
        for thing in things:
            echo(f"{verb} {thing}")


def _clean_all(root: Path) -> list[str]:
    """Remove what `build/` and `dist/` hold, after the commands that are at work, and before those that come meanwhile.

    Lock files stay: another command may wait at one, and who comes later must meet it there.
    """
    build, dist = root / "build", root / "dist"
    progress, held = Terminal(), set[Path]()
    with ExitStack() as stack:
        while True:
            found = [
                path
                for folder in (build, dist)
                for path in (folder.iterdir() if folder.is_dir() else ())
                if path.suffix != ".lock"
            ]
            coming = _mutexes(build, dist) - held
            if not coming:
                break
            # Those of a rebuild last: `verify` takes them after the one of its spec.
            for mutex in sorted(coming, key=lambda path: (len(path.parts), path)):
                stack.enter_context(files.exclusive(mutex, progress.note))
            held |= coming
        sandbox.remove(root)
        _remove(root, [path for path in found if path != build / "sandbox"])
    emptied = sorted({path.parent for path in found})
    for folder in emptied:
        with suppress(OSError):  # lock files are left
            folder.rmdir()
    return [folder.name for folder in emptied]


def _mutexes(build: Path, dist: Path) -> set[Path]:
    """Those of all specs of which there is something, and of rebuilds that are compared."""
    return {
        *build.glob("*.lock"),
        *build.glob("rebuild-*/build/*.lock"),
        *(build / f"{records.parent.name}.lock" for records in build.glob("*/records")),
        *(build / f"{package.parent.name}-{package.name}.lock" for package in dist.glob("*/*")),
    }


def _remove(root: Path, paths: Sequence[Path]) -> list[str]:
    """Remove what of `paths` exists, and name it."""
    there = [path for path in paths if path.exists() or path.is_symlink()]
    for path in there:
        _remove_one(path)
    return [str(path.relative_to(root)) for path in there]


def _remove_one(path: Path) -> None:
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except FileNotFoundError:  # another command was faster with a part of it: look again
        shutil.rmtree(path, ignore_errors=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"cannot be removed: {reason}", where=str(path), fix="remove it by hand") from error


def _request(build: BuildContext, source: str) -> tuple[bytes | Path, str | None]:
    """The request to send: a file, or the spec's sample."""
    if source:
        return Path(source), None
    sample = build.spec.sample
    if sample is None:
        raise UserError("the spec has no sample", where="sample", fix="name a file with --input")
    if sample.file is not None:
        return build.work.root / sample.file, sample.content_type
    return json.dumps(sample.request).encode(), sample.content_type


def _stale(options: Options, hours: int) -> tuple[BuildContext, list[MultipartHandle]]:
    build = open_build(options, "upload")
    target = S3Uri.parse(build.spec.artifact.target)
    return build, cleanup.stale_uploads(build.services.store, target, build.spec.name, timedelta(hours=hours))


def _upload_line(upload: MultipartHandle) -> str:
    begun = f"{upload.initiated:%Y-%m-%d %H:%M} UTC" if upload.initiated else "at an unknown time"
    return f"{upload.location}, begun {begun}"
