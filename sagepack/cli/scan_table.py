"""What the scan found, for people: a line for each file that was looked at, findings below it, and a summary in a line."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from sagepack.cli.layout import Span, cells, padded, shortened, wrapped
from sagepack.text import counted, format_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagepack.api.results import ScanFinding, Scanned, ScannedFile
    from sagepack.cli.layout import Block, Line, Screen

_LISTED = 40  # files without findings that are named
_LONGEST = 60  # characters of a path
# Glyph, word and look of a verdict.
_OK, _ALLOWED = ("ok", "ok", "green"), ("run", "allowed", "yellow")
_REFUSED, _REPORTED = ("bad", "refused", "bold red"), ("run", "warning", "yellow")
_WORD = 8


def blocks(result: Scanned) -> list[Block]:
    """The whole of a scan."""
    looked_at = [file for file in result.files if file.looked_at or file.findings]
    clean = [file for file in looked_at if not file.findings]
    shown = [file for file in looked_at if file.findings or file in clean[:_LISTED]]
    more = (
        [f"and {counted(len(clean) - _LISTED, 'file')} more, in which nothing was found"]
        if len(clean) > _LISTED
        else []
    )
    return [partial(_table, shown, result.mode), *more, "", partial(_summary, result)]


def _table(files: Sequence[ScannedFile], mode: str, screen: Screen) -> list[Line]:
    width = min(_LONGEST, max((cells(file.path) for file in files), default=0), max(12, screen.width - 30))
    return [line for file in files for line in _file(file, mode, width, screen)]


def _file(file: ScannedFile, mode: str, width: int, screen: Screen) -> list[Line]:
    refused = any(finding.refused for finding in file.findings)
    stays = _REFUSED if mode == "strict" else _REPORTED
    glyph, word, look = stays if refused else _ALLOWED if file.findings else _OK
    head = Span(f"{screen.glyph(glyph)} ".lstrip() + f"{word:<{_WORD}}", look)
    lines: list[Line] = [
        (
            head,
            Span(f"{padded(shortened(file.path, width, screen.ellipsis), width)}  "),
            Span(format_bytes(file.size), "dim"),
        )
    ]
    for finding in file.findings:
        lines += _finding(finding, screen)
    return lines


def _finding(finding: ScanFinding, screen: Screen) -> list[Line]:
    lines: list[Line] = [(Span(f"    {line}"),) for line in wrapped(finding.message, screen.width - 4, divide=False)]
    if finding.refused:
        lines += [
            (Span(f"    {line}", "cyan"),) for line in wrapped(f"-> {finding.fix}", screen.width - 4, divide=False)
        ]
    return lines


def _summary(result: Scanned, screen: Screen) -> list[Line]:
    looked_at = sum(file.looked_at for file in result.files)
    refused = sum(finding.refused for _, finding in result.findings)
    allowed = len(result.findings) - refused
    parts = [
        f"{counted(looked_at, 'file')} of {len(result.files)} judged by content, {format_bytes(result.bytes_read)} read"
    ]
    parts += [f"{refused} {'refused' if result.mode == 'strict' else 'reported'}"] if refused else []
    parts += [f"{allowed} allowed"] if allowed else []
    parts += [] if refused or allowed else ["nothing found"]
    if verdicts := Counter(file.hub_scan for file in result.files if file.hub_scan):
        parts.append(f"the Hub's own scan: {', '.join(f'{count} {name}' for name, count in sorted(verdicts.items()))}")
    parts += [] if result.mode == "strict" else [f"trust.scan is {result.mode}, so nothing is refused"]
    parts += [] if result.locked else ["no lock yet: the files are those that `lock` would take"]
    look = "bold red" if result.exit_code else "bold"
    return [(Span(line, look),) for line in wrapped("; ".join(parts), screen.width, divide=False)]
