"""Which models the endpoints of an account use, whoever made them, and which model data the models load. Changes nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from sagepack.aws import sagemaker
from sagepack.aws.session import AccessDeniedError, UnknownOperationError
from sagepack.deploy.manager import manager
from sagepack.workers import worker_pool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    from sagepack.aws.session import Aws
    from sagepack.deploy.deployment import Owner

_Kind = TypeVar("_Kind")
_Answer = TypeVar("_Answer")
_THREADS = 8


@dataclass(frozen=True)
class Hosted:
    """What endpoints use: by name, the words that say what uses it.

    Attributes:
        configs: the configurations that endpoints serve or are changing to.
        models: the models of all variants, shadow variants, instance pools and inference components.
        locations: URIs of the model data that inference components load without a model.
        unknown: what AWS denied to say, one sentence each; then the rest is not all.
    """

    configs: dict[str, str] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)
    locations: dict[str, str] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True)
class Model:
    """A model of the account.

    Attributes:
        name, arn: its name and ARN.
        created: when it was created.
        locations: URIs of its model data.
    """

    name: str
    arn: str
    created: datetime
    locations: frozenset[str]


def observe_hosted(aws: Aws, *, leave_out: str | None = None) -> Hosted:
    """Look at every endpoint of the account in this region, and at what it serves.

    Args:
        aws: the session.
        leave_out: name of an endpoint that does not count.

    Raises:
        RemoteError: AWS failed after retries.
    """
    asked = _Asked()
    names = [name for name in asked.all(partial(sagemaker.list_endpoints, aws)) if name != leave_out]
    configs: dict[str, str] = {}
    for name, endpoint in asked.each(partial(sagemaker.describe_endpoint, aws), names):
        for served in (endpoint.endpoint_config_name, endpoint.pending_endpoint_config_name):
            if served:
                configs.setdefault(served, f"endpoint {name} serves it")
    models: dict[str, str] = {}
    for name, config in asked.each(partial(sagemaker.describe_endpoint_config, aws), sorted(configs)):
        for model in config.model_names:
            models.setdefault(model, configs[name])
    locations: dict[str, str] = {}
    components = asked.all(partial(sagemaker.inference_components, aws))
    for name, component in asked.each(partial(sagemaker.describe_inference_component, aws), components):
        if component.endpoint_name != leave_out:
            use = f"inference component {name} of endpoint {component.endpoint_name} runs it"
            models |= dict.fromkeys(component.model_names - models.keys(), use)
            locations |= dict.fromkeys(component.locations, use)
    return Hosted(configs, models, locations, tuple(asked.unknown))


def observe_models(aws: Aws) -> tuple[tuple[Model, ...], tuple[str, ...]]:
    """All models of the account in this region; and what AWS denied to say of them, one sentence each.

    Raises:
        RemoteError: AWS failed after retries.
    """
    asked = _Asked()
    listed = {each.model_name: each for each in asked.all(partial(sagemaker.list_all_models, aws))}
    models = [
        Model(name, listed[name].model_arn, listed[name].creation_time, sagemaker.model_locations(found))
        for name, found in asked.each(partial(sagemaker.describe_model, aws), sorted(listed))
    ]
    return tuple(models), tuple(asked.unknown)


def owned(aws: Aws, owner: Owner, arns: dict[str, str]) -> list[str]:
    """Those of some models or configurations (name -> ARN) that belong to `owner` and that no other tool manages.

    Tags are read only where the name fits.
    """

    def is_owned(arn: str) -> bool:
        tags = sagemaker.list_tags(aws, arn)
        return owner.owns(tags) and manager(tags) is None

    return [name for name, arn in sorted(arns.items()) if owner.matches_name(name) and is_owned(arn)]


def routers_to(aws: Aws, endpoint_arn: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The inference routers that send requests to an endpoint; and what AWS denied to say, one sentence each."""
    asked = _Asked()
    names = asked.all(partial(sagemaker.inference_routers, aws))
    found = asked.each(partial(sagemaker.describe_inference_router, aws), names)
    # SageMaker writes names in ARNs in lower case; who wrote the router may have kept the case.
    arn = endpoint_arn.lower()
    to_it = [name for name, router in found if arn in {each.lower() for each in router.destinations}]
    return tuple(to_it), tuple(asked.unknown)


class _Asked:
    """Asks AWS, and keeps what it denies to say.

    Attributes:
        unknown: the denials, each once.
    """

    def __init__(self) -> None:
        self.unknown: list[str] = []

    def all(self, ask: Callable[[], list[_Kind]]) -> list[_Kind]:
        """A listing; nothing if it is denied, or if the region has no such things at all."""
        try:
            return ask()
        except UnknownOperationError:
            return []
        except AccessDeniedError as error:
            self._deny(error)
            return []

    def each(self, ask: Callable[[str], _Answer | None], names: Iterable[str]) -> list[tuple[str, _Answer]]:
        """The descriptions of things by their names; without those that do not exist any more, or are denied."""
        with worker_pool(_THREADS, "hosted") as pool:
            asked = [(name, pool.submit(ask, name)) for name in names]
            found = []
            for name, future in asked:
                try:
                    answer = future.result()
                except AccessDeniedError as error:
                    self._deny(error)
                    continue
                if answer is not None:
                    found.append((name, answer))
        return found

    def _deny(self, error: AccessDeniedError) -> None:
        if error.message not in self.unknown:
            self.unknown.append(error.message)
