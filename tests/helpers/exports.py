"""Deployments for the tests of the export: one with nothing declared, one with everything, and what excludes one another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st
from msgspec import structs

from sagepack.spec.keys import build
from sagepack.spec.model import Alarms, AsyncInference, InstancePool, Scaling, Update, Vpc
from tests.helpers.deployments import deployment

if TYPE_CHECKING:
    from sagepack.deploy.deployment import Deployment

_LONGEST = 63  # characters of a name
_TOPIC = "arn:aws:sns:us-east-1:123456789012"
_SCALING = build(
    Scaling,
    {
        "min_capacity": 0,
        "max_capacity": 3,
        "schedule": [
            {"at": "cron(0 8 ? * MON-FRI *)", "timezone": "Europe/Berlin", "min_capacity": 1},
            {"at": "rate(2 days)", "min_capacity": 0, "max_capacity": 2},
        ],
    },
)
SETTINGS: dict[str, Any] = {
    "environment": {"MMS_MAX_RESPONSE_SIZE": "100000000", "GREETING": "${HOME} %{x} it's: yes"},
    "instance_type": "ml.p3.2xlarge",
    "volume_size_in_gb": 64,
    "inference_ami_version": "al2-ami-sagemaker-inference-gpu-3-1",
    "kms_key_id": "alias/volumes",
    "enable_network_isolation": True,
    "detailed_observability": True,
    "log_retention_in_days": 30,
    "vpc": Vpc(("subnet-01234567",), ("sg-01234567",)),
    "scaling": _SCALING,
    "alarms": Alarms(topics=(f"{_TOPIC}:alarms",)),
    "asynchronous": structs.replace(
        deployment().endpoint.asynchronous,
        success_topic=f"{_TOPIC}:done",
        error_topic=f"{_TOPIC}:failed",
        kms_key_id="alias/results",
    ),
    "update": build(
        Update,
        {"blue_green": {"traffic": "canary", "canary_size": "50%"}, "rollback_alarms": ["failures", "somebodys"]},
    ),
}
_TIMES = {"wait_interval_in_seconds": 120, "maximum_execution_timeout_in_seconds": 7200}
_POOLS = (InstancePool("ml.g6.2xlarge", 2), InstancePool("ml.g5.2xlarge", 1))
PLAIN = deployment()
FULL = deployment(**SETTINGS)
EVERYTHING = {
    "plain": PLAIN,
    "full": FULL,
    "prefix": deployment(**SETTINGS, layout="prefix"),
    "pools": deployment(
        instance_type=None,
        instance_pools=_POOLS,
        initial_instance_count=2,
        variant_instance_provision_timeout_in_seconds=600,
        scaling=_SCALING,
        update=build(Update, {"blue_green": {"traffic": "canary", "canary_size": "1"}}),
        tags={},
    ),
    "linear": deployment(
        initial_instance_count=4,
        model_data_download_timeout_in_seconds=1200,
        container_startup_health_check_timeout_in_seconds=600,
        asynchronous=AsyncInference("s3://others/results/", "s3://others/failures/", 4),
        update=build(Update, {"blue_green": {"traffic": "linear", "linear_step_size": "25%", **_TIMES}}),
        tags={"modelId": "declared"},  # which the construct of the CDK sets, too
    ),
    "rolling": deployment(
        initial_instance_count=4,
        update=build(Update, {"rolling": {"maximum_batch_size": "1", "rollback_maximum_batch_size": "50%", **_TIMES}}),
        scaling=Scaling(1, 4),
    ),
}

_SIZES = st.sampled_from(["1", "2", "10%", "50%"])
_SECONDS = st.integers(0, 3600)
_COUNTS = st.integers(0, 2), st.integers(2, 5)
# Also what a reader of YAML or Terraform could take for something else.
_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=9) | st.sampled_from(
    ["1e3", "y", "NO", "0o17", "12:30", "2026-01-01", "~", "${AWS::Region}", "%{if}", "<<"]
)
_KEYS = st.text("aZ_", min_size=1, max_size=3) | st.sampled_from(["y", "NO", "on"])
_TOPICS = st.sampled_from([f"{_TOPIC}:one", f"{_TOPIC}:two"])
_KEY_IDS = st.sampled_from(["alias/key", "arn:aws:kms:us-east-1:123456789012:key/0123"])
_WAITS = {"wait_interval_in_seconds": _SECONDS, "maximum_execution_timeout_in_seconds": st.integers(600, 28800)}


def _sections(section: type[Any], required: dict[str, Any], optional: dict[str, Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(required, optional=optional).map(lambda data: build(section, data))


_SCHEDULE = st.lists(
    st.fixed_dictionaries(
        {"at": st.sampled_from(["cron(0 8 ? * MON-FRI *)", "rate(2 days)", "at(2001-01-01T00:00:00)"])},
        optional={"timezone": st.just("Europe/Berlin"), "min_capacity": _COUNTS[0], "max_capacity": _COUNTS[1]},
    ),
    max_size=3,
)
_POLICIES = st.one_of(
    st.fixed_dictionaries(
        {"traffic": st.sampled_from(["all_at_once", "canary", "linear"])},
        optional={"canary_size": _SIZES, "linear_step_size": _SIZES, "termination_wait_in_seconds": _SECONDS, **_WAITS},
    ).map(lambda data: {"blue_green": data}),
    st.fixed_dictionaries(
        {}, optional={"maximum_batch_size": _SIZES, "rollback_maximum_batch_size": _SIZES, **_WAITS}
    ).map(lambda data: {"rolling": data}),
)
_ENDPOINTS = st.fixed_dictionaries(
    {},
    optional={
        "initial_instance_count": st.integers(1, 4),
        "model_data_download_timeout_in_seconds": st.integers(60, 3600),
        "container_startup_health_check_timeout_in_seconds": st.integers(60, 3600),
        "volume_size_in_gb": st.integers(1, 512),
        "inference_ami_version": st.just("al2-ami-sagemaker-inference-gpu-3-1"),
        "kms_key_id": _KEY_IDS,
        "enable_network_isolation": st.booleans(),
        "detailed_observability": st.booleans(),
        "log_retention_in_days": st.sampled_from([1, 30]),
        "vpc": _sections(
            Vpc, {"subnets": st.just(["subnet-1", "subnet-2"]), "security_group_ids": st.just(["sg-1"])}, {}
        ),
        "scaling": _sections(
            Scaling,
            {"min_capacity": _COUNTS[0], "max_capacity": _COUNTS[1]},
            {
                "target_backlog_per_instance": st.floats(0.5, 20.0),
                "scale_in_cooldown": _SECONDS,
                "scale_out_cooldown": _SECONDS,
                "schedule": _SCHEDULE,
            },
        ),
        "alarms": _sections(
            Alarms,
            {},
            {
                "topics": st.lists(_TOPICS, unique=True),
                "period": st.sampled_from([60, 300]),
                "no_capacity": st.sampled_from([0, 600]),
                **dict.fromkeys(
                    ("failures", "expired_requests", "age_of_oldest_request", "backlog"), st.integers(0, 9)
                ),
            },
        ),
        "update": st.builds(
            lambda policy, alarms: build(Update, {**policy, "rollback_alarms": alarms}),
            _POLICIES,
            st.lists(st.sampled_from(["failures", "backlog", "somebodys"]), unique=True),
        ),
        "asynchronous": _sections(
            AsyncInference,
            {"s3_output_path": st.just("s3://bucket/out/"), "s3_failure_path": st.just("s3://bucket/failures/")},
            {
                "max_concurrent_invocations_per_instance": st.integers(1, 9),
                "success_topic": _TOPICS,
                "error_topic": _TOPICS,
                "kms_key_id": _KEY_IDS,
            },
        ),
        "tags": st.dictionaries(_KEYS, _TEXTS, max_size=3),
        "layout": st.sampled_from(["archive", "prefix"]),
        "environment": st.dictionaries(_KEYS, _TEXTS, max_size=3),
    },
)


@st.composite
def deployments(draw: st.DrawFn) -> Deployment:
    """What a spec can say of an endpoint, in any combination."""
    settings = draw(_ENDPOINTS)
    if draw(st.booleans()):
        timeout = {"variant_instance_provision_timeout_in_seconds": draw(st.integers(300, 3600))}
        settings |= {"instance_type": None, "instance_pools": _POOLS, **timeout}
    alarms = settings.get("alarms")
    if update := settings.get("update"):
        # A spec names only alarms that it declares.
        known = [name for name in update.rollback_alarms if name == "somebodys" or (alarms and getattr(alarms, name))]
        settings["update"] = structs.replace(update, rollback_alarms=tuple(known))
    name = "n" * draw(st.integers(1, _LONGEST))
    return deployment(name, **settings)
