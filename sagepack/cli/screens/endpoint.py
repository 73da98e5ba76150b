"""What people read of a live endpoint."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from sagepack.api import results
from sagepack.cli.screens.parts import commit_of, done_line, fact_lines, itemized, lines, readable_time
from sagepack.text import counted, format_usd

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagepack.cli.layout import Block


_SERVING = {"InService", "Updating", "SystemUpdating", "RollingBack"}


@lines.register(results.EndpointStatus)
def _endpoint_status(result: results.EndpointStatus) -> list[Block]:
    if result.state is None:
        return [f"there is no endpoint {result.endpoint}"]
    serves = result.state in _SERVING
    state = f"endpoint {result.endpoint} is {result.state} since {readable_time(result.since)}"
    head = done_line(state) if serves else partial(itemized, state)
    model = result.model or "none: its configuration was deleted, and no further instance can start"
    if result.model and not result.model_exists:
        model += ", which was deleted: no further instance can start"
    facts = [
        ("reason", result.reason),
        ("instances", _instances(result)),
        ("cost", _cost(result)),
        ("scaling", _scaling(result)),
        ("schedule", _scheduled(result.next_scheduled)),
        ("activity", _activity(result.activity)),
        ("backlog", _backlog(result)),
        *(("alarm", _alarm(alarm)) for alarm in result.alarms if _needs_a_look(alarm)),
        ("alarms", _quiet(result.alarms)),
        *(("failure", _failure(each)) for each in result.failures),
        ("managed", result.managed_by and f"by {result.managed_by}, which alone changes it"),
        ("config", result.config),
        ("update", result.next_config and f"to {result.next_config}"),
        ("model", model),
        ("package", result.manifest),
        ("signature", result.signature and result.signature.summary),
        ("image", result.image),
        ("deployed", result.release and f"{readable_time(result.release.time)} by {result.release.by}"),
        ("commit", result.release and commit_of(result.release)),
        ("smoke", result.release and result.release.smoke and result.release.smoke.summary),
        ("failed", _failed(result)),
        ("arn", result.arn),
        ("console", result.console),
        ("log", result.log),
    ]
    unknown = [partial(itemized, f"not known: {text}") for text in result.unknown]
    return [head, fact_lines([(name, text) for name, text in facts if text], wrap=True), *unknown]


def _failed(result: results.EndpointStatus) -> str | None:
    if result.failed is None:
        return None
    outcome = ", and serves" if result.failed.config == result.config else ", and the release before was put back"
    return f"{readable_time(result.failed.time)} {result.failed.config} did not pass its smoke test{outcome}"


def _instances(result: results.EndpointStatus) -> str:
    if result.instances is None:
        return "not known yet"
    wanted = result.desired_instances
    aim = f", to be {wanted}" if wanted not in (None, result.instances) else ""
    kinds = result.instance_type or ", ".join(
        f"{pool.instances} {pool.instance_type}" for pool in result.instance_pools
    )
    return f"{result.instances}{aim}" + (f" ({kinds})" if kinds else "")


def _cost(result: results.EndpointStatus) -> str | None:
    if result.cost_per_hour is None:
        return None
    if result.instances and not result.cost_per_hour:
        return "nothing: it is in the sandbox"
    return f"{format_usd(result.cost_per_hour)} an hour" + ("" if result.instances else " while it sleeps")


def _backlog(result: results.EndpointStatus) -> str | None:
    if result.backlog is not None:
        return counted(result.backlog, "request")
    return None if result.unknown else "CloudWatch has no data now"


def _scaling(result: results.EndpointStatus) -> str:
    if result.most_instances is None:
        return "none: the number of instances stays"
    bounds = f"{result.fewest_instances} to {result.most_instances} instances"
    return f"{bounds}, by {' and '.join(result.policies) or 'no policy: nothing changes their number'}"


def _scheduled(bounds: results.ScheduledBounds | None) -> str | None:
    if bounds is None:
        return None
    low, high = bounds.fewest_instances, bounds.most_instances
    limits = [
        f"{words} {counted(count, 'instance')}"
        for words, count in (("at least", low), ("at most", high))
        if count is not None
    ]
    return f"from {readable_time(bounds.time)} {' and '.join(limits)} ({bounds.name})"


def _activity(activity: results.ScalingActivity | None) -> str | None:
    return f"{readable_time(activity.time)} {activity.status}: {activity.message}" if activity else None


def _needs_a_look(alarm: results.AlarmState) -> bool:
    return alarm.state == "ALARM" or not alarm.acts


def _quiet(alarms: Sequence[results.AlarmState]) -> str | None:
    """How many alarms are as they should be: `5 others: 3 OK, 2 INSUFFICIENT_DATA`."""
    counts = Counter(alarm.state for alarm in alarms if not _needs_a_look(alarm))
    states = ", ".join(f"{count} {state}" for state, count in sorted(counts.items(), reverse=True))
    if len(alarms) == counts.total():
        return f"none is in ALARM: {states}" if alarms else None
    return f"{counted(counts.total(), 'other')}: {states}" if counts else None


def _alarm(alarm: results.AlarmState) -> str:
    since = f" since {readable_time(alarm.since)}: {alarm.reason}" if alarm.state == "ALARM" and alarm.since else ""
    return f"{alarm.name}: {alarm.state}{since}" + ("" if alarm.acts else ", and its actions are disabled")


def _failure(failed: results.RequestFailure) -> str:
    known = f" ({failed.failure})" if failed.failure else ""
    return f"{readable_time(failed.time)} {failed.message}{known}; {failed.location}"


@lines.register(results.Log)
def _log(result: results.Log) -> list[Block]:
    if not result.exists:
        text = f"no container of endpoint {result.endpoint} has written a log: there is no log group {result.group}"
        return [partial(itemized, text)]
    if not result.lines:
        text = f"no container of endpoint {result.endpoint} wrote anything since {readable_time(result.since)}; --since 7d goes back further"
        return [partial(itemized, text)]
    several = len({line.instance for line in result.lines}) > 1
    first = [f"({counted(result.left_out, 'earlier line')} left out)"] if result.left_out else []
    return [*first, *(log_line(line, several=several) for line in result.lines)]


def log_line(line: results.LogLine, *, several: bool) -> str:
    """A line of a container, which usually begins with the time; of several instances, with its own."""
    return f"{line.instance} {line.text}" if several else line.text


@lines.register(results.Followed)
def _followed(_result: results.Followed) -> list[Block]:
    return []


@lines.register(results.Woken)
def _woken(result: results.Woken) -> list[Block]:
    having = f"endpoint {result.endpoint} is awake, with {counted(result.instances, 'instance')}"
    again = "automatic scaling lets it sleep again when it had no request for a while, which takes 15 minutes or more"
    stays = "it stays awake: nothing lets it sleep by itself"
    head = having if result.changed else f"nothing to do: {having}"
    return [done_line(head), partial(itemized, again if result.sleeps_again else stays)]


@lines.register(results.Asleep)
def _asleep(result: results.Asleep) -> list[Block]:
    sleeps = f"endpoint {result.endpoint} sleeps; a request wakes it"
    shown = [done_line(sleeps if result.changed else f"nothing to do: {sleeps}")]
    if result.queued:
        shown.append(partial(itemized, f"{counted(result.queued, 'request')} in its queue or running: it wakes again"))
    return shown
