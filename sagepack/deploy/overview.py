"""Everything that is asked about a live endpoint: what serves, its instances and scaling, its queue and its alarms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from sagepack.aws import autoscaling, metrics
from sagepack.aws.session import AccessDeniedError
from sagepack.deploy import scaling
from sagepack.deploy.deployment import owner_tags
from sagepack.deploy.observe import observe
from sagepack.errors import RemoteError, UserError

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagepack.aws.session import Aws
    from sagepack.deploy.deployment import Owner
    from sagepack.deploy.observe import EndpointState

_Kind = TypeVar("_Kind")


@dataclass(frozen=True)
class Overview:
    """A live endpoint and what goes on around it.

    Attributes:
        live: the endpoint with its configuration, model, tags and scaling.
        activity: the newest attempt to scale; None if there was none, or it is not known.
        backlog: requests that wait or are being answered; None if CloudWatch has no data now, or it is not known.
        alarms: the alarms that the spec declares, and those that start its scaling policies, by name.
        unknown: what could not be found out, and why, one sentence each.
    """

    live: EndpointState
    activity: autoscaling.ScalingActivity | None
    backlog: float | None
    alarms: dict[str, autoscaling.Alarm]
    unknown: tuple[str, ...]


def overview(aws: Aws, owner: Owner) -> Overview | None:
    """Look at the endpoint of `owner`; None if it does not exist. Changes nothing.

    Raises:
        UserError: it belongs to another spec or environment, or AWS denies to describe it.
        RemoteError: AWS failed after retries.
    """
    live, name = observe(aws, owner), owner.endpoint_name
    if live is None:
        return None
    require_owned(owner, live.tags)
    unknown: list[str] = []

    def asked(ask: Callable[[], _Kind], default: _Kind) -> _Kind:
        """What is of use but not the heart of the matter: that nobody says it stands in the place of it."""
        try:
            return ask()
        except (AccessDeniedError, RemoteError) as error:
            unknown.append(error.message)
            return default

    found = live.scaling
    names = {alarm for policy in found.policies.values() for alarm in policy.alarm_names}
    others = sorted(names - found.alarms.keys())
    none: dict[str, autoscaling.Alarm] = {}
    return Overview(
        live,
        activity=asked(lambda: autoscaling.newest_activity(aws, scaling.resource_id(name)), None),
        backlog=asked(lambda: metrics.newest_value(aws, name, "ApproximateBacklogSize"), None),
        alarms=live.alarms
        | found.alarms
        | (asked(lambda: autoscaling.describe_alarms(aws, others), none) if others else none),
        unknown=tuple(unknown),
    )


def require_owned(owner: Owner, tags: dict[str, str]) -> None:
    """Check that an endpoint belongs to `owner`.

    Raises:
        UserError: it belongs to another spec or environment.
    """
    if not owner.owns(tags):
        raise UserError(
            f"it does not belong to {owner.name}/{owner.env}: it has {owner_tags(tags)}",
            where=f"endpoint {owner.endpoint_name}",
            fix="nothing was changed; choose the right --config and --env",
        )
