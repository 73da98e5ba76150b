"""Make an endpoint what its `Deployment` says: create or update it, wait, and check what serves afterwards.

Every step looks first and does only what is missing, so after an interruption the same call continues.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sagepack.aws import autoscaling, sagemaker
from sagepack.aws.logs import log_group, set_retention
from sagepack.deploy import rollout, scaling
from sagepack.deploy.alarms import desired_alarms
from sagepack.deploy.change import MANAGED_FIX, require_no_loss
from sagepack.deploy.deployment import VARIANT_NAME, tag_list
from sagepack.deploy.drift import (
    alarm_differences,
    diff,
    differences,
    extra,
    extra_actions,
    instance_count,
    other_model,
    scaling_differences,
)
from sagepack.deploy.error_hints import hint_for, with_hints
from sagepack.deploy.observe import EndpointState, ScalingState, observe_declared, observe_scaling
from sagepack.deploy.running_image import require_image
from sagepack.deploy.waiter import WaiterConfig, settle, surviving, wait_until_changed, wait_until_stable
from sagepack.errors import RemoteError, UserError
from sagepack.text import counted

if TYPE_CHECKING:
    from collections.abc import Callable

    from sagepack.aws.session import Aws, Document
    from sagepack.deploy.change import Change
    from sagepack.deploy.deployment import Deployment
    from sagepack.progress import Progress

_TRIPPED = (
    "look at what failed after the new instances had taken requests (`invoke logs`, and the failure objects in S3), correct "
    "it, and deploy again once the alarm has ended"
)


@dataclass(frozen=True)
class ReconcileResult:
    """An endpoint that serves what its deployment says.

    Attributes:
        endpoint_name, endpoint_arn: the endpoint, in service.
        endpoint_config_name, model_name: what serves.
        changes: what was done; empty if nothing had to be.
        before: the endpoint as it was found; None if there was none.
    """

    endpoint_name: str
    endpoint_arn: str
    endpoint_config_name: str
    model_name: str
    changes: tuple[Change, ...]
    before: EndpointState | None


def reconcile(
    aws: Aws,
    deployment: Deployment,
    progress: Progress,
    waiter: WaiterConfig | None = None,
    *,
    recreate: bool = False,
    look: Callable[[], EndpointState | None] | None = None,
) -> ReconcileResult:
    """Make the endpoint what `deployment` says, and return once it is in service.

    An outage of AWS, of the network or of the credentials that ends within `waiter.outage` does not end it: it goes on.

    Args:
        aws: the session.
        deployment: what the endpoint should be.
        progress: gets a note of each change and each status.
        waiter: how often and how long to look.
        recreate: also delete an endpoint that was released and whose status allows nothing else; its queue is lost.
        look: says what is live, for the first time: the caller has just looked, as `observe_declared` does.

    Raises:
        UserError: the endpoint belongs to another spec, environment or tool, or would have to be deleted without `recreate`; or
            SageMaker refused the model data, the role, the image or the instances.
        RemoteError: the endpoint failed, was rolled back to its old configuration, or took too long.
    """
    return Reconciler(aws, deployment, progress, waiter or WaiterConfig(), recreate, look).run()


@dataclass(frozen=True)
class Reconciler:
    """One run of `reconcile`.

    Attributes:
        aws: the session.
        deployment: what the endpoint should be.
        progress: gets a note of each change and each status.
        waiter: how often and how long to look.
        recreate: whether requests may be lost with an endpoint that has to be deleted.
        look: the first look at what is live.
    """

    aws: Aws
    deployment: Deployment
    progress: Progress
    waiter: WaiterConfig
    recreate: bool = False
    look: Callable[[], EndpointState | None] | None = None

    def run(self) -> ReconcileResult:
        """Bring the endpoint, its automatic scaling and its tags in line with the deployment; raises as `reconcile` does."""
        done: list[Change] = []
        seen: list[EndpointState | None] = []
        # Each attempt looks first, so it finds what the one before it has done, also where only its answer was lost.
        with surviving(self.aws, self.progress, self.waiter):
            return settle(lambda: self._attempt(done, seen), self.progress, self.waiter)

    def _attempt(self, done: list[Change], seen: list[EndpointState | None]) -> ReconcileResult:
        observed, changes = self._judge(self.look() if self.look and not seen else self._observe())
        seen.append(observed)
        done += [change for change in changes if change not in done]
        if observed is not None and changes and observed.endpoint.in_progress:
            self._finish_deployment_in_progress(observed.endpoint)
            observed, changes = self._judge(self._observe())
            done += [change for change in changes if change not in done]
        kinds = {change.kind for change in changes}
        if observed is None or "log" in kinds:
            self._apply_log_retention()
        if observed is None or kinds & {"recreate", "update"}:
            endpoint = self._deploy(observed, update="update" in kinds)
        else:
            endpoint = observed.endpoint
            if "restore" in kinds:
                with with_hints():
                    self._create_model_and_config(observed)
            self._apply_alarms(observed)
            self._apply_scaling(observed.scaling)
            if "instances" in kinds:
                endpoint = self._set_instance_count(observed)
        if observed is not None and "recreate" not in kinds:  # a new endpoint was created with its tags
            self._apply_tags(observed)
        return ReconcileResult(
            self.deployment.endpoint_name,
            endpoint.endpoint_arn,
            self.deployment.endpoint_config_name,
            self.deployment.model_name,
            tuple(done),
            seen[0],
        )

    def _observe(self) -> EndpointState | None:
        return observe_declared(self.aws, self.deployment)

    def _judge(self, observed: EndpointState | None) -> tuple[EndpointState | None, list[Change]]:
        """The live endpoint, and what has to be changed.

        Raises:
            UserError: it belongs to another spec, environment or tool, or requests would be lost without `recreate`.
        """
        changes = differences(self.deployment, observed)
        for change in changes:
            if change.is_blocked:
                fix = "choose another endpoint.name; to take the endpoint over, give it this spec's tags first"
                fix = MANAGED_FIX if change.kind == "managed" else fix
                raise UserError(change.reason, where=change.subject, fix=fix)
        if not self.recreate:
            require_no_loss(changes)
        return observed, changes

    def _finish_deployment_in_progress(self, before: sagemaker.Endpoint) -> None:
        """Wait for a deployment that another command has begun, and check its result if it is the one requested now."""
        target = before.pending_endpoint_config_name or before.endpoint_config_name
        after = self._wait()
        if before.endpoint_status != "Deleting" and target == self.deployment.endpoint_config_name:
            self._require_no_other(after, before.endpoint_config_name)
            self._require_serving(after)
        elif after is not None and after.failure_reason:
            self.progress.note(f"the deployment in progress ended as {after.endpoint_status}: {after.failure_reason}")

    def _deploy(self, observed: EndpointState | None, *, update: bool) -> sagemaker.Endpoint:
        """Create, recreate or update the endpoint, wait for it, and check that it serves what was requested."""
        send, request = sagemaker.create_endpoint, self.deployment.create_endpoint_request
        with with_hints():
            self._create_model_and_config(observed)
            self._apply_alarms(observed)  # an update may name them as those that roll it back
            if observed is not None and update:
                send, request = sagemaker.update_endpoint, self._prepare_update(observed)
            elif observed is not None:
                self._delete_endpoint(observed)
            is_deleted = observed is not None and update and observed.endpoint_config is None
            current = observed.endpoint.endpoint_config_name if observed is not None and is_deleted else None
            if current is not None:  # so that what is not found then is the deleted one
                self._wait_for_config()
            config = f"endpoint configuration {self.deployment.endpoint_config_name}"
            self._send_once_found(send, request, config, current)
        endpoint = self._wait_for_update(observed.endpoint) if observed is not None and update else self._wait()
        self._require_no_other(endpoint, observed.endpoint.endpoint_config_name if observed else None)
        if endpoint is not None and endpoint.endpoint_status == "InService":
            # Before the check below: an endpoint that was rolled back must keep scaling, too.
            before = observed.scaling.target if observed else None
            self._apply_scaling(observe_scaling(self.aws, self.deployment.endpoint_name), before)
        serving = self._require_serving(endpoint)
        require_image(self.aws, self.deployment, serving, self.waiter.brief)
        return serving

    def _create_model_and_config(self, observed: EndpointState | None) -> None:
        """Create what is missing, the model first: SageMaker checks its data, image and role at once, and it costs nothing."""
        model_name, config_name = self.deployment.model_name, self.deployment.endpoint_config_name
        model = observed.model_description if observed else None
        if model is None or model["ModelName"] != model_name:
            model = sagemaker.describe_model(self.aws, model_name)
        if model is not None and (others := other_model(self.deployment, model)):
            is_image = any(other.path.endswith("Image") for other in others)
            why = "somebody made again with another image" if is_image else "names an earlier upload of its package"
            self.progress.note(f"deleting model {model_name}, which {why}")
            sagemaker.delete_model(self.aws, model_name)
            model = None
        is_new = model is None
        if is_new:
            self.progress.note(f"creating model {model_name}")
            self._create_model()
        if observed and observed.endpoint_config and observed.endpoint.endpoint_config_name == config_name:
            return
        # A configuration that outlived its model is no error when it is created.
        if is_new or sagemaker.describe_endpoint_config(self.aws, config_name) is None:
            self.progress.note(f"creating endpoint configuration {config_name}")
            request = self.deployment.create_endpoint_config_request
            self._send_once_found(sagemaker.create_endpoint_config, request, f"model {model_name}")

    def _wait_for_config(self) -> None:
        """Wait until SageMaker describes the configuration that was just created."""
        for _ in self.waiter.brief.attempts():
            if sagemaker.describe_endpoint_config(self.aws, self.deployment.endpoint_config_name) is not None:
                return

    def _create_model(self) -> None:
        """Create the model, and try again for a while if its role cannot be assumed: it may have been made just now.

        Raises:
            RoleNotAssumedError: it still cannot.
        """
        request = self.deployment.create_model_request
        for number, _ in enumerate(self.waiter.brief.attempts()):
            with suppress(sagemaker.RoleNotAssumedError):
                sagemaker.create_model(self.aws, request)
                return
            if number == 0:
                self.progress.note("SageMaker cannot assume the role, which may be some seconds old: trying again")
        sagemaker.create_model(self.aws, request)

    def _prepare_update(self, observed: EndpointState) -> Document:
        """The UpdateEndpoint request, after what SageMaker needs to accept it."""
        live_types = observed.endpoint_config.variant.instance_types if observed.endpoint_config else ()
        new_type, scales = live_types != self.deployment.endpoint.instance_types, observed.scaling.target is not None
        if new_type and scales:
            # SageMaker refuses to change the instance type of a variant that is registered for scaling.
            after = "it is set up again when that is done; after an interruption run the same command again"
            self.progress.note(f"automatic scaling is removed while the instance type changes: {after}")
            resource_id = scaling.resource_id(self.deployment.endpoint_name)
            autoscaling.deregister_target(self.aws, resource_id)
        # An endpoint that has scaled to zero starts an instance again: without one the new container would not be tried.
        count = observed.desired_instance_count or 0
        is_allowed = count > 0 and instance_count(self.deployment.endpoint, count, observed.scaling) == count
        retain = not new_type and scales and self.deployment.endpoint.scaling is not None and is_allowed
        instances = count if retain else self.deployment.endpoint.initial_instance_count
        if self.deployment.endpoint.update:
            for line in rollout.notes(self.deployment.endpoint.update, instances, before=count):
                self.progress.note(line)
        return self.deployment.update_endpoint_request(retain_instance_count=retain, instances=instances)

    def _set_instance_count(self, observed: EndpointState) -> sagemaker.Endpoint:
        """Set the number of instances to the nearest one that is declared, and wait until it is there.

        Raises:
            RemoteError: it does not get there.
        """
        name, count = self.deployment.endpoint_name, observed.desired_instance_count or 0
        wanted = instance_count(self.deployment.endpoint, count, observed.scaling)
        self.progress.note(f"endpoint {name}: from {count} to {wanted} instances")
        sagemaker.set_instance_count(self.aws, name, VARIANT_NAME, wanted)
        endpoint = self._require_serving(self._wait())
        reached = endpoint.desired_instance_count(VARIANT_NAME) or 0
        if instance_count(self.deployment.endpoint, reached, observed.scaling) != reached:
            reason = endpoint.failure_reason or "SageMaker gives no reason"
            raise RemoteError(
                f"the endpoint has {reached} instances, not {wanted}: {reason}",
                where=f"endpoint {name}",
                fix="run the same command again later: AWS may have no such instance at this time",
            )
        return endpoint

    def _delete_endpoint(self, observed: EndpointState) -> None:
        name, status = self.deployment.endpoint_name, observed.endpoint.endpoint_status
        lost = "the requests in its queue are lost"
        self.progress.note(f"deleting endpoint {name}, which is {status}, to create it again; {lost}")
        self._remove_scaling(observed.scaling)
        sagemaker.delete_endpoint(self.aws, name)
        self._wait()

    def _send_once_found(
        self, send: Callable[[Aws, Document], None], request: Document, referenced: str, current: str | None = None
    ) -> None:
        """Send a request, and again as long as SageMaker does not find the resource that it references.

        Args:
            send: sends the request.
            request: the request.
            referenced: the resource, for messages.
            current: the configuration that the endpoint has, if that was deleted.

        Raises:
            RemoteError: SageMaker does not find it for several delays.
        """
        for _ in self.waiter.brief.attempts():
            with suppress(sagemaker.ReferenceNotFoundError):
                send(self.aws, request)
                return
        where, again = f"endpoint {self.deployment.endpoint_name}", "run the same command again"
        if current is None:
            raise RemoteError(f"SageMaker does not find {referenced}, which exists", where=where, fix=again)
        raise RemoteError(
            f"SageMaker does not update an endpoint whose configuration was deleted: {current}",
            where=where,
            fix="deploy once more the spec and code that it serves, which creates that configuration again; "
            "or remove the endpoint with `invoke destroy` and deploy",
        )

    def _wait(self) -> sagemaker.Endpoint | None:
        return wait_until_stable(self.aws, self.deployment.endpoint_name, self.progress, self.waiter)

    def _wait_for_update(self, before: sagemaker.Endpoint) -> sagemaker.Endpoint | None:
        name, modified = self.deployment.endpoint_name, before.last_modified_time
        return wait_until_changed(self.aws, name, modified, self.progress, self.waiter)

    def _require_no_other(self, endpoint: sagemaker.Endpoint | None, previous: str | None) -> None:
        """Check that what serves was requested, or is the `previous` configuration, to which SageMaker rolls back.

        Raises:
            RemoteError: it is another one: somebody else has deployed in the meantime.
        """
        requested = self.deployment.endpoint_config_name
        if endpoint is None or endpoint.failure_reason or endpoint.endpoint_config_name in {requested, previous}:
            return
        raise RemoteError(
            f"another deployment won: the endpoint serves {endpoint.endpoint_config_name}, not {requested}, "
            "which this command requested",
            where=f"endpoint {self.deployment.endpoint_name}",
            fix="agree on one spec and code for this endpoint; the same command replaces what serves now",
        )

    def _require_serving(self, endpoint: sagemaker.Endpoint | None) -> sagemaker.Endpoint:
        """Check that a stable endpoint serves what was requested. InService is not enough: after a roll-back it is, too.

        Raises:
            RemoteError: it does not.
        """
        name, requested = self.deployment.endpoint_name, self.deployment.endpoint_config_name
        if endpoint is None:
            raise RemoteError("the endpoint was deleted while it was being deployed", where=f"endpoint {name}")
        status, serves = endpoint.endpoint_status, endpoint.endpoint_config_name
        if status == "InService" and serves == requested:
            return endpoint
        reason = endpoint.failure_reason or "SageMaker gives no reason"
        hint = hint_for(reason)
        tripped = self._tripped_alarms(reason) if status == "InService" else []
        raise RemoteError(
            f"the endpoint is {status}: {reason}"
            if status != "InService"
            else f"the update failed and SageMaker rolled back to {serves}, which serves: {reason}",
            where=f"endpoint {name}",
            fix=hint.fix if hint else _TRIPPED if tripped else "read the container's log",
            failure=hint.id if hint else None,
            details=[*tripped, f"log group: {log_group(name)}"],
        )

    def _tripped_alarms(self, reason: str) -> list[str]:
        """The roll-back alarms that have gone off, with what CloudWatch says: in ALARM now, or named by SageMaker."""
        names = rollout.rollback_alarms(self.deployment.endpoint)
        if not names:
            return []
        try:
            found = autoscaling.describe_alarms(self.aws, list(names))
        except (UserError, RemoteError) as error:
            return [f"roll-back alarms: not known: {error.message}"]
        return [
            f"alarm {name} is {alarm.state}: {alarm.description.get('StateReason') or 'CloudWatch gives no reason'}"
            for name, alarm in found.items()
            if alarm.state == "ALARM" or name in reason
        ]

    def _apply_scaling(self, live: ScalingState, before: autoscaling.ScalableTarget | None = None) -> None:
        """Set up automatic scaling as declared.

        Args:
            live: as it is.
            before: the target that was removed for the deployment; what a scheduled action has set of it holds again.
        """
        if not scaling_differences(self.deployment.endpoint, live):
            return
        name, desired = self.deployment.endpoint_name, scaling.desired_scaling(self.deployment.endpoint)
        bounds = scaling.AllowedBounds.of(self.deployment.endpoint, live.actions)
        if bounds is None:
            self.progress.note("removing automatic scaling")
            self._remove_scaling(live)
            return
        resource_id, wake_policy = scaling.resource_id(name), scaling.scaling_names(name).wake_policy
        target = bounds.keep(live.target or before)
        if target != live.target:
            autoscaling.register_target(self.aws, resource_id, target)
        arns = {
            policy: autoscaling.put_policy(self.aws, resource_id, policy, request)
            for policy, request in desired.policies.items()
        }
        for alarm, request in desired.alarms.items():
            started = {**request, "AlarmActions": [arns[wake_policy]]}
            autoscaling.put_alarm(self.aws, alarm, started, tag_list(self.deployment.tags))
        for each in extra(name, desired, live):
            if each in live.alarms:
                autoscaling.delete_alarm(self.aws, each)
            else:
                autoscaling.delete_policy(self.aws, resource_id, each)
        for name_of_action, action in desired.actions.items():
            existing = live.actions.get(name_of_action)
            if existing is None or any(diff(action.document, existing.document)):
                autoscaling.put_scheduled_action(self.aws, resource_id, name_of_action, action)
        for each in extra_actions(name, desired, live):
            autoscaling.delete_scheduled_action(self.aws, resource_id, each)
        schedule = f", scheduled actions {', '.join(desired.actions)}" if desired.actions else ""
        self.progress.note(f"automatic scaling set up: {target}, policies {', '.join(desired.policies)}{schedule}")

    def _apply_alarms(self, observed: EndpointState | None) -> None:
        """Create, change and delete alarms until they are those that are declared."""
        desired = desired_alarms(self.deployment)
        if observed is None:  # what an endpoint that is gone has left is put again as it should be, whatever it is
            live, changed = dict[str, autoscaling.Alarm](), bool(desired)
        else:
            live, changed = observed.alarms, bool(alarm_differences(self.deployment, observed.alarms))
        if not changed:
            return
        for name, request in desired.items():
            autoscaling.put_alarm(self.aws, name, request, tag_list(self.deployment.tags))
        for name in live.keys() - desired.keys():
            autoscaling.delete_alarm(self.aws, name)
        self.progress.note(f"alarms set up: {', '.join(desired)}" if desired else "removing the alarms")

    def _apply_log_retention(self) -> None:
        """Set how long the log is kept. SageMaker creates a log group that keeps it for ever, so this one is there before."""
        days = self.deployment.endpoint.log_retention_in_days
        if days is not None:
            self.progress.note(
                f"{log_group(self.deployment.endpoint_name)} keeps what is written for {counted(days, 'day')}"
            )
            set_retention(self.aws, self.deployment.endpoint_name, days)

    def _apply_tags(self, observed: EndpointState) -> None:
        """Give the tags that differ to the endpoint, and to the model and configuration if they are those declared."""
        live, declared = observed.tags, self.deployment.tags
        changed = tag_list({key: value for key, value in declared.items() if live.get(key) != value})
        if not changed:
            return
        # First what is no endpoint: the endpoint's tags say whether there is anything to do.
        config, model = observed.endpoint_config, observed.model_description
        if config and config.description.get("EndpointConfigName") == self.deployment.endpoint_config_name:
            sagemaker.add_tags(self.aws, str(config.description["EndpointConfigArn"]), changed)
        if model and model.get("ModelName") == self.deployment.model_name:
            sagemaker.add_tags(self.aws, str(model["ModelArn"]), changed)
        sagemaker.add_tags(self.aws, observed.endpoint.endpoint_arn, changed)

    def _remove_scaling(self, live: ScalingState) -> None:
        """Delete the alarm, all policies and scheduled actions and the scalable target, in this order: each needs the next one."""
        resource_id = scaling.resource_id(self.deployment.endpoint_name)
        for name in live.alarms:
            autoscaling.delete_alarm(self.aws, name)
        for name in live.policies:
            autoscaling.delete_policy(self.aws, resource_id, name)
        for name in live.actions:
            autoscaling.delete_scheduled_action(self.aws, resource_id, name)
        if live.target is not None:
            autoscaling.deregister_target(self.aws, resource_id)
