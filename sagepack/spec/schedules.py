"""When a scheduled action of Application Auto Scaling runs: `cron(...)`, `at(...)` and `rate(...)`. Pure.

Source: the user guide of Application Auto Scaling, "Scheduled scaling", and its API reference, PutScheduledAction. A cron
expression has six fields, the first of which is the minute, and SUN is day 1 of the week. What AWS does with a time that a
change to or from daylight saving time skips or repeats could not be observed: here a skipped time is an hour later, and a
repeated one is the first.
"""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta, timezone
from functools import cache, partial
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from sagepack.decoding import Value

if TYPE_CHECKING:
    from collections.abc import Callable

UTC = "UTC"
FORMS = "cron(minute hour day-of-month month day-of-week year), at(2026-01-31T08:00:00) or rate(1 day)"
_CRON, _AT, _RATE = re.compile(r"cron\((.*)\)"), re.compile(r"at\((.*)\)"), re.compile(r"rate\(([0-9]+) ([a-z]+)\)")
_UNITS = {"minute": 1, "hour": 60, "day": 1440}  # minutes
_MONTHS = dict(
    zip(("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"), range(1, 13), strict=True)
)
_DAYS = dict(zip(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"), range(1, 8), strict=True))
_FIELDS: tuple[tuple[str, int, int, dict[str, int]], ...] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day-of-month", 1, 31, {}),
    ("month", 1, 12, _MONTHS),
    ("day-of-week", 1, 7, _DAYS),
    ("year", 1970, 2199, {}),
)
_DAY_OF_MONTH, _DAY_OF_WEEK = 2, 4
# The leap day is up to eight years away (1896 to 1904, 2096 to 2104).
_LONGEST_GAP = 9 * 366  # days


class ScheduleError(ValueError):
    """An expression that Application Auto Scaling would refuse; the text says why."""


class Cron(Value, frozen=True):
    """A cron expression.

    Attributes:
        minutes, hours, months, years: the values at which it runs.
        runs_on: whether it runs on a day of these months and years.
    """

    minutes: frozenset[int]
    hours: frozenset[int]
    months: frozenset[int]
    years: frozenset[int]
    runs_on: Callable[[date], bool]

    def next_after(self, moment: datetime, zone: ZoneInfo) -> datetime | None:
        """The first time after `moment`; None if there is none."""
        day = moment.astimezone(zone).date()
        for _ in range(_LONGEST_GAP):
            if day.year in self.years and day.month in self.months and self.runs_on(day):
                for hour in sorted(self.hours):
                    for minute in sorted(self.minutes):
                        found = _in_utc(datetime.combine(day, time(hour, minute)), zone)
                        if found > moment:
                            return found
            if day.year > max(self.years):
                return None
            day = _following(day, self.years)
        return None


class At(Value, frozen=True):
    """An expression for one time, in the time zone of the action."""

    when: datetime

    def next_after(self, moment: datetime, zone: ZoneInfo) -> datetime | None:
        """That time, if it is after `moment`."""
        found = _in_utc(self.when, zone)
        return found if found > moment else None


class Rate(Value, frozen=True):
    """An expression for a regular interval."""

    interval: timedelta

    def next_after(self, moment: datetime, since: datetime) -> datetime:
        """The first time after `moment` of an action that exists since `since`."""
        passed = max(timedelta(0), moment - since)
        return since + self.interval * (passed // self.interval + 1)


@cache
def parse(expression: str) -> Cron | At | Rate:
    """What an expression says.

    Raises:
        ScheduleError: Application Auto Scaling would refuse it.
    """
    if match := _CRON.fullmatch(expression):
        return _cron(match[1])
    if match := _AT.fullmatch(expression):
        return _at(match[1])
    if match := _RATE.fullmatch(expression):
        return _rate(int(match[1]), match[2])
    raise ScheduleError(f"it must be {FORMS}")


def next_after(expression: str, zone: str, moment: datetime, since: datetime) -> datetime | None:
    """The first time after `moment` at which an action runs, in UTC; None if there is none.

    Args:
        expression: of the action.
        zone: its time zone.
        moment: a time with a time zone.
        since: since when the action exists, from which a rate counts.

    Raises:
        ScheduleError: the expression or the time zone is not known.
    """
    schedule = parse(expression)
    if isinstance(schedule, Rate):
        return schedule.next_after(moment, since)
    try:
        return schedule.next_after(moment, ZoneInfo(zone))
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ScheduleError(f"{zone!r} is no time zone") from error


def is_over(expression: str, zone: str, now: datetime) -> bool:
    """Whether an action never runs any more; False for one that is not understood."""
    try:
        return next_after(expression, zone, now, now) is None
    except ScheduleError:
        return False


def time_zones() -> frozenset[str]:
    """The names of the time zones; empty on a machine that does not have them."""
    return frozenset(available_timezones()) - {"Factory", "localtime"}


def _in_utc(local: datetime, zone: ZoneInfo) -> datetime:
    return local.replace(tzinfo=zone).astimezone(timezone.utc)


def _following(day: date, years: frozenset[int]) -> date:
    """The next day, or the first one of the years if they are still to come."""
    first = date(min(years), 1, 1)
    return max(day + timedelta(days=1), first)


def _rate(count: int, unit: str) -> Rate:
    singular = unit.removesuffix("s")
    if singular not in _UNITS:
        raise ScheduleError(f"a rate is in minutes, hours or days, not {unit!r}")
    if count < 1:
        raise ScheduleError("a rate is at least 1")
    if (unit == singular) != (count == 1):
        raise ScheduleError(f"write rate({count} {singular}{'' if count == 1 else 's'})")
    try:
        return Rate(timedelta(minutes=count * _UNITS[singular]))
    except OverflowError:
        raise ScheduleError("the rate is too long") from None


def _at(text: str) -> At:
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", text):
        raise ScheduleError(f"{text!r} is no time: write at(2026-01-31T08:00:00); its time zone is a key of its own")
    try:
        return At(datetime.fromisoformat(text))
    except ValueError as error:
        raise ScheduleError(f"{text!r} is no time: {error}") from error


def _cron(text: str) -> Cron:
    words = text.split()
    if len(words) != len(_FIELDS):
        names = ", ".join(name for name, *_ in _FIELDS)
        raise ScheduleError(f"a cron expression has 6 fields ({names}), and this one has {len(words)}")
    if (words[_DAY_OF_MONTH] == "?") == (words[_DAY_OF_WEEK] == "?"):
        raise ScheduleError(
            "exactly one of day-of-month and day-of-week must be ?, since each says on which days it runs"
        )
    minutes, hours, months, years = (_numbers(words[place], place) for place in (0, 1, 3, 5))
    is_weekly = words[_DAY_OF_MONTH] == "?"
    runs_on = (_weekdays if is_weekly else _month_days)(words[_DAY_OF_WEEK if is_weekly else _DAY_OF_MONTH])
    return Cron(minutes, hours, months, years, runs_on)


def _month_days(text: str) -> Callable[[date], bool]:
    """The days of a month: numbers, the last one (`L`), the working day nearest to one (`15W`), the last working day (`LW`)."""
    tests: list[Callable[[date], bool]] = []
    plain = []
    for part in text.split(","):
        if part == "L":
            tests.append(lambda day: day.day == _length(day))
        elif part == "LW":
            tests.append(lambda day: day.day == _working_day(day, _length(day)))
        elif match := re.fullmatch(r"(\d+)W", part):
            tests.append(partial(_is_working_day, _number(match[1], _DAY_OF_MONTH)))
        else:
            plain.append(part)
    numbers = _numbers(",".join(plain), _DAY_OF_MONTH) if plain else frozenset[int]()
    return lambda day: day.day in numbers or any(test(day) for test in tests)


def _weekdays(text: str) -> Callable[[date], bool]:
    """The days of a week: numbers or names, the last such day of a month (`6L`), the n-th one (`MON#2`)."""
    tests: list[Callable[[date], bool]] = []
    plain = []
    for part in text.split(","):
        if match := re.fullmatch(r"(\w+)L", part):
            tests.append(partial(_is_last, _number(match[1], _DAY_OF_WEEK)))
        elif match := re.fullmatch(r"(\w+)#([1-5])", part):
            tests.append(partial(_is_nth, _number(match[1], _DAY_OF_WEEK), int(match[2])))
        else:
            plain.append("7" if part == "L" else part)
    numbers = _numbers(",".join(plain), _DAY_OF_WEEK) if plain else frozenset[int]()
    return lambda day: _weekday(day) in numbers or any(test(day) for test in tests)


def _is_working_day(wanted: int, day: date) -> bool:
    return wanted <= _length(day) and day.day == _working_day(day, wanted)


def _is_last(weekday: int, day: date) -> bool:
    return _weekday(day) == weekday and day.day + 7 > _length(day)


def _is_nth(weekday: int, week: int, day: date) -> bool:
    return _weekday(day) == weekday and (day.day + 6) // 7 == week


def _weekday(day: date) -> int:
    """1 for Sunday to 7 for Saturday."""
    return day.isoweekday() % 7 + 1


def _length(day: date) -> int:
    """Days of the month that a day is in."""
    return ((day.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)).day


def _working_day(day: date, wanted: int) -> int:
    """The day from Monday to Friday that is nearest to a day of the same month."""
    weekday = day.replace(day=wanted).isoweekday()
    if weekday == 6:
        return wanted - 1 if wanted > 1 else 3
    if weekday == 7:
        return wanted + 1 if wanted < _length(day) else wanted - 2
    return wanted


def _numbers(text: str, place: int) -> frozenset[int]:
    """The values of a field: `*`, numbers and names, ranges, and steps."""
    _, low, high, _ = _FIELDS[place]
    found: set[int] = set()
    for part in text.split(","):
        span, slash, step_text = part.partition("/")
        step = _step(step_text, place) if slash else 1
        first, dash, last = span.partition("-")
        if span == "*":
            begin, end = low, high
        elif dash:
            begin, end = _number(first, place), _number(last, place)
        else:
            begin = _number(span, place)
            end = high if slash else begin
        if begin <= end:
            found |= set(range(begin, end + 1, step))
        else:  # such as FRI-MON
            around = [*range(begin, high + 1), *range(low, end + 1)]
            found |= set(around[::step])
    return frozenset(found)


def _number(text: str, place: int) -> int:
    name, low, high, names = _FIELDS[place]
    if text.upper() in names:
        return names[text.upper()]
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and low <= int(text) <= high):
        allowed = f"{low} to {high}" + (f" or {' '.join(names)}" if names else "")
        raise ScheduleError(f"the {name} {text!r} is not one of {allowed}")
    return int(text)


def _step(text: str, place: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and int(text) > 0):
        raise ScheduleError(f"the step {text!r} of the {_FIELDS[place][0]} is no whole number above 0")
    return int(text)
