"""How the services of an environment are reached. Imported when the first of them is needed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sagepack import sandbox
from sagepack.aws.session import AwsConnection
from sagepack.engine.clients import Connections

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sagepack.progress import Progress
    from sagepack.spec.model import Spec


def connections(root: Path, spec: Spec, progress: Progress) -> Connections:
    """How to reach the services of the spec's environment; starts the sandbox if that is it.

    Raises:
        UserError: the sandbox does not start.
    """
    if not spec.sandbox:
        return Connections(AwsConnection(spec.aws.region, spec.aws.profile))
    box = running(root, progress.note)
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = past_proxies(os.environ.get(name, ""))
    aws = AwsConnection(spec.aws.region, None, box.aws_url, box.access_key, box.secret_key)
    return Connections(aws, box.hub_url, box.hf_token)


def running(root: Path, tell: Callable[[str], None]) -> sandbox.Sandbox:
    """The sandbox of the project, started if it does not run, after telling so.

    Raises:
        UserError: it does not start.
    """
    if sandbox.status(root) is None:
        tell("sandbox: starting a Hub and AWS on this machine")
    return sandbox.ensure(root)


def past_proxies(known: str) -> str:
    """The value of NO_PROXY that also keeps requests to this machine from the user's proxy, whose loopback is another."""
    names = [name for name in known.split(",") if name]
    return ",".join([*names, *(name for name in ("127.0.0.1", "localhost") if name not in names)])
