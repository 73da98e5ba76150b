"""How the services of an environment are reached. Imported when the first of them is needed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sagepack import sandbox
from sagepack.remote.aws import AwsConnection
from sagepack.services import Connections

if TYPE_CHECKING:
    from pathlib import Path

    from sagepack.progress import Progress
    from sagepack.spec import Spec


def connections(root: Path, spec: Spec, progress: Progress) -> Connections:
    """How to reach the services of the spec's environment; starts the sandbox if that is it.

    Raises:
        UserError: the sandbox does not start.
    """
    if not spec.sandbox:
        return Connections(AwsConnection(spec.aws.region, spec.aws.profile))
    if sandbox.status(root) is None:
        progress.note("sandbox: starting a Hub and AWS on this machine")
    box = sandbox.ensure(root)
    _past_proxies()
    aws = AwsConnection(spec.aws.region, None, box.aws_url, box.access_key, box.secret_key)
    return Connections(aws, box.hub_url, box.hf_token)


def _past_proxies() -> None:
    """Keep requests to this machine from going through the user's proxy, whose loopback is another."""
    for name in ("NO_PROXY", "no_proxy"):
        known = os.environ.get(name, "")
        if "127.0.0.1" not in known.split(","):
            os.environ[name] = f"{known},127.0.0.1".lstrip(",")
