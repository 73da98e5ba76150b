"""A project that reaches the sandbox as it would reach AWS and the Hub: its environment `cloud` is not the sandbox's own."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sagepack.api import connect
from sagepack.api.project import Project
from sagepack.aws.session import AwsConnection
from sagepack.deploy import waiter
from sagepack.engine.clients import Clients, Connections
from sagepack.sandbox.aws.invocations import ScriptedResult
from sagepack.spec.program import check
from tests.helpers.deployments import RecordedProgress
from tests.helpers.lending import lend
from tests.helpers.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    import pytest

    from sagepack.errors import Diagnostic
    from sagepack.sandbox.servers import Servers
    from sagepack.spec.code_tree import CodeFile

OVERLAY = """\
aws: {account: "123456789012", region: us-east-1, role: "arn:aws:iam::123456789012:role/sagepack-sandbox"}
artifact: {target: "s3://sagepack-sandbox/models"}
"""

_check = check.check
_found: dict[Hashable, list[Diagnostic]] = {}


def check_once(files: Sequence[CodeFile], root: Path, target: check.Target) -> list[Diagnostic]:
    """What the check of a program finds: it takes 30 ms, and most projects have the same code."""
    places = [os.path.relpath(file.source, root) if isinstance(file.source, Path) else None for file in files]
    code = (target, *((file.path, file.digest.value, place) for file, place in zip(files, places, strict=True)))
    if code not in _found:
        _found[code] = _check(files, root, target)
    return _found[code]


class Cloud:
    """The project, and the servers that stand for AWS and the Hub.

    Attributes:
        root: folder of the project.
        servers: the servers.
        hf_token: the token that its Hub client sends.
    """

    def __init__(self, root: Path, servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.servers, self.hf_token = root, servers, servers.hf_token
        for name in ("config", "inference_code"):
            shutil.copytree(ROOT / name, root / name)
        (root / "config" / "env" / "cloud.yaml").write_text(OVERLAY)
        monkeypatch.setenv("HF_HUB_CACHE", str(root / "cache"))
        # No serving stack runs the packages, whose handler makes frames of base64 JPEG.
        servers.aws.invocations.default = ScriptedResult(b'{"frames": ["/9j/", "/9j/", "/9j/", "/9j/"]}')
        # Nobody waits quarters of a minute for an endpoint that is there at once.
        monkeypatch.setattr(
            waiter.WaiterConfig, "of", lambda _spec: waiter.WaiterConfig(delay=0.02, timeout=60, outage=1)
        )
        monkeypatch.setattr(check, "check", check_once)
        self.connect(self.make_clients, monkeypatch)

    def connect(self, make_clients: Callable[..., Clients], monkeypatch: pytest.MonkeyPatch) -> None:
        """Let projects make their clients with this function."""
        monkeypatch.setattr(connect, "make_clients", make_clients)

    def make_clients(self, _root: Path, spec: Any, cache: Path, progress: Any) -> Clients:
        box = self.servers
        aws = AwsConnection(spec.aws.region, None, box.aws_url, box.access_key, box.secret_key)
        made = Clients(Connections(aws, box.hub_url, self.hf_token), spec.artifact, cache, progress.note)
        lend(made.aws)
        return made

    def project(self, *sets: str) -> Project:
        """The project with some settings; the logs of the servers and their faults are cleared."""
        self.servers.faults.clear()
        self.servers.aws.faults.clear()
        return Project(self.root, str(self.root / "config" / "svd.yaml"), "cloud", sets, RecordedProgress())

    @property
    def moved(self) -> list[str]:
        """The requests since then that read model files from the Hub, or wrote an object to S3."""
        files = [request.path for request in self.servers.faults.log if "/resolve/" in request.path]
        return files + [request.path for request in self.servers.aws.faults.log if request.method == "PUT"]
