"""Start or stop the instances of an endpoint at once, where automatic scaling would do so later by itself.

Neither fights automatic scaling: what is set lies within its bounds, and an endpoint is put to sleep only where a request
wakes it again. So both also work on what another tool manages, which says nothing of the instances that run. Every step looks
first, so after an interruption the same call goes on.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sagepack.aws import autoscaling, metrics, sagemaker
from sagepack.aws.session import AccessDeniedError
from sagepack.deploy import scaling
from sagepack.deploy.deployment import VARIANT_NAME, Owner
from sagepack.deploy.drift import instance_count, wake_differences
from sagepack.deploy.error_hints import hint_for, with_hints
from sagepack.deploy.manager import manager
from sagepack.deploy.observe import observe
from sagepack.deploy.overview import require_owned
from sagepack.deploy.waiter import WaiterConfig, settle, surviving, wait_until_changed, wait_until_stable
from sagepack.errors import RemoteError, UserError
from sagepack.text import counted

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from typing import NoReturn

    from sagepack.aws.session import Aws
    from sagepack.deploy.observe import EndpointState
    from sagepack.progress import Progress
    from sagepack.spec.model import Spec


@dataclass(frozen=True)
class FleetResult:
    """An endpoint that was woken or put to sleep.

    Attributes:
        endpoint_name: the endpoint.
        instances: how many instances it has now.
        changed: whether it had to be changed.
        bounds: between which automatic scaling moves; None if it is not set up.
        queued: requests in the queue or running when it was put to sleep, which wake it again.
    """

    endpoint_name: str
    instances: int
    changed: bool
    bounds: autoscaling.ScalableTarget | None = None
    queued: int = 0


def wake(
    aws: Aws,
    spec: Spec,
    progress: Progress,
    waiter: WaiterConfig | None = None,
    check: Callable[[str], None] = lambda _config: None,
) -> FleetResult:
    """Start the first instances of an endpoint that has none, and return once they serve.

    It gets the fewest instances that automatic scaling allows, at least one; without automatic scaling as many as declared.

    Args:
        aws: the session.
        spec: its endpoint and scaling are used.
        progress: gets a note of each change and each status.
        waiter: how often and how long to look.
        check: gets the name of the endpoint configuration before an instance of it is started, and may raise.

    Raises:
        UserError: there is no such endpoint, it belongs to another spec or environment, cannot start an instance before it is
            deployed again, or the quota for its instance type is used up.
        RemoteError: no instance came, for lack of capacity for example, or it took too long.
    """
    return _Switch(aws, spec, progress, waiter or WaiterConfig.of(spec)).wake(check)


def sleep(
    aws: Aws, spec: Spec, progress: Progress, waiter: WaiterConfig | None = None, *, even_if_busy: bool = False
) -> FleetResult:
    """Stop all instances of an endpoint, and return once none is left. The next request wakes it.

    CloudWatch tells of a request only minutes later: one that was sent just now is not seen, and wakes the endpoint again.

    Args:
        aws: the session.
        spec: its endpoint and scaling are used.
        progress: gets a note of each change and each status.
        waiter: how often and how long to look.
        even_if_busy: also while requests are in the queue or running. Those that run are interrupted.

    Raises:
        UserError: there is no such endpoint, it belongs to another spec or environment, requests are in its queue, or nothing
            would wake it again.
        RemoteError: an instance stays, or it took too long.
    """
    return _Switch(aws, spec, progress, waiter or WaiterConfig.of(spec)).sleep(even_if_busy=even_if_busy)


@dataclass(frozen=True)
class _Switch:
    """One run of `wake` or `sleep`.

    Attributes:
        aws, spec, progress, waiter: as there.
        seen: the number of instances at each look, the first of which may be before an answer of AWS was lost.
    """

    aws: Aws
    spec: Spec
    progress: Progress
    waiter: WaiterConfig
    seen: list[int] = field(default_factory=list)

    @property
    def _name(self) -> str:
        return self.spec.endpoint.name

    def wake(self, check: Callable[[str], None]) -> FleetResult:
        with surviving(self.aws, self.progress, self.waiter):
            return settle(lambda: self._wake(check), self.progress, self.waiter)

    def sleep(self, *, even_if_busy: bool) -> FleetResult:
        if self.spec.endpoint.scaling is None or not self.spec.endpoint.scaling.may_sleep:
            raise UserError(
                "without automatic scaling down to 0 nothing would wake the endpoint again",
                where="endpoint.scaling.min_capacity",
                fix="set it to 0 and deploy, so that a request wakes the endpoint; or remove the endpoint with `invoke destroy`",
            )
        with surviving(self.aws, self.progress, self.waiter):
            return settle(lambda: self._sleep(even_if_busy=even_if_busy), self.progress, self.waiter)

    def _wake(self, check: Callable[[str], None]) -> FleetResult:
        live = self._look()
        target = live.scaling.target
        if (count := self.seen[-1]) > 0:
            return FleetResult(self._name, count, changed=0 in self.seen, bounds=target)
        self._require_startable(live)
        wanted = instance_count(self.spec.endpoint, 0, live.scaling) if target is None else target.min_capacity
        if target is not None and target.max_capacity < 1:
            raise UserError(
                "automatic scaling allows no instance: its upper bound is 0",
                where=scaling.resource_id(self._name),
                fix=_mended_by(live, "run `invoke deploy`, which sets the bounds of the spec"),
            )
        check(live.endpoint.endpoint_config_name)
        endpoint = self._set(live, max(1, wanted))
        return FleetResult(self._name, _count(endpoint), changed=True, bounds=target)

    def _sleep(self, *, even_if_busy: bool) -> FleetResult:
        live = self._look()
        self._require_waking(live)
        if (count := self.seen[-1]) == 0:
            return FleetResult(self._name, count, changed=any(self.seen), bounds=live.scaling.target)
        queued = round(metrics.newest_value(self.aws, self._name, "ApproximateBacklogSize") or 0)
        if queued and not even_if_busy:
            raise UserError(
                f"{counted(queued, 'request')} in the queue or running",
                where=f"endpoint {self._name}",
                fix="wait until they are answered, after which the endpoint falls asleep by itself; or repeat it with --yes: "
                "what runs is interrupted, and what waits wakes the endpoint again",
            )
        endpoint = self._set(live, 0)
        return FleetResult(self._name, _count(endpoint), changed=True, bounds=live.scaling.target, queued=queued)

    def _look(self) -> EndpointState:
        """The endpoint in service, once nothing changes it any more."""
        while (live := self._owned()).endpoint.in_progress:
            wait_until_stable(self.aws, self._name, self.progress, self.waiter)
        endpoint = live.endpoint
        if endpoint.endpoint_status != "InService":
            reason = endpoint.failure_reason or "SageMaker gives no reason"
            raise UserError(
                f"the endpoint is {endpoint.endpoint_status}: {reason}",
                where=f"endpoint {self._name}",
                fix=_mended_by(live, "run `invoke deploy`, which mends it"),
            )
        self.seen.append(_count(endpoint))
        return live

    def _owned(self) -> EndpointState:
        live = observe(self.aws, Owner.of(self.spec))
        if live is None:
            raise UserError("there is no such endpoint", where=f"endpoint {self._name}", fix="run `invoke deploy`")
        require_owned(Owner.of(self.spec), live.tags)
        return live

    def _require_startable(self, live: EndpointState) -> None:
        if live.model_description is None:
            lacking = "configuration" if live.endpoint_config is None else "model"
            raise UserError(
                f"the endpoint's {lacking} was deleted: no instance can start",
                where=f"endpoint {self._name}",
                fix=_mended_by(live, "run `invoke deploy`, which creates it again, and then this"),
            )

    def _require_waking(self, live: EndpointState) -> None:
        """Check that a request wakes the endpoint once it has no instances."""
        self._require_startable(live)
        if found := wake_differences(self.spec.endpoint, live.scaling):
            raise UserError(
                "nothing would wake the endpoint again",
                where=f"endpoint {self._name}",
                fix=_mended_by(live, "run `invoke deploy`, which sets up what wakes it, and then this"),
                details=[change.reason for change in found],
            )
        target = live.scaling.target
        if target is not None and target.min_capacity > 0:
            raise UserError(
                f"automatic scaling keeps {target} now, so the endpoint would not stay asleep",
                where=scaling.resource_id(self._name),
                fix="wait until the schedule sets them to 0, or change endpoint.scaling.schedule"
                if self.spec.endpoint.scaling and target.min_capacity in self.spec.endpoint.scaling.lower_bounds
                else _mended_by(live, "run `invoke deploy`, which sets the bounds of the spec, and then this"),
            )

    def _set(self, live: EndpointState, wanted: int) -> sagemaker.Endpoint:
        """Set the number of instances, and wait until they are there.

        Raises:
            RemoteError: they do not come, or do not go.
        """
        before = live.endpoint
        self.progress.note(f"endpoint {self._name}: from {_count(before)} to {counted(wanted, 'instance')}")
        with with_hints():
            sagemaker.set_instance_count(self.aws, self._name, VARIANT_NAME, wanted)
        modified = before.last_modified_time
        endpoint = wait_until_changed(self.aws, self._name, modified, self.progress, self.waiter)
        if endpoint is None:
            raise RemoteError("the endpoint was deleted meanwhile", where=f"endpoint {self._name}")
        if endpoint.endpoint_status != "InService" or (_count(endpoint) > 0) != (wanted > 0):
            self._fail(endpoint, wanted, modified)
        return endpoint

    def _fail(self, endpoint: sagemaker.Endpoint, wanted: int, since: datetime) -> NoReturn:
        """Tell why the instances are not as wanted: SageMaker's reason, and the newest attempt of automatic scaling."""
        newest = None
        with suppress(AccessDeniedError, RemoteError):  # it only explains
            newest = autoscaling.newest_activity(self.aws, scaling.resource_id(self._name))
        text = newest.outcome if newest else ""
        tried = newest is not None and newest.status_code == "Failed" and newest.start_time >= since
        reason = endpoint.failure_reason or (text if tried else "SageMaker gives no reason")
        hint = hint_for(reason)
        raise RemoteError(
            f"the endpoint is {endpoint.endpoint_status} with {counted(_count(endpoint), 'instance')}, not {wanted}: {reason}",
            where=f"endpoint {self._name}",
            fix=hint.fix if hint else "run the same command again later: AWS may have no such instance at this time",
            failure=hint.id if hint else None,
            details=[f"newest scaling activity, {newest.start_time:%Y-%m-%d %H:%M:%S} UTC: {text}"] if newest else (),
        )


def _mended_by(live: EndpointState, fix: str) -> str:
    """What to do about what `fix` has `deploy` mend: it mends nothing of another tool."""
    who = manager(live.tags)
    return f"let {who} mend it, which manages the endpoint, and then run this again" if who else fix


def _count(endpoint: sagemaker.Endpoint) -> int:
    """The instances of an endpoint that nothing changes now."""
    variants = endpoint.production_variants
    return next((each.current_instance_count or 0 for each in variants if each.variant_name == VARIANT_NAME), 0)
