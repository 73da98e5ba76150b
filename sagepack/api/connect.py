"""How the services of an environment are reached: those of AWS and Hugging Face, or the sandbox."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from sagepack.engine import lazy
from sagepack.hub.address import KEY, SANDBOX, VARIABLE

if TYPE_CHECKING:
    from pathlib import Path

    from sagepack import sandbox
    from sagepack.aws import session
    from sagepack.engine import clients
    from sagepack.progress import Progress
    from sagepack.serving import model_server
    from sagepack.spec.model import Spec
else:
    clients = lazy.module("engine.clients")
    sandbox = lazy.module("sandbox")
    model_server = lazy.module("serving.model_server")
    session = lazy.module("aws.session")

_starting = threading.Lock()  # several threads, or jobs of a fleet, may be the first that need the sandbox


def make_clients(root: Path, spec: Spec, hub_cache: Path, progress: Progress) -> clients.Clients:
    """Clients of the services of the spec's environment; starts the sandbox if that is it.

    Raises:
        UserError: the sandbox does not start.
    """
    if spec.sandbox:
        box = running(root, progress)
        for name in ("NO_PROXY", "no_proxy"):
            os.environ[name] = past_proxies(os.environ.get(name, ""))
        aws = session.AwsConnection(spec.aws.region, None, box.aws_url, box.access_key, box.secret_key)
        connections = clients.Connections(aws, box.hub_url, box.hf_token, SANDBOX)
    else:
        aws = session.AwsConnection(spec.aws.region, spec.aws.profile)
        source = KEY if spec.hub_endpoint else VARIABLE
        connections = clients.Connections(aws, spec.hub_endpoint, hub_source=source)
    return clients.Clients(connections, spec.artifact, hub_cache, progress.note)


def why_no_answers(root: Path, spec: Spec, progress: Progress) -> str | None:
    """Why no endpoint of the spec's environment can answer a request: in the sandbox the serving stack may be missing."""
    reason = sandbox.unanswerable(running(root, progress)) if spec.sandbox else None
    if reason is None or model_server.problem(root) is not None:
        return reason
    # It keeps the SAGEPACK_SERVE_PYTHON and the PATH of the command that started it.
    return "the sandbox was started without a serving stack, and this command has one: `sagepack sandbox.stop`, then deploy again"


def running(root: Path, progress: Progress) -> sandbox.Sandbox:
    """The sandbox of the project; if it does not run it is started, which takes some seconds.

    Raises:
        UserError: it does not start.
    """
    with _starting:
        if sandbox.status(root) is not None:
            return sandbox.ensure(root)
        again = sandbox.folder(root).exists()
        with progress.activity("starting the sandbox: a Hub and AWS on this machine"):
            box = sandbox.ensure(root)
        if again:
            progress.note("the sandbox starts empty: it forgot the objects and endpoints that it had before it ended")
        return box


def past_proxies(known: str) -> str:
    """The value of NO_PROXY that also keeps requests to this machine from the user's proxy, whose loopback is another."""
    names = [name for name in known.split(",") if name]
    return ",".join([*names, *(name for name in ("127.0.0.1", "localhost") if name not in names)])
