"""The names of the alarms that a spec declares."""

from __future__ import annotations

from sagepack.spec.model import ALARM_KEYS

NAME_PREFIX = "sagepack/"
"""What the names of these alarms begin with; so nobody's own alarm is taken for one of them."""


def alarm_name(endpoint_name: str, key: str) -> str:
    """The name of the alarm that a key of `endpoint.alarms` declares."""
    return f"{NAME_PREFIX}{endpoint_name}/{key.replace('_', '-')}"


def alarm_names(endpoint_name: str) -> list[str]:
    """The names of all alarms that may be declared."""
    return [alarm_name(endpoint_name, key) for key in ALARM_KEYS]


def key_of(alarm: str) -> str | None:
    """The key of the spec that declares an alarm; None for an alarm of another name."""
    key = alarm.rpartition("/")[2].replace("-", "_")
    return f"endpoint.alarms.{key}" if alarm.startswith(NAME_PREFIX) and key in ALARM_KEYS else None
