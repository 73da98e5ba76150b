from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from sagepack.spec import schedules
from sagepack.spec.schedules import ScheduleError, is_over, next_after, parse


def following(expression: str, zone: str = "UTC", after: str = "2026-01-01T00:00:00", count: int = 3) -> list[str]:
    """The next times, in UTC."""
    moment = datetime.fromisoformat(after).replace(tzinfo=timezone.utc)
    found = []
    for _ in range(count):
        moment = next_after(expression, zone, moment, moment) or pytest.fail("there is none")
        found.append(f"{moment:%Y-%m-%d %H:%M}")
    return found


@pytest.mark.parametrize(
    ("expression", "times"),
    [
        # 2026-01-01 is a Thursday.
        ("cron(0 8 ? * MON-FRI *)", ["2026-01-01 08:00", "2026-01-02 08:00", "2026-01-05 08:00"]),
        ("cron(0 8 ? * 2-6 *)", ["2026-01-01 08:00", "2026-01-02 08:00", "2026-01-05 08:00"]),
        ("cron(30 6,18 * * ? *)", ["2026-01-01 06:30", "2026-01-01 18:30", "2026-01-02 06:30"]),
        ("cron(0/20 0 1 * ? *)", ["2026-01-01 00:20", "2026-01-01 00:40", "2026-02-01 00:00"]),
        ("cron(*/30 12 1 mar ? *)", ["2026-03-01 12:00", "2026-03-01 12:30", "2027-03-01 12:00"]),
        ("cron(0 0 L * ? *)", ["2026-01-31 00:00", "2026-02-28 00:00", "2026-03-31 00:00"]),
        ("cron(0 0 LW * ? *)", ["2026-01-30 00:00", "2026-02-27 00:00", "2026-03-31 00:00"]),
        ("cron(0 0 1W * ? *)", ["2026-02-02 00:00", "2026-03-02 00:00", "2026-04-01 00:00"]),
        ("cron(0 0 31W * ? *)", ["2026-01-30 00:00", "2026-03-31 00:00", "2026-05-29 00:00"]),
        ("cron(0 0 ? * MON#2 *)", ["2026-01-12 00:00", "2026-02-09 00:00", "2026-03-09 00:00"]),
        ("cron(0 0 ? * 6L *)", ["2026-01-30 00:00", "2026-02-27 00:00", "2026-03-27 00:00"]),
        ("cron(0 0 ? * L *)", ["2026-01-03 00:00", "2026-01-10 00:00", "2026-01-17 00:00"]),
        ("cron(0 0 ? * FRI-MON *)", ["2026-01-02 00:00", "2026-01-03 00:00", "2026-01-04 00:00"]),
        ("cron(0 0 29 2 ? *)", ["2028-02-29 00:00", "2032-02-29 00:00", "2036-02-29 00:00"]),
        ("cron(0 0 1 1 ? 2190-2199)", ["2190-01-01 00:00", "2191-01-01 00:00", "2192-01-01 00:00"]),
    ],
)
def test_a_cron_expression_runs_when_its_fields_say(expression: str, times: list[str]) -> None:
    assert following(expression) == times


def test_a_time_is_one_of_its_time_zone_in_summer_and_in_winter() -> None:
    daily = "cron(0 8 * * ? *)"
    assert following(daily, "Europe/Berlin", "2026-03-28T00:00:00", 2) == ["2026-03-28 07:00", "2026-03-29 06:00"]
    assert following("at(2026-07-01T08:00:00)", "Asia/Tokyo", count=1) == ["2026-06-30 23:00"]


def test_a_time_that_the_clocks_skip_is_later_and_one_that_they_repeat_is_the_first() -> None:
    early = "cron(30 2 * * ? *)"
    assert following(early, "Europe/Berlin", "2026-03-28T12:00:00", 2) == ["2026-03-29 01:30", "2026-03-30 00:30"]
    assert following(early, "Europe/Berlin", "2026-10-24T12:00:00", 2) == ["2026-10-25 00:30", "2026-10-26 01:30"]


def test_a_rate_counts_from_when_the_action_was_made() -> None:
    since = datetime(2026, 1, 1, 0, 7, tzinfo=timezone.utc)
    for minutes, expected in ((0, 30), (29, 30), (30, 60), (-90, 30)):
        found = next_after("rate(30 minutes)", "UTC", since + timedelta(minutes=minutes), since)
        assert found == since + timedelta(minutes=expected)
    assert parse("rate(1 day)") == schedules.Rate(timedelta(days=1))


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("0 8 * * *", "it must be cron(minute hour day-of-month month day-of-week year), at("),
        ("cron(0 8 * * *)", "a cron expression has 6 fields (minute, hour, day-of-month, month, day-of-week, year), and this one has 5"),
        ("cron(0 8 * * * *)", "exactly one of day-of-month and day-of-week must be ?"),
        ("cron(0 8 ? * ? *)", "exactly one of day-of-month and day-of-week must be ?"),
        ("cron(60 8 * * ? *)", "the minute '60' is not one of 0 to 59"),
        ("cron(0 24 * * ? *)", "the hour '24' is not one of 0 to 23"),
        ("cron(0 8 32 * ? *)", "the day-of-month '32' is not one of 1 to 31"),
        ("cron(0 8 0W * ? *)", "the day-of-month '0' is not one of 1 to 31"),
        ("cron(0 8 ? * 0 *)", "the day-of-week '0' is not one of 1 to 7 or SUN MON"),
        ("cron(0 8 ? * MO-FR *)", "the day-of-week 'MO' is not one of 1 to 7 or SUN MON"),
        ("cron(0 8 ? * MON#6 *)", "the day-of-week 'MON#6' is not one of"),
        ("cron(0 8 * 13 ? *)", "the month '13' is not one of 1 to 12 or JAN"),
        ("cron(0 8 * * ? 1969)", "the year '1969' is not one of 1970 to 2199"),
        ("cron(0/0 8 * * ? *)", "the step '0' of the minute is no whole number above 0"),
        ("cron(0, 8 * * ? *)", "the minute '' is not one of 0 to 59"),
        ("cron(? 8 * * ? *)", "the minute '?' is not one of"),
        ("at(2026-01-31 08:00)", "is no time: write at(2026-01-31T08:00:00)"),
        ("at(2026-02-30T08:00:00)", "'2026-02-30T08:00:00' is no time: day"),
        ("rate(2 weeks)", "a rate is in minutes, hours or days, not 'weeks'"),
        ("rate(1 days)", "write rate(1 day)"),
        ("rate(2 hour)", "write rate(2 hours)"),
        ("rate(0 days)", "a rate is at least 1"),
        ("rate(99999999999999 days)", "the rate is too long"),
        ("", "it must be cron("),
    ],
)  # fmt: skip
def test_an_expression_that_aws_would_refuse_is_told_with_its_mistake(expression: str, problem: str) -> None:
    with pytest.raises(ScheduleError) as caught:
        parse(expression)
    assert problem in str(caught.value)


@pytest.mark.parametrize("zone", ["Europe/Berln", "../etc/passwd", ""])
def test_a_time_zone_that_nobody_knows_is_refused(zone: str) -> None:
    with pytest.raises(ScheduleError, match="is no time zone"):
        following("cron(0 8 * * ? *)", zone)


def test_what_never_runs_any_more_is_over() -> None:
    now = datetime(2026, 1, 31, 8, tzinfo=timezone.utc)
    for expression, over in (
        ("at(2026-01-31T08:00:00)", True),
        ("at(2026-01-31T08:00:01)", False),
        ("cron(0 8 * * ? 2025)", True),
        ("cron(0 8 30 2 ? *)", True),
        ("cron(0 8 * * ? *)", False),
        ("rate(1 day)", False),
        ("nonsense", False),
    ):
        assert is_over(expression, "UTC", now) is over, expression
    assert not is_over("at(2026-01-31T08:00:00)", "America/New_York", now)


def test_the_time_zones_are_those_of_iana() -> None:
    assert {"UTC", "Europe/Berlin", "Etc/GMT+9", "Pacific/Tahiti"} <= schedules.time_zones()
