"""Deployments for the tests of the export: one with nothing declared, one with everything, and what excludes one another."""

from __future__ import annotations

from typing import Any

from msgspec import structs

from sagepack.spec.keys import build
from sagepack.spec.model import Alarms, InstancePool, Scaling, Update, Vpc
from tests.helpers.deployments import deployment

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
_POOLS = (InstancePool("ml.g6.2xlarge", 2), InstancePool("ml.g5.2xlarge", 1))
PLAIN = deployment()
FULL = deployment(**SETTINGS)
EVERYTHING = {
    "plain": PLAIN,
    "full": FULL,
    "prefix": deployment(**SETTINGS, layout="prefix"),
    "pools": deployment(
        instance_type=None, instance_pools=_POOLS, variant_instance_provision_timeout_in_seconds=600, scaling=_SCALING
    ),
    "rolling": deployment(
        initial_instance_count=4,
        update=build(Update, {"rolling": {"maximum_batch_size": "1", "rollback_maximum_batch_size": "50%"}}),
        scaling=Scaling(1, 4),
    ),
}
