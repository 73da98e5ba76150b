"""How two deployments differ, for people: the sides, then a list for each kind of difference, and a summary in a line."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from sagepack.cli.layout import Span, shortened, wrapped
from sagepack.deploy.change import NONE, named
from sagepack.text import counted, format_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sagepack.api.results import ComparedSide, Diff, FileDifference, ValueDifference
    from sagepack.cli.layout import Block, Line, Screen

_LISTED = 40  # files that are named
_LOOKS = {"+": "green", "-": "red", "~": "yellow"}


def blocks(result: Diff) -> list[Block]:
    """The whole of a comparison."""
    sides = [partial(_side, name, side) for name, side in (("from", result.before), ("to", result.after))]
    groups = [
        *_group("files", partial(_files, result.files), result.files),
        *_group("requirements", partial(_requirements, result.requirements), result.requirements),
        *_group("image", partial(_values, [each for each in (result.image,) if each]), result.image),
        *_group("licence", partial(_values, [each for each in (result.license,) if each]), result.license),
        *_group("settings", partial(_values, result.settings), result.settings),
    ]
    unknown = [partial(_unknown, text) for text in result.not_compared]
    text = "no difference in what could be compared" if unknown else "no difference"
    count = (Span(counted(result.count, "difference"), "bold") if result.count else Span(text, "green"),)
    return [*sides, *groups, *([""] if unknown else []), *unknown, "", count]


def _group(name: str, block: Block, found: object) -> list[Block]:
    return ["", (Span(name, "bold"),), block] if found else []


def _side(name: str, side: ComparedSide, screen: Screen) -> list[Line]:
    """What is compared: when, by whom and from which commit it was deployed."""
    what = {"live": "what serves", "tree": "the working tree"}.get(side.name, f"release {side.name}")
    parts = [what]
    if side.time:
        parts.append(f"deployed {side.time.replace('T', ' ').replace('Z', ' UTC')} by {side.by}")
    if side.commit:
        parts.append(
            f"commit {side.commit[:12]}{' and changes that were not committed' if side.clean is False else ''}"
        )
    first, *rest = wrapped(", ".join(parts), screen.width - 6, divide=False)
    return [(Span(f"{name:<6}", "dim"), Span(first)), *(f"{'':6}{line}" for line in rest)]


def _files(files: Sequence[FileDifference], screen: Screen) -> list[Line]:
    lines: list[Line] = []
    for file in files[:_LISTED]:
        sign = "+" if file.before is None else "-" if file.after is None else "~"
        sizes = [format_bytes(size) for size in (file.before, file.after) if size is not None]
        about = f" ({' -> '.join(sizes) if len(set(sizes)) > 1 else sizes[0]})"
        path = shortened(file.path, max(12, screen.width - 4 - len(about)), screen.ellipsis)
        lines.append((Span(f"  {sign} ", _LOOKS[sign]), Span(path), Span(about, "dim")))
    if len(files) > _LISTED:
        lines.append(f"    and {len(files) - _LISTED} more")
    return lines


def _requirements(found: Iterable[ValueDifference], screen: Screen) -> list[Line]:
    return _signed(((each, _pinned(each)) for each in found), screen)


def _pinned(each: ValueDifference) -> str:
    if NONE in (each.before, each.after):
        return f"{each.subject}=={each.after if each.before == NONE else each.before}"
    return f"{each.subject}=={each.before} -> {each.after}"


def _values(found: Iterable[ValueDifference], screen: Screen) -> list[Line]:
    return _signed(((each, named(each.subject, each.before, each.after)) for each in found), screen)


def _signed(found: Iterable[tuple[ValueDifference, str]], screen: Screen) -> list[Line]:
    lines: list[Line] = []
    for each, text in found:
        sign = "+" if each.before == NONE else "-" if each.after == NONE else "~"
        first, *rest = wrapped(text, screen.width - 4)
        lines += [(Span(f"  {sign} ", _LOOKS[sign]), Span(first)), *(f"    {line}" for line in rest)]
    return lines


def _unknown(text: str, screen: Screen) -> list[Line]:
    return list(wrapped(f"not compared: {text}", screen.width, divide=False))
