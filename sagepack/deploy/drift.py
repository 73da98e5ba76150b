"""How a live endpoint differs from its `Deployment`, and what has to be changed for it. Pure: nothing here calls AWS.

Each difference has the key of the spec that it is about, or the resource, and the place in the API's names. A value that
looks like a secret is never shown.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from sagepack.deploy.alarms import comparable, desired_alarms
from sagepack.deploy.change import NONE, THERE, Change, values
from sagepack.deploy.deployment import TAG_MANIFEST, ReleaseTag, owner_tags
from sagepack.deploy.manager import managed, manager
from sagepack.deploy.scaling import AllowedBounds, desired_scaling, is_action, scaling_names
from sagepack.deploy.subjects import subject_of
from sagepack.spec.model import KEYS
from sagepack.spec.secrets import names as secret_names
from sagepack.spec.secrets import values as secret_values

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagepack.aws.autoscaling import Alarm
    from sagepack.aws.session import Document
    from sagepack.deploy.change import Kind
    from sagepack.deploy.deployment import Deployment
    from sagepack.deploy.observe import EndpointState, ScalingState
    from sagepack.deploy.scaling import Scaling
    from sagepack.spec.model import Endpoint

# Members that a request leaves out for "none". For others that a request leaves out SageMaker describes a default.
_NONE_IF_LEFT_OUT = frozenset(
    name
    for key in KEYS
    # What is under `update` is part of a request alone, and of no description.
    if key.path[0] == "endpoint"
    and key.path[1] != "update"
    and (key.is_optional or key.is_in_optional_section or key.entry)
    for name in key.facts.member[2:]
)
# Members that hold the members of keys.
_SECTIONS = frozenset(name for key in KEYS if key.path[0] == "endpoint" for name in key.facts.member[2:-1])
# What SageMaker does to an endpoint whose configuration stays: automatic scaling or a patch of the instances.
_RESIZED = frozenset({"Updating", "SystemUpdating"})
# Where AWS has which package it is.
PACKAGE = "PrimaryContainer.ModelDataSource.S3DataSource.S3Uri"
# Nor is the ETag, which follows from the package; `other_data` compares it for a model of the same name.
_NOT_COMPARED = frozenset({"ModelName", "EndpointConfigName", "Tags", "ETag"})
_ETAG = "PrimaryContainer.ModelDataSource.S3DataSource.ETag"


class Difference(NamedTuple):
    """Two values for one place.

    Attributes:
        path: the place, in the API's names.
        live, desired: the values as text, as in `Change`.
    """

    path: str
    live: str
    desired: str

    @classmethod
    def between(cls, path: str, live: object, desired: object) -> Difference:
        """The difference of two values; one that looks like a secret is not shown."""
        return cls(path, _shown(path, live), _shown(path, desired))

    def change(self, kind: Kind) -> Change:
        """The change that ends the difference."""
        subject = subject_of(self.path)
        difference = values(self.live, self.desired) or (" is missing" if self.live == NONE else " is not declared")
        return Change(kind, f"{subject}{difference}", subject, self.path, self.live, self.desired)


def differences(deployment: Deployment, observed: EndpointState | None) -> list[Change]:
    """What must be done to make `observed` (None: there is no endpoint) equal to `deployment`; empty if it is."""
    name = deployment.endpoint_name
    if observed is None:
        return [Change("create", f"endpoint {name} does not exist", f"endpoint {name}")]
    if not deployment.owner.owns(observed.tags):
        reason = f"endpoint {name} belongs to another spec or environment: it has {owner_tags(observed.tags)}"
        return [Change("not_owned", reason, f"endpoint {name}")]
    if who := manager(observed.tags):
        return [Change("managed", managed(name, who), f"endpoint {name}")]
    endpoint = _endpoint_differences(deployment, observed)
    # Which package the endpoint has is told once: its tag follows.
    told = {TAG_MANIFEST} if any(change.path == PACKAGE for change in endpoint) else set()
    tags = [
        Difference.between(f"Tags.{key}", observed.tags.get(key), value).change("tags")
        for key, value in sorted(deployment.tags.items())
        if observed.tags.get(key) != value and key not in told
    ]
    scaling = scaling_differences(deployment.endpoint, observed.scaling)
    # Whatever is done to the endpoint leaves it with a number of instances as declared.
    instances = [] if endpoint else _instance_differences(deployment, observed)
    alarms, log = alarm_differences(deployment, observed.alarms), _log_differences(deployment, observed)
    return [*endpoint, *scaling, *instances, *alarms, *log, *tags]


def release_differences(deployment: Deployment, observed: EndpointState | None) -> list[Change]:
    """That an endpoint serves what it should, and nobody has tried and recorded that: an earlier run was killed before its end.

    While the endpoint is being made equal to `deployment`, nothing is to be said of it: its release comes after that.
    """
    if observed is None or not deployment.owner.owns(observed.tags) or manager(observed.tags):
        return []
    if _endpoint_differences(deployment, observed):
        return []
    serves, tag = observed.endpoint.endpoint_config_name, ReleaseTag.of(observed.tags)
    if serves != deployment.endpoint_config_name or (tag is not None and tag.config == serves):
        return []
    subject = f"endpoint {deployment.endpoint_name}"
    return [Change("release", f"{subject} serves {serves}, which has not been tried and recorded yet", subject)]


def _endpoint_differences(deployment: Deployment, observed: EndpointState) -> list[Change]:
    endpoint, desired = observed.endpoint, deployment.endpoint_config_name
    subject = f"endpoint {deployment.endpoint_name}"
    status, is_desired = endpoint.endpoint_status, endpoint.endpoint_config_name == desired
    # A Failed endpoint can only be deleted. One that is OutOfService accepts an update, but serves nothing that could be lost.
    if status == "Failed" or (status == "OutOfService" and is_desired):
        # One that failed before it was ever released has taken no requests.
        loses = status != "Failed" or ReleaseTag.of(observed.tags) is not None
        again = f"{subject} is {status} and has to be deleted and created again"
        again += ", without the requests in its queue" if loses else ""
        reason = f"{again}: {endpoint.failure_reason or 'SageMaker gives no reason'}"
        return [Change("recreate", reason, subject, loses_requests=loses)]
    # It serves, with a mix of two configurations (API reference, DescribeEndpoint, EndpointStatus). That SageMaker accepts an
    # update to the configuration that it describes could not be observed.
    if status == "UpdateRollbackFailed" and is_desired:
        return [Change("update", f"{subject} is {status} and serves a mix of two configurations", subject)]
    changes = [Change("wait", f"{subject} is {status}", subject)] if endpoint.in_progress else []
    if is_desired or endpoint.pending_endpoint_config_name == desired:
        is_resize = is_desired and status in _RESIZED and endpoint.pending_endpoint_config_name is None
        others = [*_wrong_parts(deployment, observed), *_wrong_image(deployment, observed)] if is_desired else []
        return ([] if is_resize else changes) + others
    config = observed.endpoint_config
    found = [
        *(
            diff(deployment.create_model_request, observed.model_description, ignored=_NOT_COMPARED)
            if observed.model_description
            else [Difference("ModelName", NONE, deployment.model_name)]
        ),
        *(
            diff(deployment.create_endpoint_config_request, config.description, ignored=_NOT_COMPARED)
            if config
            else [Difference("EndpointConfigName", NONE, desired)]
        ),
    ]
    # Every difference may be in what is not compared, such as settings of an older version of this program.
    found = found or [Difference("EndpointConfigName", endpoint.endpoint_config_name, desired)]
    return changes + [difference.change("update") for difference in found]


def _wrong_parts(deployment: Deployment, observed: EndpointState) -> list[Change]:
    """The configuration or model that serves and was deleted: without it no instance can be started, and none be patched.

    Or a model that somebody made again under the same name with another image, which the next instance would run; or one that names
    the ETag of a package that was published again since.
    """
    if observed.endpoint_config is None:
        found = [Difference("EndpointConfigName", NONE, deployment.endpoint_config_name)]
    elif observed.model_description is None:
        found = [Difference("ModelName", NONE, deployment.model_name)]
    else:
        found = other_model(deployment, observed.model_description)
    return [difference.change("restore") for difference in found]


def other_model(deployment: Deployment, model: Document) -> list[Difference]:
    """How image and ETag differ that a model with the name of the deployment's names, as DescribeModel describes it."""
    container, declared = model.get("PrimaryContainer"), deployment.image_uri
    if not isinstance(container, dict):
        return []
    live, found = container.get("Image"), []
    if live not in (None, declared):
        found.append(Difference.between("PrimaryContainer.Image", live, declared))
    source = container.get("ModelDataSource", {}).get("S3DataSource", {})
    pinned, etag = source.get("ETag"), (deployment.model_etag or "").strip('"')
    if etag and pinned not in (None, etag):
        found.append(Difference.between(_ETAG, pinned, etag))
    return found


def _wrong_image(deployment: Deployment, observed: EndpointState) -> list[Change]:
    """The image that the instances run, if it is another than the model should name.

    That SageMaker accepts an update to the configuration that it describes could not be observed.
    """
    image, declared = observed.image, deployment.image_uri
    if image is None or not image.is_known_to_differ(declared):
        return []
    return [Difference("DeployedImages.ResolvedImage", image.resolved, declared).change("update")]


def _instance_differences(deployment: Deployment, observed: EndpointState) -> list[Change]:
    count, live = observed.desired_instance_count, observed.scaling
    is_others = live.target is not None and not is_managed(deployment.endpoint_name, live)
    if observed.endpoint.in_progress or count is None or (deployment.endpoint.scaling is None and is_others):
        return []
    wanted = instance_count(deployment.endpoint, count, live)
    return [] if wanted == count else [Difference("DesiredInstanceCount", str(count), str(wanted)).change("instances")]


def _log_differences(deployment: Deployment, observed: EndpointState) -> list[Change]:
    """Another retention of the log, unless a policy of the account decides about it: no request could change that."""
    days, group = deployment.endpoint.log_retention_in_days, observed.log
    live = group.retention_in_days if group else None
    if days is None or live == days or (group and group.retention_policy_name):
        return []
    return [Difference.between("LogGroup.retentionInDays", live, days).change("log")]


def instance_count(endpoint: Endpoint, count: int, live: ScalingState) -> int:
    """The number of instances nearest to `count` that is declared for `endpoint`, or that a scheduled action allows."""
    bounds = AllowedBounds.of(endpoint, live.actions)
    return bounds.nearest(count) if bounds else endpoint.initial_instance_count


def scaling_differences(endpoint: Endpoint, live: ScalingState) -> list[Change]:
    """What must be done to make the automatic scaling `live` equal to what is declared for `endpoint`."""
    desired, name = desired_scaling(endpoint), endpoint.name
    bounds = AllowedBounds.of(endpoint, live.actions)
    if bounds is None:
        found = [Difference("ScalableTarget", str(live.target or NONE), NONE)] if is_managed(name, live) else []
    elif live.target is None:
        found = [Difference("ScalableTarget", NONE, str(desired.target))]
    else:
        policies = {key: policy.description for key, policy in live.policies.items()}
        alarms = {key: alarm.description for key, alarm in live.alarms.items()}
        found = [
            *diff(bounds.keep(live.target).document, live.target.document, "ScalableTarget"),
            *diff(desired.policies, policies, "ScalingPolicy"),
            *diff(desired.alarms, alarms, "Alarm"),
            *diff(
                {key: action.document for key, action in desired.actions.items()},
                {key: action.document for key, action in live.actions.items()},
                "ScheduledAction",
            ),
            *(
                Difference(f"{'Alarm' if each in alarms else 'ScalingPolicy'}.{each}", THERE, NONE)
                for each in extra(name, desired, live)
            ),
            *(Difference(f"ScheduledAction.{each}", THERE, NONE) for each in extra_actions(name, desired, live)),
        ]
        found = found or _alarms_without_policy(name, desired, live)
    return [difference.change("scaling") for difference in found]


def wake_differences(endpoint: Endpoint, live: ScalingState) -> list[Change]:
    """Those of the differences in scaling by which no request would wake an endpoint that has no instances."""
    desired, names = desired_scaling(endpoint), scaling_names(endpoint.name)
    found = scaling_differences(endpoint, live)
    if live.target is not None:
        found += [difference.change("scaling") for difference in _alarms_without_policy(endpoint.name, desired, live)]
    waking = {
        "ScalableTarget": ("", "SuspendedState.DynamicScalingOutSuspended"),
        "ScalingPolicy": (names.wake_policy,),
        "Alarm": (names.wake_alarm,),
    }
    return [
        change
        for change in dict.fromkeys(found)
        for head, _, rest in (change.path.partition("."),)
        if any(rest == place or (place and rest.startswith(f"{place}.")) for place in waking.get(head, ()))
    ]


def _alarms_without_policy(endpoint_name: str, desired: Scaling, live: ScalingState) -> list[Difference]:
    """Alarms that are as declared but do not start the wake policy: it was deleted and created again, with another ARN."""
    policy = live.policies.get(scaling_names(endpoint_name).wake_policy)
    arn = policy.arn if policy else NONE
    return [
        Difference(f"Alarm.{name}.AlarmActions", ", ".join(live.alarms[name].actions) or NONE, arn)
        for name in desired.alarms
        if name in live.alarms and arn not in live.alarms[name].actions
    ]


def alarm_differences(deployment: Deployment, live: dict[str, Alarm]) -> list[Change]:
    """What must be done to make the alarms `live` equal to those that `deployment` declares."""
    described = {name: comparable(alarm.description) for name, alarm in live.items()}
    desired = {name: comparable(request) for name, request in desired_alarms(deployment).items()}
    found = [
        *diff(desired, described, "Alarm"),
        *(Difference(f"Alarm.{name}", THERE, NONE) for name in sorted(described.keys() - desired.keys())),
    ]
    # A key such as `endpoint.alarms.topics` is about every alarm, and one change of the spec.
    return list({change.reason: change for change in (difference.change("alarms") for difference in found)}.values())


def is_managed(endpoint_name: str, live: ScalingState) -> bool:
    """Whether this program set up the scaling `live`: by the names, or a target that has no policy at all.

    A target that has only policies of other names was set up by somebody else.
    """
    policies = live.policies.keys()
    has_own = policies & set(scaling_names(endpoint_name)) or any(
        is_action(endpoint_name, name) for name in live.actions
    )
    return bool(live.alarms or has_own or (live.target and not policies))


def extra(endpoint_name: str, desired: Scaling, live: ScalingState) -> list[str]:
    """Names of the live policies and alarms that this program set up and that are not declared any more."""
    not_declared = (live.policies.keys() | live.alarms.keys()) - desired.policies.keys() - desired.alarms.keys()
    return [name for name in scaling_names(endpoint_name) if name in not_declared]


def extra_actions(endpoint_name: str, desired: Scaling, live: ScalingState) -> list[str]:
    """Names of the live scheduled actions that this program made and that are not declared any more."""
    not_declared = live.actions.keys() - desired.actions.keys() - desired.past_actions
    return sorted(name for name in not_declared if is_action(endpoint_name, name))


def diff(
    desired: object, live: object, path: str = "", *, ignored: frozenset[str] = frozenset()
) -> Iterator[Difference]:
    """The places where `live`, a description by AWS, differs from `desired`, a request.

    Keys that only `live` has are not compared, since services add defaults; those of an `Environment` are.

    Args:
        desired: the request, or a part of it.
        live: the same part of the description.
        path: where that part is.
        ignored: keys that are not compared.
    """
    if path.rpartition(".")[2] in _SECTIONS:
        desired, live = desired or {}, live or {}  # each part is told, with the key that it comes from
    if isinstance(desired, dict) and isinstance(live, dict):
        all_keys = path.endswith("Environment")
        only_live = sorted(key for key in live if key not in desired and (all_keys or key in _NONE_IF_LEFT_OUT))
        for key in (*desired, *only_live):
            if key not in ignored:
                inner = f"{path}.{key}" if path else key
                yield from diff(desired.get(key), live.get(key), inner, ignored=ignored)
    elif isinstance(desired, list) and isinstance(live, list) and len(desired) == len(live) and not _texts(desired):
        for number, (one, other) in enumerate(zip(desired, live, strict=True)):
            yield from diff(one, other, path if len(desired) == 1 else f"{path}[{number}]", ignored=ignored)
    elif desired != live and not (desired is False and live is None):  # services may leave out what is off
        yield Difference.between(path, live, desired)


def _shown(path: str, value: object) -> str:
    if value is None:
        return NONE
    if path.rpartition(".")[0] in {"ScalingPolicy", "Alarm", "ScheduledAction"}:
        return THERE
    if _holds_secret(path.rpartition(".")[2], value):
        return "(not shown)"
    if isinstance(value, list) and _texts(value):
        return ", ".join(value)
    # As a spec has them: `true`, and not Python's `True`.
    return json.dumps(value, default=str) if isinstance(value, (bool, list, dict)) else str(value)


def _texts(values: list[object]) -> bool:
    """Whether a list is one of names, which is a value as a whole."""
    return bool(values) and all(isinstance(value, str) for value in values)


def _holds_secret(name: str, value: object) -> bool:
    """Whether a value, whoever set it, looks like a secret by its name or its form."""
    if isinstance(value, dict):
        return any(_holds_secret(key, item) for key, item in value.items())
    if isinstance(value, list):
        return any(_holds_secret(name, item) for item in value)
    return isinstance(value, str) and bool(secret_names.confidence(name) or secret_values.kind_of(value))
