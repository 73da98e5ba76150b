"""What the tasks call: options in, an exit code out. Results go to stdout, everything else to stderr."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagepack import __version__, files
from sagepack.cli import interrupts
from sagepack.cli.interrupts import Interrupted
from sagepack.cli.output import Terminal, echo, guarded_streams, write_json, write_out
from sagepack.decoding import MalformedError, convert
from sagepack.engine.context import BuildContext
from sagepack.engine.records import Record, Records
from sagepack.engine.workspace import Workspace
from sagepack.errors import Diagnostic, SagepackError, UserError
from sagepack.hub.cache import default_cache
from sagepack.spec import loader

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from sagepack.cli.options import Options
    from sagepack.spec.model import Spec


def run_command(body: Callable[[], int], options: Options) -> int:
    """Run a task; every failure becomes a message on stderr and an exit code, and with `--json` a document on stdout."""
    try:
        with interrupts.raised(), guarded_streams():
            return _judged(body, options)
    except KeyboardInterrupt as error:
        interrupts.told()
        ended = error if isinstance(error, Interrupted) else Interrupted()
        echo(ended.line)
        _print_error(options, {"type": "Interrupted", "exit_code": ended.exit_code, "message": ended.message})
        return ended.exit_code


def _judged(body: Callable[[], int], options: Options) -> int:
    try:
        return body()
    except Exception as error:  # noqa: BLE001 - no traceback reaches a user without --debug
        if options.debug:
            traceback.print_exc()
        failure = error if isinstance(error, SagepackError) else _as_failure(error)
        first, *rest = failure.lines()
        for line in (f"error: {first}", *rest):
            echo(line)
        _print_error(options, failure.to_json())
        return failure.exit_code


def uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Say what invoke itself fails at, such as a flag of its own with a wrong value; Python then exits with 1."""
    if "--debug" in sys.argv:
        sys.__excepthook__(kind, error, trace)
    else:
        echo(f"error: {error or kind.__name__}")


def _as_failure(error: Exception) -> SagepackError:
    """What this machine, or a mistake of this program, did to a task."""
    if isinstance(error, OSError):
        return files.disk_error(error)
    if isinstance(error, MemoryError):
        return UserError("this machine has not enough memory", fix="end other programs and run the same command again")
    return SagepackError(
        f"unexpected {type(error).__name__}: {error}",
        fix="this is a mistake in sagepack, not in your input: report it with what --debug shows",
    )


def _print_error(options: Options, document: dict[str, Any]) -> None:
    if options.json:
        with contextlib.suppress(UserError):  # stdout may be what failed
            write_json({"error": document})


def load(options: Options, *, branch_allowed: bool = False) -> Spec:
    """Read the spec and judge it, unless the same document passed before; warnings are said either way.

    Args:
        options: the task's options.
        branch_allowed: accept a branch or tag as revision.

    Raises:
        UserError: the spec cannot be read, or is wrong.
    """
    return load_with_warnings(options, branch_allowed=branch_allowed)[0]


def load_with_warnings(
    options: Options, *, branch_allowed: bool = False, contents: bool = False
) -> tuple[Spec, list[Diagnostic]]:
    """`load`, for a caller that also gives the warnings to programs.

    With `contents` the spec is judged whatever passed before, and the files of its code and its sample are read as well.
    """
    config = Path(options.config)
    if not config.is_file() and (options.root / config).is_file():
        config = options.root / config
    document = loader.load(config, options.env, options.sets, options.root)
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
    warnings = _warnings(record) if record and record.inputs == inputs else None
    if contents or warnings is None:
        warnings = _late("spec.validate").check(
            document, options.root, branch_allowed=branch_allowed, contents=contents
        )
        if not contents:  # what files hold is nothing that these inputs could tell
            with contextlib.suppress(FileNotFoundError):  # `clean --all` takes the folder away: it is judged again then
                records.save(Record(key, 1, inputs, {"warnings": [asdict(warning) for warning in warnings]}))
    for warning in warnings:
        first, *rest = warning.lines()
        for line in (f"warning: {first}", *rest):
            echo(line)
    return document.spec(), warnings


def _warnings(record: Record) -> list[Diagnostic] | None:
    """What a spec that passed was warned of; None if the record does not say so."""
    try:
        return convert(record.output.get("warnings"), list[Diagnostic])
    except MalformedError:
        return None


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


def parse_int(text: str, flag: str, most: int) -> int:
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


def open_build(options: Options, goal: str, *, branch_allowed: bool = False) -> BuildContext:
    """The build of the options' spec."""
    spec = load(options, branch_allowed=branch_allowed)
    work = Workspace(options.root, spec.name, spec.env)
    progress = Terminal()
    return BuildContext(
        spec,
        work,
        goal,
        lambda: _late("cli.connect").connections(options.root, spec, progress),
        work.sandbox_hub_cache if spec.sandbox else default_cache(os.environ),
        progress,
        locked=options.locked,
        stream=options.stream,
        connections=parse_int(options.connections, "--connections", 64),
    )


def result(options: Options, text: str | list[str], document: dict[str, Any]) -> None:
    """Print what came of a task: a line or lines for people, or the document with `--json`."""
    if options.json:
        write_json(document)
    else:
        write_out([text] if isinstance(text, str) else text)


def confirm(options: Options, what: str) -> None:
    """Ask before something is removed.

    Raises:
        UserError: the answer was no, or nobody is there to ask.
    """
    if options.yes:
        return
    if sys.stdin is None or not sys.stdin.isatty():
        raise UserError(f"nobody is there to ask: {what}?", fix="repeat it with --yes")
    echo(f"{what}? [y/N] ", end="")
    answer = ""
    with contextlib.suppress(UnicodeDecodeError):  # whatever was typed, it was no yes
        answer = sys.stdin.readline()
    if answer.strip().lower() not in ("y", "yes"):
        raise UserError("nothing was removed")
