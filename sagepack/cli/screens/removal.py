"""What people read of what is removed, and of what stays."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from sagepack.api import results
from sagepack.cli.output import as_called
from sagepack.cli.screens.parts import done_line, itemized, lines
from sagepack.text import counted, format_bytes, format_usd

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagepack.cli.layout import Block


_NO_ENDPOINT = "nothing to do: endpoint {} and its parts do not exist"


@lines.register(results.ToDestroy)
def _to_destroy(result: results.ToDestroy) -> list[Block]:
    shown = _listed("would remove", [f"{each.kind} {each.name}" for each in result.resources])
    nothing = [done_line(_NO_ENDPOINT.format(result.endpoint))] if not shown else []
    return [*nothing, *shown, *_staying(result.kept, result.left, result.notes)]


@lines.register(results.Destroyed)
def _destroyed(result: results.Destroyed) -> list[Block]:
    removed = counted(len(result.removed), "resource")
    head = done_line(f"removed {removed}" if result.removed else _NO_ENDPOINT.format(result.endpoint))
    shown = [head, *_staying(result.kept, result.left, result.notes)]
    if result.left and result.cost_per_month:
        shown.append(partial(itemized, f"what stays costs about {format_usd(result.cost_per_month)} a month"))
    return shown


def _staying(kept: Sequence[results.KeptResource], left: Sequence[results.Left], notes: Sequence[str]) -> list[Block]:
    """What a removal of an endpoint leaves."""
    texts = [f"{each.kind} {each.name}: {each.reason}" for each in kept]
    for each in left:
        size = f", {format_bytes(each.size)}{_monthly(each.cost_per_month)}" if each.size is not None else ""
        texts.append(f"{each.kind} {each.name}{size}: {each.remove}")
    return [*_listed("stays", [as_called(text) for text in texts]), *(partial(itemized, note) for note in notes)]


@lines.register(results.Cleaned)
def _cleaned(result: results.Cleaned) -> list[Block]:
    return [done_line(f"removed {', '.join(result.removed)}" if result.removed else "nothing to remove")]


@lines.register(results.Garbage)
def _garbage(result: results.Garbage) -> list[Block]:
    shown = [*_removal("would remove", result.removable), *_kept("stays", result.kept)]
    summary = _amount(result.removable, result.size, result.cost_per_month)
    if summary:
        shown.append(partial(itemized, f"would remove {summary}"))
    elif not result.unknown:
        shown.append(done_line(_NO_GARBAGE))
    return [*shown, *_unseen(result.unknown, result.notes)]


@lines.register(results.Collected)
def _collected(result: results.Collected) -> list[Block]:
    shown = [*_removal("removed", result.removed), *_kept("kept after all", result.spared)]
    summary = _amount(result.removed, result.size, result.cost_per_month)
    if summary or not result.unknown:
        shown.append(done_line(f"removed {summary}" if summary else _NO_GARBAGE))
    if result.versions_stay:
        text = "the bucket keeps earlier versions of what was deleted, which cost as before: a lifecycle rule with NoncurrentVersionExpiration removes them"
        shown.append(partial(itemized, text))
    return [*shown, *_unseen(result.unknown, result.notes)]


_NO_GARBAGE = "nothing to do: there is nothing old enough that nobody needs"


def _removal(head: str, found: Sequence[results.Removable]) -> list[Block]:
    """What is removed, and why."""
    texts = []
    for each in found:
        what = f"{counted(each.count, 'object')} of {each.kind}" if each.count > 1 else each.kind
        size = f", {format_bytes(each.size)}{_monthly(each.cost_per_month)}" if each.size else ""
        texts.append(f"{what} {each.name}{size}: {each.reason}")
    return _listed(head, texts)


def _kept(head: str, kept: Sequence[results.KeptPackage]) -> list[Block]:
    return _listed(head, [f"package {each.location}: {each.reason}" for each in kept])


def _listed(head: str, texts: Sequence[str]) -> list[Block]:
    return [head, *(partial(itemized, text, bullet="- ") for text in texts)] if texts else []


def _amount(found: Sequence[results.Removable], size: int, cost: float | None) -> str:
    """How much it is; empty if it is nothing."""
    return (
        f"{counted(sum(each.count for each in found), 'item')}, {format_bytes(size)}{_monthly(cost)}" if found else ""
    )


def _monthly(cost: float | None) -> str:
    return "" if cost is None else f", {format_usd(cost)} a month"


def _unseen(unknown: Sequence[str], notes: Sequence[str]) -> list[Block]:
    """What is not known; without it nothing is removed that it could be about."""
    texts = [
        f"packages, models and configurations stay, since it is not known who needs them: {text}" for text in unknown
    ]
    return [partial(itemized, text) for text in (*texts, *notes)]


def upload_line(upload: results.Upload) -> str:
    """An unfinished upload, as one line."""
    return f"{upload.location}, begun {upload.initiated or 'at an unknown time'}"
