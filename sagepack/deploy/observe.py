"""What is live: an endpoint, its configuration, model, tags and automatic scaling, as AWS describes them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from sagepack.aws import autoscaling, logs, sagemaker
from sagepack.aws.session import AccessDeniedError
from sagepack.deploy import scaling
from sagepack.deploy.alarm_names import alarm_names
from sagepack.deploy.deployment import VARIANT_NAME
from sagepack.deploy.running_image import RunningImage, running_image
from sagepack.errors import RemoteError
from sagepack.workers import worker_pool

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

    from sagepack.aws.session import Aws, Document
    from sagepack.deploy.deployment import Deployment, Owner


@dataclass(frozen=True)
class ScalingState:
    """The automatic scaling that an endpoint has.

    Attributes:
        target: the scalable target; None if none is registered.
        policies: all policies of the target by name, whoever made them.
        alarms: those alarms by name that have a name which this program gives.
        actions: all scheduled actions of the target by name, whoever made them.
    """

    target: autoscaling.ScalableTarget | None = None
    policies: dict[str, autoscaling.ScalingPolicy] = field(default_factory=dict)
    alarms: dict[str, autoscaling.Alarm] = field(default_factory=dict)
    actions: dict[str, autoscaling.ScheduledAction] = field(default_factory=dict)


@dataclass(frozen=True)
class EndpointState:
    """An endpoint that exists, with everything that belongs to it.

    Attributes:
        endpoint: the endpoint.
        endpoint_config: the configuration that serves; None if it was deleted.
        model_description: the response of DescribeModel for the model that serves; None if it was deleted.
        tags: tags of the endpoint.
        scaling: automatic scaling of the endpoint.
        image: the image that its instances run; None if it is not described.
        alarms: those alarms by name that have a name which `endpoint.alarms` gives.
        log: its log group; None if there is none, or it was not asked for.
    """

    endpoint: sagemaker.Endpoint
    endpoint_config: sagemaker.EndpointConfig | None
    model_description: Document | None
    tags: dict[str, str]
    scaling: ScalingState
    image: RunningImage | None = None
    alarms: dict[str, autoscaling.Alarm] = field(default_factory=dict)
    log: logs.LogGroup | None = None

    @property
    def desired_instance_count(self) -> int | None:
        """The number of instances that SageMaker aims at now; automatic scaling changes it."""
        return self.endpoint.desired_instance_count(VARIANT_NAME)


class _ScalingQuestions(NamedTuple):
    """What has to be asked for a `ScalingState`, in any order."""

    target: Callable[[], autoscaling.ScalableTarget | None]
    policies: Callable[[], dict[str, autoscaling.ScalingPolicy]]
    alarms: Callable[[], dict[str, autoscaling.Alarm]]
    actions: Callable[[], dict[str, autoscaling.ScheduledAction]]


def observe(aws: Aws, owner: Owner, *, log: bool = False) -> EndpointState | None:
    """Describe the endpoint of `owner`; None if it does not exist. Changes nothing.

    It takes three round trips: the endpoint, its configuration, its model; all else is asked at the same time.

    Args:
        aws: the session.
        owner: the owner of the endpoint.
        log: whether its log group is asked for too.

    Raises:
        UserError, RemoteError: AWS refused a request, or its response is not as the API describes it.
    """
    endpoint = sagemaker.describe_endpoint(aws, owner.endpoint_name)
    if endpoint is None:
        return None
    questions = _scaling_questions(aws, owner.endpoint_name)
    with worker_pool(4 + len(questions), "observe") as pool:
        tags = pool.submit(sagemaker.list_tags, aws, endpoint.endpoint_arn)
        image = pool.submit(running_image, aws, endpoint)
        declared_alarms = pool.submit(observe_alarms, aws, owner.endpoint_name)
        group = pool.submit(logs.describe_log_group, aws, owner.endpoint_name) if log else None
        scaling_state = _asked(pool, questions)
        config_name = endpoint.endpoint_config_name
        config = sagemaker.describe_endpoint_config(aws, config_name) if config_name else None
        model_name = config.variant.model_name if config else None
        model = sagemaker.describe_model(aws, model_name) if model_name else None
        return EndpointState(
            endpoint,
            config,
            model,
            tags.result(),
            scaling_state(),
            image.result(),
            declared_alarms.result(),
            group.result() if group else None,
        )


def observe_declared(aws: Aws, deployment: Deployment) -> EndpointState | None:
    """Describe everything that `deployment` declares, as `observe` does."""
    return observe(aws, deployment.owner, log=deployment.endpoint.log_retention_in_days is not None)


def observe_alarms(aws: Aws, endpoint_name: str) -> dict[str, autoscaling.Alarm]:
    """The alarms that `endpoint.alarms` may declare, which may exist without the endpoint. Changes nothing."""
    return autoscaling.describe_alarms(aws, alarm_names(endpoint_name))


def observe_scaling(aws: Aws, endpoint_name: str) -> ScalingState:
    """Describe the automatic scaling of an endpoint, which may exist without the endpoint. Changes nothing."""
    questions = _scaling_questions(aws, endpoint_name)
    with worker_pool(len(questions), "observe") as pool:
        return _asked(pool, questions)()


def newest_scaling(aws: Aws, endpoint_name: str) -> str:
    """The newest attempt of automatic scaling, for people: it alone says why an endpoint does not wake.

    Empty if there was none, or it is not known.
    """
    with suppress(AccessDeniedError, RemoteError):  # it only explains
        if newest := autoscaling.newest_activity(aws, scaling.resource_id(endpoint_name)):
            return f"newest scaling activity, {newest.start_time:%Y-%m-%d %H:%M:%S} UTC: {newest.outcome}"
    return ""


def _asked(pool: Executor, questions: _ScalingQuestions) -> Callable[[], ScalingState]:
    """Ask all questions at the same time; what is returned waits for the answers."""
    target, actions = pool.submit(questions.target), pool.submit(questions.actions)
    policies, alarms = pool.submit(questions.policies), pool.submit(questions.alarms)
    return lambda: ScalingState(target.result(), policies.result(), alarms.result(), actions.result())


def _scaling_questions(aws: Aws, endpoint_name: str) -> _ScalingQuestions:
    resource_id, alarm = scaling.resource_id(endpoint_name), scaling.scaling_names(endpoint_name).wake_alarm
    return _ScalingQuestions(
        target=partial(autoscaling.describe_target, aws, resource_id),
        policies=partial(autoscaling.describe_policies, aws, resource_id),
        alarms=partial(autoscaling.describe_alarms, aws, [alarm]),
        actions=partial(autoscaling.describe_scheduled_actions, aws, resource_id),
    )
