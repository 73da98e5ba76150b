"""What the tasks call: options in, an exit code out. Results go to stdout, everything else to stderr."""

from __future__ import annotations

import json
import os
import sys
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagepack import __version__, check, sandbox, specfile
from sagepack.build import Build, Connections
from sagepack.errors import SagepackError, UserError
from sagepack.fetch.cachelayout import default_cache
from sagepack.remote.aws import AwsConnection
from sagepack.report import Terminal
from sagepack.store import Record, Records
from sagepack.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagepack.progress import Progress
    from sagepack.spec import Spec

INTERRUPTED = 130


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
        sys.stderr.write(
            f"error: unexpected {type(error).__name__}: {error}\n  run it with --debug for the traceback\n"
        )
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
    else:
        check.check_files(document, options.root)
    return document.spec()


def open_build(options: Options, goal: str, *, branch_allowed: bool = False) -> Build:
    """The build of the options' spec."""
    spec = load(options, branch_allowed=branch_allowed)
    work = Workspace(options.root, spec.name, spec.env)
    progress = Terminal()
    return Build(
        spec,
        work,
        goal,
        lambda: connections(options.root, spec, progress),
        work.sandbox_hub_cache if spec.sandbox else default_cache(os.environ),
        progress,
        locked=options.locked,
        stream=options.stream,
    )


def connections(root: Path, spec: Spec, progress: Progress) -> Connections:
    """How to reach the services of the spec's environment; starts the sandbox if that is it."""
    if not spec.sandbox:
        return Connections(AwsConnection(spec.aws.region, spec.aws.profile))
    if sandbox.status(root) is None:
        progress.note("sandbox: starting a Hub and AWS on this machine")
    box = sandbox.ensure(root)
    aws = AwsConnection(spec.aws.region, None, box.aws_url, box.access_key, box.secret_key)
    return Connections(aws, box.hub_url, box.hf_token)


def result(options: Options, text: str, document: dict[str, Any]) -> None:
    """Print what came of a task: text for people, or the document with `--json`."""
    sys.stdout.write(f"{json.dumps(document, indent=1) if options.json else text}\n")


def agreed(options: Options, what: str) -> None:
    """Ask before something is removed.

    Raises:
        UserError: the answer was no, or nobody is there to ask.
    """
    if options.yes:
        return
    if not sys.stdin.isatty():
        raise UserError("nobody is there to ask", fix="repeat it with --yes")
    sys.stderr.write(f"{what}? [y/N] ")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UserError("nothing was removed")
