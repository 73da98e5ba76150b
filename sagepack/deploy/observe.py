"""What is live: an endpoint, its configuration, model, tags and automatic scaling, as AWS describes them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sagepack.aws import autoscaling, sagemaker
from sagepack.deploy import scaling
from sagepack.deploy.deployment import VARIANT_NAME

if TYPE_CHECKING:
    from sagepack.aws.session import Aws, Document
    from sagepack.deploy.deployment import Owner


@dataclass(frozen=True)
class ScalingState:
    """The automatic scaling that an endpoint has.

    Attributes:
        target: the scalable target; None if none is registered.
        policies: all policies of the target by name, whoever made them.
        alarms: those alarms by name that have a name which this program gives.
    """

    target: autoscaling.ScalableTarget | None = None
    policies: dict[str, autoscaling.ScalingPolicy] = field(default_factory=dict)
    alarms: dict[str, autoscaling.Alarm] = field(default_factory=dict)


@dataclass(frozen=True)
class EndpointState:
    """An endpoint that exists, with everything that belongs to it.

    Attributes:
        endpoint: the endpoint.
        endpoint_config: the configuration that serves; None if it was deleted.
        model_description: the response of DescribeModel for the model that serves; None if it was deleted.
        tags: tags of the endpoint.
        scaling: automatic scaling of the endpoint.
    """

    endpoint: sagemaker.Endpoint
    endpoint_config: sagemaker.EndpointConfig | None
    model_description: Document | None
    tags: dict[str, str]
    scaling: ScalingState

    @property
    def desired_instance_count(self) -> int | None:
        """The number of instances that SageMaker aims at now; automatic scaling changes it."""
        return self.endpoint.desired_instance_count(VARIANT_NAME)


def observe(aws: Aws, owner: Owner) -> EndpointState | None:
    """Describe the endpoint of `owner`; None if it does not exist. Changes nothing.

    Raises:
        UserError, RemoteError: AWS refused a request, or its response is not as the API describes it.
    """
    endpoint = sagemaker.describe_endpoint(aws, owner.endpoint_name)
    if endpoint is None:
        return None
    config_name = endpoint.endpoint_config_name
    config = sagemaker.describe_endpoint_config(aws, config_name) if config_name else None
    model_name = config.variant.model_name if config else None
    return EndpointState(
        endpoint=endpoint,
        endpoint_config=config,
        model_description=sagemaker.describe_model(aws, model_name) if model_name else None,
        tags=sagemaker.list_tags(aws, endpoint.endpoint_arn),
        scaling=observe_scaling(aws, owner.endpoint_name),
    )


def observe_scaling(aws: Aws, endpoint_name: str) -> ScalingState:
    """Describe the automatic scaling of an endpoint, which may exist without the endpoint. Changes nothing."""
    resource_id = scaling.resource_id(endpoint_name)
    return ScalingState(
        autoscaling.describe_target(aws, resource_id),
        autoscaling.describe_policies(aws, resource_id),
        autoscaling.describe_alarms(aws, [scaling.scaling_names(endpoint_name).wake_alarm]),
    )
