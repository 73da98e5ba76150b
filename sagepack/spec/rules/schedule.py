"""Rules about `endpoint.scaling.schedule`: its times, time zones and bounds."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from sagepack.errors import Diagnostic
from sagepack.spec import schedules
from sagepack.text import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagepack.errors import KeyPath
    from sagepack.spec.rules.view import SpecView

_SCALING = ("endpoint", "scaling")


def check(view: SpecView) -> Iterator[Diagnostic]:
    """Check each entry of the schedule, and that no two of them are for the same time."""
    seen: dict[tuple[str, str], int] = {}
    for number, entry in enumerate(view.maps(*_SCALING, "schedule")):
        path = (*_SCALING, "schedule", number)
        yield from _bounds(view, entry, path)
        at = entry.get("at")
        if not isinstance(at, str):
            continue
        zone = _text(entry, "timezone") or schedules.UTC
        first = seen.setdefault((at, zone), number)
        if first != number:
            message = f"{at} in {zone} is the time of entry {first}, too"
            yield Diagnostic((*path, "at"), message, "set both bounds in one entry")
        else:
            yield from _time(at, zone, path)


def _time(at: str, zone: str, path: KeyPath) -> Iterator[Diagnostic]:
    schedule = None
    try:
        schedule = schedules.parse(at)
    except schedules.ScheduleError as error:
        yield Diagnostic(
            (*path, "at"), f"{at!r}: {error}", "such as cron(0 8 ? * MON-FRI *), 8:00 from Monday to Friday"
        )
    if isinstance(schedule, schedules.Rate):
        if zone != schedules.UTC:
            yield Diagnostic((*path, "timezone"), "a rate has no time zone", "remove it, or write a cron expression")
        return
    known = schedules.time_zones()
    if known and zone not in known:
        # Application Auto Scaling takes "the canonical names of the IANA time zones supported by Joda-Time": nearly all of these.
        fix = did_you_mean(zone, known) or "write an IANA name, such as Europe/Berlin or UTC"
        yield Diagnostic((*path, "timezone"), f"{zone!r} is no time zone", fix)
    elif schedules.is_over(at, zone, datetime.now(timezone.utc)):
        yield Diagnostic((*path, "at"), f"{at} never comes again", "remove the entry", severity="warning")


def _bounds(view: SpecView, entry: dict[str, Any], path: KeyPath) -> Iterator[Diagnostic]:
    low, high = _number(entry, "min_capacity"), _number(entry, "max_capacity")
    if entry.get("min_capacity") is None and entry.get("max_capacity") is None:
        yield Diagnostic(path, "it changes no bound", "set min_capacity, max_capacity, or both")
    first_low, first_high = (view.number(*_SCALING, key) for key in ("min_capacity", "max_capacity"))
    for key, least, most, other in (
        ("min_capacity", low, high, "its max_capacity"),
        ("min_capacity", low, first_high if high is None else None, "scaling.max_capacity"),
        ("max_capacity", first_low if low is None else None, high, "scaling.min_capacity"),
    ):
        if least is not None and most is not None and least > most:
            shown, limit = (least, most) if key == "min_capacity" else (most, least)
            how = "more" if key == "min_capacity" else "less"
            yield Diagnostic((*path, key), f"{shown} is {how} than {other}, {limit}", "set both bounds in this entry")


def _text(entry: dict[str, Any], key: str) -> str | None:
    value = entry.get(key)
    return value if isinstance(value, str) else None


def _number(entry: dict[str, Any], key: str) -> int | None:
    value = entry.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
