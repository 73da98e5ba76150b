"""Outages of AWS that last for twenty minutes of a clock, while a project is deployed to the sandbox."""

from __future__ import annotations

import dataclasses
import re
import threading
from typing import TYPE_CHECKING, Any, Literal

from sagepack.aws.session import Patience
from sagepack.deploy import waiter
from sagepack.deploy.preflight import questions
from sagepack.sandbox.faults import Fault
from tests.helpers.cloud import Cloud
from tests.helpers.deployments import session_of

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from sagepack.api.results import Built
    from sagepack.engine.clients import Clients
    from sagepack.sandbox.servers import Servers

OutageKind = Literal["drop", "status", "expired_login"]
KINDS: tuple[OutageKind, ...] = ("drop", "status", "expired_login")
LASTS = 1200.0  # seconds


class Outages(Cloud):
    """A project whose commands send each request once (botocore's own retries take seconds) and wait by a clock.

    Attributes:
        calls: how many calls to AWS the last deploy took.
    """

    def __init__(self, root: Path, servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(root, servers, monkeypatch)
        self.now, self.calls, self._lock = 0.0, 0, threading.Lock()
        config = waiter.WaiterConfig(delay=60, sleep=self._sleep, clock=lambda: self.now)
        monkeypatch.setattr(waiter.WaiterConfig, "of", lambda _spec: config)
        patience = dataclasses.replace(questions.PATIENCE, attempts=1)
        # First the module that may be imported here and now: it would take the changed value for its own.
        monkeypatch.setattr("sagepack.engine.preflight.PATIENCE", patience)
        monkeypatch.setattr(questions, "PATIENCE", patience)

    def make_clients(self, root: Path, spec: Any, cache: Path, progress: Any) -> Clients:
        made = super().make_clients(root, spec, cache, progress)
        made.aws = made.aws.with_patience(Patience(attempts=1))
        return made

    def _sleep(self, seconds: float) -> None:
        """An outage ends when it has lasted for long enough."""
        with self._lock:
            self.now += seconds
            if self.now >= LASTS:
                self.servers.aws.faults.clear()

    def deploy(self, kind: OutageKind | None = None, call: int = 0, *sets: str) -> tuple[Built, str]:
        """What comes of a deploy, and its notes, with an outage that begins with a call to AWS, counted from 0."""
        project, self.now = self.project(*sets), 0.0
        if kind:
            self.servers.aws.faults.add(Fault(kind, value=503, after=call))
        before = len(self.servers.aws.faults.log)
        built = project.deploy()
        self.calls = len(self.servers.aws.faults.log) - before
        self.servers.aws.faults.end()  # the outage of a call that was not needed this time
        return built, project.progress.text  # type: ignore[attr-defined]

    def state(self) -> dict[str, Any]:
        """What a deploy leaves in AWS."""
        aws = session_of(self.servers)
        sagemaker, scaling = aws.client("sagemaker"), aws.client("application-autoscaling")
        endpoint = sagemaker.describe_endpoint(EndpointName="svd")
        objects = aws.client("s3").list_objects_v2(Bucket=self.servers.bucket)["Contents"]
        keys = [each["Key"] for each in objects]
        listed = sagemaker.list_tags(ResourceArn=endpoint["EndpointArn"])["Tags"]
        tags = {tag["Key"]: tag["Value"] for tag in listed}
        return {
            "status": (endpoint["EndpointStatus"], endpoint["EndpointConfigName"]),
            "tags": {name: value for name, value in tags.items() if name != "sagepack:release"},
            "released": tags.get("sagepack:release", "").partition("/")[0],
            "configs": [each["EndpointConfigName"] for each in sagemaker.list_endpoint_configs()["EndpointConfigs"]],
            "models": [each["ModelName"] for each in sagemaker.list_models()["Models"]],
            "targets": len(scaling.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]),
            "policies": sorted(
                each["PolicyName"]
                for each in scaling.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
            ),
            # Requests and answers of the smoke test, and records, have names of their own each time.
            "objects": sorted(key for key in keys if not re.search("^async/|/deployments/|/releases/", key)),
            "records": (sum("/deployments/" in key for key in keys), sum("/releases/" in key for key in keys)),
        }
