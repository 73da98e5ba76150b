"""What the tasks call: options in, an exit code out. Results go to stdout, everything else to stderr."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagepack import __version__, disk, specfile
from sagepack.build import Build
from sagepack.errors import SagepackError, UserError
from sagepack.fetch.cachelayout import default_cache
from sagepack.report import Terminal, say, write_out
from sagepack.store import Record, Records
from sagepack.workspace import Workspace

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagepack.options import Options
    from sagepack.spec import Spec

INTERRUPTED = 130


def guarded(body: Callable[[], int], options: Options) -> int:
    """Run a task; every failure becomes a message on stderr and an exit code, and with `--json` a document on stdout."""
    try:
        return body()
    except KeyboardInterrupt:
        say("interrupted; the same command continues")
        _print_error(options, {"type": "Interrupted", "exit_code": INTERRUPTED, "message": "interrupted"})
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - no traceback reaches a user without --debug
        if options.debug:
            traceback.print_exc()
        failure = error if isinstance(error, SagepackError) else _as_failure(error)
        say(f"error: {failure}")
        _print_error(options, failure.to_json())
        return failure.exit_code


def _as_failure(error: Exception) -> SagepackError:
    """What this machine, or a mistake of this program, did to a task."""
    if isinstance(error, OSError) and (failure := disk.explained(error)):
        return failure
    return SagepackError(f"unexpected {type(error).__name__}: {error}", fix="run it with --debug for the traceback")


def _print_error(options: Options, document: dict[str, Any]) -> None:
    if options.json:
        with contextlib.suppress(UserError):  # stdout may be what failed
            write_out(json.dumps({"error": document}, indent=1))


def load(options: Options, *, branch_allowed: bool = False, contents: bool = False) -> Spec:
    """Read the spec and judge it, unless the same document passed before.

    Args:
        options: the task's options.
        branch_allowed: accept a branch or tag as revision.
        contents: judge it whatever passed before, and the files of the code and the sample with it.

    Raises:
        UserError: the spec cannot be read, or is wrong.
    """
    config = Path(options.config)
    if not config.is_file() and (options.root / config).is_file():
        config = options.root / config
    document = specfile.load(config, options.env, options.sets, options.root)
    inputs = {
        "document": str(document.digest),
        "sagepack": __version__,
        "branch_allowed": branch_allowed,
        # The rules look at these folders too.
        "beside": [_names(options.root / path) for path in _beside(document.data)],
    }
    records = Records(options.root / "build" / "validated")
    key = document.digest.short
    record = records.load(key)
    if contents or record is None or record.inputs != inputs:
        for warning in _late("check").check(document, options.root, branch_allowed=branch_allowed, contents=contents):
            say(f"warning: {warning}")
        records.save(Record(key, 1, inputs, {}))
    return document.spec()


def _beside(data: dict[str, Any]) -> list[str]:
    code, sample = data.get("code"), data.get("sample")
    found = [
        code.get("path") if isinstance(code, dict) else None,
        sample.get("file") if isinstance(sample, dict) else None,
    ]
    return [path for path in found if isinstance(path, str)]


def _names(path: Path) -> list[str]:
    try:
        return sorted(ascii(entry.name) for entry in path.iterdir()) if path.is_dir() else [str(path.is_file())]
    except OSError:
        return []


def number(text: str, flag: str, most: int) -> int:
    """The whole number from 1 to `most` that a flag was given.

    Raises:
        UserError: it is something else.
    """
    if text.isascii() and text.isdigit() and len(text) < 20 and 1 <= int(text) <= most:
        return int(text)
    raise UserError(f"{text!r} is not a whole number from 1 to {most:,}", where=flag)


def _late(name: str) -> Any:
    """A module that only some runs need: those with nothing to do should not wait for its import."""
    return importlib.import_module(f"sagepack.{name}")


def open_build(options: Options, goal: str, *, branch_allowed: bool = False) -> Build:
    """The build of the options' spec."""
    spec = load(options, branch_allowed=branch_allowed)
    work = Workspace(options.root, spec.name, spec.env)
    progress = Terminal()
    return Build(
        spec,
        work,
        goal,
        lambda: _late("connect").connections(options.root, spec, progress),
        work.sandbox_hub_cache if spec.sandbox else default_cache(os.environ),
        progress,
        locked=options.locked,
        stream=options.stream,
        connections=number(options.connections, "--connections", 64),
    )


def result(options: Options, text: str, document: dict[str, Any]) -> None:
    """Print what came of a task: text for people, or the document with `--json`."""
    write_out(json.dumps(document, indent=1) if options.json else text)


def agreed(options: Options, what: str) -> None:
    """Ask before something is removed.

    Raises:
        UserError: the answer was no, or nobody is there to ask.
    """
    if options.yes:
        return
    if sys.stdin is None or not sys.stdin.isatty():
        raise UserError(f"nobody is there to ask: {what}?", fix="repeat it with --yes")
    say(f"{what}? [y/N] ", end="")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise UserError("nothing was removed")
