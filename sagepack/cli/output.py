"""What is printed: results on stdout, everything else on stderr.

What is printed for people is given line by line. Within a line every control, bidirectional or zero-width character is
shown escaped, a line end as well, so that text of a server or a file can neither steer the terminal nor pass for a line of
this program. Colours are added after that.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TextIO

from msgspec.structs import replace

from sagepack.cli.layout import Screen, Span, cells, wrapped
from sagepack.errors import UserError
from sagepack.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from sagepack.cli.layout import Block, Line

_CLEAR = "\x1b[H\x1b[2J"  # to the first column of the first line, and erase all (ECMA-48: CUP, ED)
_QUOTED = re.compile(r"\| +")
_PROPOSED = re.compile(r"`(?:invoke|sagepack) (?P<task>[a-z][a-z.]*)?(?P<flags>[^`]*)`")


def echo(block: Block, end: str = "\n") -> None:
    """Print to stderr. That nobody reads it any more (`2>&1 | head`, `2>&-`) ends no work."""
    with suppress(OSError, ValueError, AttributeError):
        stream = unguarded(sys.stderr)
        screen = Screen.of(stream)
        stream.write("".join(f"{screen.painted(line)}{end}" for line in screen.lines([block])))
        stream.flush()


def problem(severity: str, lines: Sequence[str]) -> Block:
    """An error or a warning: what happened after the severity, then the details and what to do.

    A person gets lines between words; a log, which programs search, gets each line whole. A quoted line, which begins with
    `| `, keeps its spaces, and stays marked where it goes on.
    """
    look = "bold red" if severity == "error" else "bold yellow"
    first, *rest = map(as_called, lines)

    def block(screen: Screen) -> list[Line]:
        def fitting(text: str, indent: int) -> list[str]:
            room = screen.width - indent
            if not screen.is_terminal or cells(text) <= room:
                return [text]
            mark = quoted[0] if (quoted := _QUOTED.match(text)) else ""
            return [mark + line for line in wrapped(text.removeprefix(mark), room - len(mark), divide=False)]

        head, *more = fitting(first, len(severity) + 2)
        shown: list[Line] = [(Span(f"{severity}:", look), Span(f" {head}"))]
        shown += [" " * (len(severity) + 2) + line for line in more]
        for text in rest:
            indent = len(text) - len(text.lstrip(" "))
            shown += [" " * indent + line for line in fitting(text.lstrip(" "), indent)]
        return shown

    return block


def as_called(text: str, options: Sequence[str] = ()) -> str:
    """A text with the commands that it proposes for the program that was called; the other may be missing, but for `sagepack init`.

    Args:
        text: it names commands such as `invoke lock --update`, or `sagepack lock --update`.
        options: those of the command that failed, such as `--env prod`: without them another environment would be meant.
    """
    program = "sagepack" if sys.argv[0].rpartition("/")[2] == "sagepack" else "invoke"

    def proposed(match: re.Match[str]) -> str:
        task = match["task"] or ""
        if task == "init":
            return match.group()
        is_about_a_spec = task not in {"", "new"} and "." not in task
        given = shlex.join(options) if is_about_a_spec and "--env" not in match["flags"] else ""
        return f"`{' '.join(filter(None, (program, task, given, match['flags'].strip())))}`"

    return _PROPOSED.sub(proposed, text)


def write_out(blocks: Iterable[Block], *, detailed: bool = False, anew: bool = False) -> bool:
    """Print a result for people to stdout.

    Args:
        blocks: what it says.
        detailed: with the names of APIs.
        anew: in place of what a terminal shows; in a log after what is there.

    Returns:
        Whether anybody reads it: what comes after False goes nowhere.

    Raises:
        UserError: as for `write_json`.
    """
    screen = replace(Screen.of(sys.stdout), detailed=detailed)
    cleared = _CLEAR if anew and screen.is_terminal else ""
    return _write_out(cleared + "".join(f"{screen.painted(line)}\n" for line in screen.lines(blocks)))


def write_json(document: Any) -> None:
    """Print a result for programs to stdout: exact, since JSON in ASCII escapes whatever a terminal would obey.

    Raises:
        UserError: stdout cannot take it, such as a file on a full disk.
    """
    _write_out(json.dumps(document, indent=1) + "\n")


def _write_out(text: str) -> bool:
    """Write to stdout. A reader that has seen enough (`| head -1`) or a closed stdout are no failures, but False."""
    if sys.stdout is None:  # closed by the caller
        return False
    try:
        stream = unguarded(sys.stdout)
        coding = stream.encoding or "utf-8"
        stream.write(text.encode(coding, "backslashreplace").decode(coding))
        stream.flush()
    except BrokenPipeError:
        give_up_stdout()
        return False
    except OSError as error:
        give_up_stdout()
        raise UserError(f"the result cannot be printed: {error.strerror}", where="stdout") from error
    return True


def give_up_stdout() -> None:
    """Let what is left in the buffer go nowhere: Python flushes it when it ends."""
    with suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


class _Guarded:
    """A text stream on which the libraries' own words (logs and warnings quote servers, too) cannot steer a terminal.

    Attributes:
        stream: the stream.
    """

    def __init__(self, stream: TextIO, write: Callable[[str], Any] | None = None) -> None:
        self.stream = stream
        self._write = write or stream.write

    def write(self, text: str) -> int:
        """Write `text` with all but its line ends made printable."""
        self._write("\n".join(map(printable, text.split("\n"))))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def unguarded(stream: TextIO) -> TextIO:
    """The stream itself, for text that was made printable already."""
    return stream.stream if isinstance(stream, _Guarded) else stream


@contextmanager
def guarded_streams(write: Callable[[str], Any] | None = None) -> Iterator[None]:
    """Let nothing reach stdout and stderr that a terminal would obey or hide, whoever prints it.

    Args:
        write: how text for stderr gets there, printable as it is; by itself if left out.
    """
    before = sys.stdout, sys.stderr
    sys.stdout = sys.stdout and _Guarded(sys.stdout)
    sys.stderr = sys.stderr and _Guarded(sys.stderr, write)
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
