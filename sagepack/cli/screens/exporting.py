"""What people read of files that were written for others."""

from __future__ import annotations

import shlex
from functools import partial
from typing import TYPE_CHECKING

from sagepack.api import results
from sagepack.cli.layout import Block, Screen, Span, wrapped
from sagepack.cli.output import as_called, problem
from sagepack.cli.screens.parts import done_line, itemized, lines
from sagepack.text import format_bytes

if TYPE_CHECKING:
    from sagepack.cli.layout import Line


_DIFF_LOOKS = {"+": "green", "-": "red", "@": "dim"}


@lines.register(results.Reported)
def _reported(result: results.Reported) -> list[Block]:
    said = [f"error: {result.failure}"] if result.failure else []
    said += [f"not known: {line}" for line in result.unknown]
    shown = [partial(itemized, line, bullet="- ") for line in said]
    return [partial(itemized, result.headline), *shown, done_line(f"wrote {result.path}, {format_bytes(result.size)}")]


@lines.register(results.Exported)
def _exported(result: results.Exported) -> list[Block]:
    if result.folder is None:
        return [line for file in result.files for line in (file.text or "").splitlines()]
    if result.checked:
        return _compared(result)
    shown: list[Block] = [
        done_line(f"wrote {file.path}" if file.state == "written" else f"{file.path} is up to date")
        for file in result.files
    ]
    if result.published is False:
        shown.append(
            problem(
                "warning",
                ["the package is not in S3 yet, or not all of it", "  run `invoke upload` before you make this"],
            )
        )
    shown += ["", partial(itemized, f"To know (it is in {result.files[-1].path}, too):")]
    shown += [partial(itemized, as_called(each), bullet="- ") for each in result.limits]
    shown += ["", (Span("next:", "dim"),), (Span(f"  cd {shlex.quote(result.folder)}", "bold"),)]
    return [*shown, *(partial(_command, command) for command in result.next)]


def _command(command: str, screen: Screen) -> list[Line]:
    """A command of words without spaces, to be copied as it stands, however many lines it takes."""
    *first, last = wrapped(command, screen.width - 8, divide=False)
    lines = [*(f"{line} \\" for line in first), last]
    return [(Span(f"{'      ' if number else '  '}{line}", "bold"),) for number, line in enumerate(lines)]


def _compared(result: results.Exported) -> list[Block]:
    """What `export --check` found."""
    if result.is_current:
        return [done_line(f"{result.folder} is what the spec says")]
    said = {
        "changed": "is not what the spec says",
        "missing": "is missing",
        "other": "was made by an export of another format, spec or environment",
        "foreign": "was made by no export",
    }
    shown: list[Block] = []
    for file in result.files:
        if file.state in said:
            shown.append(partial(itemized, f"{file.path} {said[file.state]}"))
            shown += [(Span(line, _DIFF_LOOKS.get(line[:1], "")),) for line in file.diff]
    if any(file.state in {"other", "foreign"} for file in result.files):
        fix = "name another folder with --output, or move away what `invoke export` did not make: it overwrites nothing of others"
    else:
        fix = "the same command without --check writes it again"
    return [*shown, partial(itemized, as_called(fix))]
