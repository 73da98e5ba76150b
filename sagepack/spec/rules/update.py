"""Rules about `endpoint.update`: what an update may be made of, and what rolls it back."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sagepack.errors import Diagnostic
from sagepack.spec.model import ALARM_KEYS, DEFAULT_WAIT
from sagepack.text import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagepack.spec.rules.view import SpecView

_UPDATE = ("endpoint", "update")
_BLUE_GREEN, _ROLLING = (*_UPDATE, "blue_green"), (*_UPDATE, "rolling")
# Key -> smallest and largest share of the instances, in percent (API reference, TrafficRoutingConfig, RollingUpdatePolicy).
_SHARES = {
    (*_BLUE_GREEN, "canary_size"): (1, 50),
    (*_BLUE_GREEN, "linear_step_size"): (10, 50),
    (*_ROLLING, "maximum_batch_size"): (5, 50),
}
_SIZES = {"canary": "canary_size", "linear": "linear_step_size"}
_LATE = 180  # seconds after which an alarm has seen what happened: metrics come once a minute, and later
_ALL_AT_ONCE = (
    "leave blue_green and rolling out, and name rollback_alarms: all requests move at once, and back if one goes off"
)


def check(view: SpecView) -> Iterator[Diagnostic]:
    """Check what in `endpoint.update` depends on more than one value."""
    if view.get(*_UPDATE) is None:
        return
    if view.get(*_BLUE_GREEN) is not None and view.get(*_ROLLING) is not None:
        message = "an update is either blue/green or rolling, and blue_green is there as well"
        yield Diagnostic(_ROLLING, message, "remove one of them (null removes it in an overlay)")
        return
    yield from _sizes(view)
    yield from _few_instances(view)
    yield from _timeout(view)
    yield from _rollback_alarms(view)
    yield from _too_short(view)


def _traffic(view: SpecView) -> str:
    return view.text(*_BLUE_GREEN, "traffic") or "all_at_once"


def _most(view: SpecView) -> float:
    """The most instances that the endpoint may have."""
    return view.number("endpoint", "scaling", "max_capacity") or view.number("endpoint", "initial_instance_count") or 1


def _sizes(view: SpecView) -> Iterator[Diagnostic]:
    traffic = _traffic(view)
    for kind, key in _SIZES.items():
        path = (*_BLUE_GREEN, key)
        if kind == traffic and view.get(*path) is None:
            yield Diagnostic(path, f"traffic: {kind} needs its size", f"set {key}: 50%")
        elif kind != traffic and view.get(*path) is not None:
            yield Diagnostic(path, f"it has no meaning with traffic: {traffic}", f"remove it, or set traffic: {kind}")
    for path, (least, most) in _SHARES.items():
        text = str(view.get(*path))
        if re.fullmatch(r"[0-9]+%", text) and not least <= int(text[:-1]) <= most:
            yield Diagnostic(path, f"{text} is out of range: {least}% to {most}% of the instances")
        elif re.fullmatch(r"-?[0-9]+", text) and int(text) < 1:
            yield Diagnostic(path, f"{text} is out of range: at least 1 instance")
        elif re.fullmatch(r"[0-9]+", text) and int(text) > max(_most(view) / 2, 1):
            message = f"{text} is more than half of the {_most(view)} instances that the endpoint may have"
            yield Diagnostic(path, message, "choose a smaller number, or a share such as 50%")


def _few_instances(view: SpecView) -> Iterator[Diagnostic]:
    rolling, traffic = view.get(*_ROLLING) is not None, _traffic(view)
    if not rolling and traffic == "all_at_once":
        return
    path = _ROLLING if rolling else (*_BLUE_GREEN, "traffic")
    kind = "a rolling update" if rolling else f"traffic: {traffic}"
    if _most(view) == 1:
        message = f"{kind} changes at most half of the instances at a time, and the endpoint has one"
        yield Diagnostic(path, message, _ALL_AT_ONCE)
        return
    least = view.number("endpoint", "scaling", "min_capacity")
    if view.get("endpoint", "scaling") is not None and least is not None and least < 2:
        message = (
            f"{kind} needs two instances, and the endpoint may have fewer (scaling.min_capacity is {least}): "
            "then all requests move at once"
        )
        yield Diagnostic(
            path, message, "set scaling.min_capacity: 2 to have steps with each update", severity="warning"
        )


def _timeout(view: SpecView) -> Iterator[Diagnostic]:
    policy = _ROLLING if view.get(*_ROLLING) is not None else _BLUE_GREEN
    path = (*policy, "maximum_execution_timeout_in_seconds")
    timeout, waits = view.number(*path), _waits(view)
    if timeout is not None and timeout <= waits:
        message = f"{timeout} is not more than the update waits, {waits:g}: SageMaker would give every update up"
        yield Diagnostic(path, message, "raise it by what the new instances take to start, such as 3600")


def _waits(view: SpecView) -> float:
    """Seconds that an update waits at least."""
    alarms = DEFAULT_WAIT if view.texts(*_UPDATE, "rollback_alarms") else 0
    if view.get(*_ROLLING) is not None:
        wait = view.number(*_ROLLING, "wait_interval_in_seconds")
        return alarms if wait is None else wait
    wait = view.number(*_BLUE_GREEN, "wait_interval_in_seconds")
    return (alarms if wait is None else wait) + (view.number(*_BLUE_GREEN, "termination_wait_in_seconds") or 0)


def _rollback_alarms(view: SpecView) -> Iterator[Diagnostic]:
    path = (*_UPDATE, "rollback_alarms")
    for number, name in enumerate(view.texts(*path)):
        if name not in ALARM_KEYS:
            if near := did_you_mean(name, ALARM_KEYS):
                message = f"{name!r} is no key of endpoint.alarms, so it is taken for the name of another alarm"
                yield Diagnostic((*path, number), message, near, severity="warning")
        elif view.get("endpoint", "alarms") is None or view.number("endpoint", "alarms", name) == 0:
            message = f"endpoint.alarms declares no alarm {name}"
            fix = f"set endpoint.alarms: {{}}, and no 0 for {name}; or remove it from rollback_alarms"
            yield Diagnostic((*path, number), message, fix)
        elif name != "failures":
            message = (
                f"{name} is about the queue, which was there before the update: it says nothing about the new instances"
            )
            yield Diagnostic((*path, number), message, "name failures instead", severity="warning")


def _too_short(view: SpecView) -> Iterator[Diagnostic]:
    path = (*_UPDATE, "rollback_alarms")
    if view.texts(*path) and _waits(view) < _LATE:
        message = f"the update waits {_waits(view):g} s, and an alarm sees what happened only after a minute or more"
        fix = f"set wait_interval_in_seconds or termination_wait_in_seconds, such as {DEFAULT_WAIT}"
        yield Diagnostic(path, message, fix, severity="warning")
