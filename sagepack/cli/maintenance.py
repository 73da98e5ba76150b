"""The tasks that look after what builds leave: local output, unfinished uploads, the policy that publishing needs."""

from __future__ import annotations

import json
import shutil
from contextlib import ExitStack, suppress
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from sagepack import files
from sagepack.cli.output import confirm, echo, result
from sagepack.cli.session import load, open_context
from sagepack.cli.task import YES, Flag, task
from sagepack.cli.terminal import Terminal
from sagepack.engine import executor, lazy
from sagepack.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagepack import sandbox
    from sagepack.aws import s3
    from sagepack.cli.options import Options
    from sagepack.engine.context import BuildContext
    from sagepack.publish import cleanup, iam_policy
else:
    s3 = lazy.module("aws.s3")
    cleanup = lazy.module("publish.cleanup")
    iam_policy = lazy.module("publish.iam_policy")
    sandbox = lazy.module("sandbox")

_OLDER_THAN = Flag(
    "older-than",
    24,
    "hours an unfinished upload must be old to count as stale (default 24)",
    most=24 * 366 * 10,
    parameter="hours",
)


@task(
    Flag(
        "all",
        default=False,
        help="remove build/ and dist/ of every spec, and the sandbox's state",
        parameter="everything",
    )
)
def clean(options: Options, *, everything: bool) -> int:
    """Remove local output of the spec: build/<name>-<env>/ and dist/<name>/<env>/."""
    if everything:
        removed = _clean_all(options.root)
    else:
        context = open_context(options, "package")
        with executor.exclusive(context):
            removed = _remove(options.root, [context.work.build_path, context.work.dist_path])
    result(options, f"removed {', '.join(removed)}" if removed else "nothing to remove", {"removed": removed})
    return 0


@task(_OLDER_THAN)
def doctor(options: Options, *, hours: int) -> int:
    """List unfinished uploads under the target: AWS charges for their parts."""
    context, found = _stale_uploads(options, hours)
    lines = [_upload_line(upload) for upload in found]
    target = context.spec.artifact.target
    head = f"unfinished uploads older than {hours} h under {target}: {len(found) or 'none'}"
    fix = ["`invoke gc` aborts them"] if found else []
    result(options, [head, *lines, *fix], {"stale_uploads": lines})
    return 0


@task(_OLDER_THAN, YES)
def gc(options: Options, *, hours: int, yes: bool) -> int:
    """Abort unfinished uploads of this spec that are old; shows them first."""
    context, found = _stale_uploads(options, hours)
    lines = [_upload_line(upload) for upload in found]
    if found:
        if not yes:
            for line in lines:
                echo(f"would abort {line}")
        confirm(f"abort these {len(found)}", yes=yes)
        cleanup.abort_stale(context.clients.s3, found)
    result(options, [f"aborted {line}" for line in lines] or "nothing to do", {"aborted": lines})
    return 0


@task()
def policy(options: Options) -> int:
    """Print the smallest IAM policy that allows publishing."""
    spec, _ = load(options)
    document = iam_policy.publish_policy(spec)
    # A policy is a document for AWS either way.
    result(options, json.dumps(document, indent=2).splitlines(), document)
    return 0


def _stale_uploads(options: Options, hours: int) -> tuple[BuildContext, list[s3.MultipartHandle]]:
    context = open_context(options, "upload")
    target = s3.S3Uri.parse(context.spec.artifact.target)
    return context, cleanup.stale_uploads(context.clients.s3, target, context.spec.name, timedelta(hours=hours))


def _upload_line(upload: s3.MultipartHandle) -> str:
    begun = f"{upload.initiated:%Y-%m-%d %H:%M} UTC" if upload.initiated else "at an unknown time"
    return f"{upload.location}, begun {begun}"


def _clean_all(root: Path) -> list[str]:
    """Remove what `build/` and `dist/` hold, after running commands have ended, and before any other begins.

    Lock files stay: another command may wait for one, and a later command must meet it there.
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
