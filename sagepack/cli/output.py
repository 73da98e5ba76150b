"""What is printed: results on stdout, everything else on stderr.

What is printed for people is given line by line. Within a line every control, bidirectional or zero-width character is
shown escaped, a line end as well, so that text of a server or a file can neither steer the terminal nor pass for a line of
this program.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TextIO

from sagepack.errors import UserError
from sagepack.text import format_bytes, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sagepack.cli.options import Options
    from sagepack.engine.plan import Action


def table(actions: Sequence[Action]) -> list[str]:
    """The plan for people, as lines: step, run or skip, bytes, why."""
    width = max(40, shutil.get_terminal_size((120, 24)).columns - 36)
    lines = [f"{'STEP':<10}{'':<6}{'FETCH':>10}{'SEND':>10}  WHY"]
    for action in actions:
        fetch = format_bytes(action.fetch) if action.fetch else "-"
        send = format_bytes(action.send) if action.send else "-"
        first, *rest = _wrapped(printable("; ".join(action.reasons)), width)
        lines.append(f"{action.step:<10}{'run' if action.run else 'skip':<6}{fetch:>10}{send:>10}  {first}")
        lines.extend(" " * 38 + line for line in rest)
    return lines


def contents_table(contents: Sequence[dict[str, Any]]) -> list[str]:
    """Where each content comes from when it is published, as lines."""
    lines = [f"{'COPIED':>10}{'SENT':>10}{'FETCHED':>10}{'READ':>10}  CONTENT"]
    sources: dict[tuple[str, str], int] = {}
    for content in contents:
        columns = "".join(
            f"{format_bytes(content[key]) if content[key] else '-':>10}"
            for key in ("copied", "sent", "fetched", "read")
        )
        number = ""
        if content["source"]:
            number = f", copied from [{sources.setdefault((content['source'], content['binding']), len(sources) + 1)}]"
        lines.append(f"{columns}  {content['path']} ({format_bytes(content['size'])}){number}")
    lines += [f"[{number}] {source}: {binding}" for (source, binding), number in sources.items()]
    return lines


def _wrapped(text: str, width: int) -> list[str]:
    lines = [""]
    for word in text.split(" "):
        if lines[-1] and len(lines[-1]) + 1 + len(word) > width:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def echo(line: str, end: str = "\n") -> None:
    """Print one line to stderr. That nobody reads it any more (`2>&1 | head`, `2>&-`) ends no work."""
    with suppress(OSError, ValueError, AttributeError):
        sys.stderr.write(f"{printable(line)}{end}")
        sys.stderr.flush()


def write_out(lines: Iterable[str]) -> None:
    """Print a result for people to stdout.

    Raises:
        UserError: as for `write_json`.
    """
    _write_out("".join(f"{printable(line)}\n" for line in lines))


def write_json(document: Any) -> None:
    """Print a result for programs to stdout: exact, since JSON in ASCII escapes whatever a terminal would obey.

    Raises:
        UserError: stdout cannot take it, such as a file on a full disk.
    """
    _write_out(json.dumps(document, indent=1) + "\n")


def _write_out(text: str) -> None:
    """Write to stdout. A reader that has seen enough (`| head -1`) or a closed stdout are no failures."""
    if sys.stdout is None:  # closed by the caller
        return
    try:
        coding = sys.stdout.encoding or "utf-8"
        sys.stdout.write(text.encode(coding, "backslashreplace").decode(coding))
        sys.stdout.flush()
    except BrokenPipeError:
        _give_up_stdout()
    except OSError as error:
        _give_up_stdout()
        raise UserError(f"the result cannot be printed: {error.strerror}", where="stdout") from error


def _give_up_stdout() -> None:
    """Let what is left in the buffer go nowhere: Python flushes it when it ends."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


class _Guarded:
    """A text stream on which the libraries' own words (logs and warnings quote servers, too) cannot steer a terminal."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Write `text` with all but its line ends made printable."""
        self.stream.write("\n".join(map(printable, text.split("\n"))))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


@contextmanager
def guarded_streams() -> Iterator[None]:
    """Let nothing reach stdout and stderr that a terminal would obey or hide, whoever prints it."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (stream and _Guarded(stream) for stream in before)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def result(options: Options, text: str | list[str], document: dict[str, Any]) -> None:
    """Print what came of a task: a line or lines for people, or the document with `--json`."""
    if options.json:
        write_json(document)
    else:
        write_out([text] if isinstance(text, str) else text)


def confirm(what: str, *, yes: bool) -> None:
    """Ask before something is removed, unless `yes` was given.

    Raises:
        UserError: the answer was no, or stdin is not a terminal.
    """
    if yes:
        return
    if sys.stdin is None or not sys.stdin.isatty():
        raise UserError(f"cannot ask for confirmation to {what}: stdin is not a terminal", fix="repeat it with --yes")
    echo(f"{what}? [y/N] ", end="")
    answer = ""
    with suppress(UnicodeDecodeError):  # whatever was typed, it was no yes
        answer = sys.stdin.readline()
    if answer.strip().lower() not in ("y", "yes"):
        raise UserError("nothing was removed")
