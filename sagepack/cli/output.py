"""What is printed: results on stdout, everything else on stderr.

What is printed for people is given line by line. Within a line every control, bidirectional or zero-width character is
shown escaped, a line end as well, so that text of a server or a file can neither steer the terminal nor pass for a line of
this program.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TextIO

from sagepack.errors import UserError
from sagepack.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


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
        give_up_stdout()
    except OSError as error:
        give_up_stdout()
        raise UserError(f"the result cannot be printed: {error.strerror}", where="stdout") from error


def give_up_stdout() -> None:
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


def ask(what: str, proposal: str = "") -> str:
    """Ask for a text on a terminal; an empty answer takes the proposal.

    Raises:
        UserError: there was no answer.
    """
    echo(f"{what} [{proposal}]: " if proposal else f"{what}: ", end="")
    answer = ""
    with suppress(UnicodeDecodeError):
        answer = sys.stdin.readline()
    if not answer.strip() and not (answer and proposal):
        raise UserError(f"no {what.partition(',')[0]} was given, and nothing was written")
    return answer.strip() or proposal


def confirm(what: str, *, yes: bool) -> None:
    """Ask before something is changed, unless `yes` was given.

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
        raise UserError("nothing was changed")
