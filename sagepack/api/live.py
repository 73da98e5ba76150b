"""What `Project` says about an endpoint that was deployed: its state, its log and its history."""

from __future__ import annotations

import time as clock
from collections import deque
from contextlib import suppress
from datetime import datetime, timezone
from itertools import islice
from typing import TYPE_CHECKING, TypeAlias

from msgspec.structs import replace

from sagepack.api import results
from sagepack.api.costs import Costs, total
from sagepack.api.history import moment
from sagepack.aws import console, logs, sagemaker
from sagepack.aws.s3 import S3Uri
from sagepack.aws.session import AccessDeniedError
from sagepack.deploy import failure, record
from sagepack.deploy.deployment import TAG_MANIFEST, Owner, ReleaseTag
from sagepack.deploy.manager import manager
from sagepack.deploy.overview import overview, require_owned
from sagepack.engine import signed
from sagepack.errors import RemoteError, SagepackError, UserError
from sagepack.spec import schedules
from sagepack.spec.images import partition as partition_of
from sagepack.spec.keys import by_key
from sagepack.spec.model import Endpoint
from sagepack.workers import worker_pool

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import timedelta

    from sagepack.aws.autoscaling import Alarm, ScalingActivity, ScheduledAction
    from sagepack.aws.sagemaker import EndpointConfig, EndpointVariant
    from sagepack.deploy.overview import Overview
    from sagepack.engine.context import BuildContext

    _Signature: TypeAlias = tuple[results.ServedSignature | None, tuple[str, ...]]

MOST_LINES = 10_000  # of a log that are kept: the newest
_FAILURES = 3  # that are shown
_LOOKED_AT = 3  # records: after an update that failed, the one before serves
_VERIFIED_FOR = 60.0  # seconds
_POLL = 3.0  # seconds; CloudWatch takes some FilterLogEvents in a second from a whole account


def status(context: BuildContext, signatures: Signatures | None = None) -> results.EndpointStatus:
    """What the endpoint of a spec does now.

    Args:
        context: of the spec.
        signatures: what was found before of what serves, if somebody keeps it.
    """
    name = context.spec.endpoint.name
    found = overview(context.clients.aws, Owner.of(context.spec))
    if found is None:
        return results.EndpointStatus(name)
    endpoint, config, aws = found.live.endpoint, found.live.endpoint_config, context.spec.aws
    variant = next(iter(endpoint.production_variants), None)
    target, partition = found.live.scaling.target, partition_of(aws.region)
    is_real = not context.spec.sandbox
    signatures = signatures or Signatures()
    with worker_pool(3, "status") as pool:
        asked, failed = pool.submit(_cost, context, variant, config), pool.submit(_failures, context)
        verified = pool.submit(signatures.of, context, endpoint.endpoint_config_name)
        release, unread = _release(context, endpoint.endpoint_config_name)
        cost, unpriced = asked.result()
        failures, unlisted = failed.result()
        signature, unverified = verified.result()
    return results.EndpointStatus(
        name,
        state=endpoint.endpoint_status,
        since=moment(endpoint.last_modified_time),
        reason=endpoint.failure_reason,
        arn=endpoint.endpoint_arn,
        managed_by=manager(found.live.tags),
        config=endpoint.endpoint_config_name or None,
        next_config=endpoint.pending_endpoint_config_name,
        model=config.variant.model_name if config else None,
        model_exists=found.live.model_description is not None,
        manifest=found.live.tags.get(TAG_MANIFEST),
        signature=signature,
        image=found.live.image.resolved if found.live.image else None,
        instance_type=config.variant.instance_type if config else None,
        instance_pools=tuple(
            results.PoolStatus(pool.instance_type, pool.current_instance_count)
            for pool in (variant.instance_pools if variant else ())
        ),
        instances=variant.current_instance_count if variant else None,
        cost_per_hour=cost,
        desired_instances=variant.desired_instance_count if variant else None,
        fewest_instances=target.min_capacity if target else None,
        most_instances=target.max_capacity if target else None,
        policies=tuple(sorted(found.live.scaling.policies)),
        next_scheduled=_next_scheduled(found.live.scaling.actions, datetime.now(timezone.utc)),
        activity=_activity(found.activity) if found.activity else None,
        backlog=None if found.backlog is None else round(found.backlog),
        alarms=_alarms(found),
        failures=failures,
        release=release,
        failed=_failed(found.live.tags),
        unknown=(*found.unknown, *unread, *unlisted, *unpriced, *unverified),
        console=console.endpoint_page(partition, aws.region, name) if is_real else None,
        log=console.log_page(partition, aws.region, logs.log_group(name)) if is_real else None,
    )


def read_log(context: BuildContext, since: timedelta) -> results.Log:
    """What the containers of the endpoint wrote since some time ago."""
    _require_owned_if_there(context)
    name, begin = context.spec.endpoint.name, datetime.now(timezone.utc) - since
    tail = logs.Tail(context.clients.aws, logs.log_group(name), int(begin.timestamp() * 1000))
    lines, count, exists = deque[results.LogLine](maxlen=MOST_LINES), 0, False
    while events := tail.events():
        exists = True
        for line in _lines(events):
            lines.append(line)
            count += 1
    exists = exists or events is not None
    return results.Log(name, logs.log_group(name), exists, moment(begin), count - len(lines), tuple(lines))


def watch(
    context: BuildContext, first: results.EndpointStatus, interval: float, signatures: Signatures
) -> Iterator[results.EndpointStatus]:
    """What was seen first, and what the endpoint does every `interval` seconds from then on; never ends by itself."""
    yield first
    said = ""
    while True:
        clock.sleep(interval)
        try:
            found = status(context.refreshed(), signatures)
        except RemoteError as error:
            trouble = f"{error.message}; trying again"
            if trouble != said:
                context.progress.note(trouble)
            said = trouble
            continue
        said = ""
        yield found


def follow_log(context: BuildContext, since: timedelta) -> Iterator[results.LogLine]:
    """The lines of the log, those to come included; never ends by itself, not even while the network is down."""
    _require_owned_if_there(context)
    name, begin = context.spec.endpoint.name, datetime.now(timezone.utc) - since
    tail = logs.Tail(context.clients.aws, logs.log_group(name), int(begin.timestamp() * 1000))
    said = ""
    while True:
        trouble = ""
        try:
            events = tail.events()
            if events is None:
                trouble = f"no container of endpoint {name} has written a log yet; waiting for one"
            yield from _lines(events or [])
        except RemoteError as error:
            events, trouble = None, f"{error.message}; trying again"
        if trouble and trouble != said:
            context.progress.note(trouble)
        said = trouble
        if not events:
            clock.sleep(0.2 if context.spec.sandbox else _POLL)


class Signatures:
    """What was found of the signature of what serves; whoever looks often asks S3 again after a minute, or when something else serves."""

    def __init__(self) -> None:
        self._kept: tuple[str, float, _Signature] | None = None

    def of(self, context: BuildContext, config: str) -> _Signature:
        """Whether the package of a configuration is as it was signed, if that is asked; or why it is not known."""
        if not context.trust.must_verify or not config:
            return None, ()
        now = clock.monotonic()
        if self._kept and self._kept[0] == config and now - self._kept[1] < _VERIFIED_FOR:
            return self._kept[2]
        found = _signature(context, config)
        self._kept = config, now, found
        return found


def _signature(context: BuildContext, config: str) -> _Signature:
    try:
        found = signed.serving(context, config)
    except (UserError, RemoteError) as error:
        reason = f"{error.message} ({error.fix})" if error.fix else error.message
        return None, (f"whether the package is as it was signed: {reason}",)
    if isinstance(found, SagepackError):
        return results.ServedSignature(None, found.message, tuple(found.details), found.fix), ()
    return results.ServedSignature(results.Signature(found.key.name, found.key.hint, found.signed)), ()


def _cost(
    context: BuildContext, variant: EndpointVariant | None, config: EndpointConfig | None
) -> tuple[float | None, tuple[str, ...]]:
    """What the instances of the endpoint cost in an hour; or why that is not known."""
    costs, count = Costs(context), variant.current_instance_count if variant else None
    if variant is None or count is None:
        return None, ()
    if pools := variant.instance_pools:
        priced = [costs.running(pool.instance_type, pool.current_instance_count) for pool in pools]
        return total(priced), costs.notes
    kind = config.variant.instance_type if config else None
    return (None if kind is None else costs.running(kind, count)), costs.notes


def _failures(context: BuildContext) -> tuple[tuple[results.RequestFailure, ...], tuple[str, ...]]:
    """The newest failures of requests; or why they are not known."""
    endpoint = context.spec.endpoint
    below = S3Uri.parse(endpoint.asynchronous.s3_failure_path)
    try:
        found = failure.newest(context.clients.s3, below, endpoint.name, _FAILURES)
    except (UserError, RemoteError) as error:
        return (), (f"the newest failures of requests: {error.message}",)
    return tuple(
        results.RequestFailure(moment(time), error.message, str(location), error.failure)
        for time, location, error in found
    ), ()


def _failed(tags: dict[str, str]) -> results.FailedDeployment | None:
    """The deployment that failed since the last release, by the tags of the endpoint."""
    tag = ReleaseTag.failed_since(tags)
    time = record.moment_of(tag.time) if tag else None
    return results.FailedDeployment(moment(time), tag.config) if tag and time else None


def _release(context: BuildContext, config: str) -> tuple[results.Deployed | None, tuple[str, ...]]:
    """The newest deployment of a configuration, among the newest of all; or why it is not known."""
    try:
        newest = _recorded(context, _LOOKED_AT).deployments
    except (AccessDeniedError, RemoteError) as error:
        return None, (error.message,)
    return next((each for each in newest if each.config == config), None), ()


def releases(context: BuildContext, most: int) -> results.Releases:
    """The newest deployments of a spec and environment, and which configuration serves."""
    aws, name = context.clients.aws, context.spec.endpoint.name
    with worker_pool(1, "releases") as pool:
        asked, found = pool.submit(sagemaker.describe_endpoint, aws, name), _recorded(context, most)
    with suppress(AccessDeniedError):  # the records are worth reading without it
        if endpoint := asked.result():
            return replace(found, serves=endpoint.endpoint_config_name)
    return found


def _recorded(context: BuildContext, most: int) -> results.Releases:
    """The newest deployments, as their records tell of them."""
    below, found, unreadable = record.records_uri(context.spec), list[results.Deployed](), list[str]()
    for location, each in islice(record.newest(context.clients.s3, below), most):
        if each is None or (each.name, each.env) != (context.spec.name, context.spec.env):
            unreadable.append(str(location))
            continue
        values = {name: getattr(each, name) for name in results.Deployed.__struct_fields__[2:]}
        values["settings"] = by_key(Endpoint, each.settings)
        found.append(results.Deployed(record=str(location), time=moment(each.deployed), **values))
    return results.Releases(str(below), tuple(found), tuple(unreadable))


def _require_owned_if_there(context: BuildContext) -> None:
    """Check that the endpoint, if there is one, is the spec's. The log of one that was deleted may be read by its name."""
    owner, aws = Owner.of(context.spec), context.clients.aws
    if endpoint := sagemaker.describe_endpoint(aws, owner.endpoint_name):
        require_owned(owner, sagemaker.list_tags(aws, endpoint.endpoint_arn))


def _lines(events: list[logs.LogEvent]) -> Iterator[results.LogLine]:
    for event in events:
        written = datetime.fromtimestamp(event.timestamp / 1000, timezone.utc).isoformat(timespec="milliseconds")
        for text in event.lines:
            yield results.LogLine(written.replace("+00:00", "Z"), event.instance, text)


def _alarms(found: Overview) -> tuple[results.AlarmState, ...]:
    return tuple(_alarm(name, alarm) for name, alarm in sorted(found.alarms.items()))


def _alarm(name: str, alarm: Alarm) -> results.AlarmState:
    described = alarm.description
    since = described.get("StateUpdatedTimestamp")
    return results.AlarmState(
        name,
        state=alarm.state,
        acts=bool(described.get("ActionsEnabled", True)),
        since=moment(since) if isinstance(since, datetime) else None,
        reason=described.get("StateReason") or None,
    )


def _next_scheduled(actions: Mapping[str, ScheduledAction], now: datetime) -> results.ScheduledBounds | None:
    """The first of the times that are to come; a schedule that this program does not understand is left out."""
    found = []
    for name, action in actions.items():
        begin, zone = max(now, action.start_time or now), action.timezone or schedules.UTC
        with suppress(schedules.ScheduleError):
            time = schedules.next_after(action.schedule, zone, begin, action.creation_time or now)
            if time and (action.end_time is None or time <= action.end_time):
                found.append((time, name, action.scalable_target_action))
    if not found:
        return None
    time, name, bounds = min(found, key=lambda each: each[:2])
    return results.ScheduledBounds(name, moment(time), bounds.min_capacity, bounds.max_capacity)


def _activity(activity: ScalingActivity) -> results.ScalingActivity:
    text = activity.status_message or activity.description
    return results.ScalingActivity(moment(activity.start_time), activity.status_code, text)
