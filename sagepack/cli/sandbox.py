"""The tasks about the sandbox."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

from sagepack.cli import connect
from sagepack.cli.output import echo, result
from sagepack.cli.task import task
from sagepack.engine import lazy
from sagepack.engine.workspace import Workspace

if TYPE_CHECKING:
    from sagepack import sandbox
    from sagepack.cli.options import Options
else:
    sandbox = lazy.module("sandbox")


@task(group="sandbox")
def status(options: Options) -> int:
    """Show whether the sandbox runs, and its addresses."""
    box = sandbox.status(options.root)
    if box is None:
        result(options, "the sandbox does not run", {"running": False})
        return 0
    places = [f"  Hub  {box.hub_url}", f"  AWS  {box.aws_url}", f"  log  {box.log}"]
    result(
        options,
        [f"the sandbox runs as process {box.pid}", *places],
        {"running": True, "pid": box.pid, "hub": box.hub_url, "aws": box.aws_url},
    )
    return 0


@task(group="sandbox")
def stop(options: Options) -> int:
    """Stop the sandbox; its objects and endpoints are lost."""
    stopped = sandbox.stop(options.root)
    result(options, "the sandbox has ended" if stopped else "the sandbox did not run", {"stopped": stopped})
    return 0


@task(group="sandbox")
def env(options: Options) -> int:
    """Print what the AWS CLI, boto3 or hf need to use the sandbox: eval "$(invoke sandbox.env)"; starts it."""
    box = connect.running(options.root, echo)
    export = {
        "AWS_ENDPOINT_URL": box.aws_url,
        "AWS_ACCESS_KEY_ID": box.access_key,
        "AWS_SECRET_ACCESS_KEY": box.secret_key,
        "AWS_REGION": box.region,
        "AWS_DEFAULT_REGION": box.region,  # boto3 reads this one
        "HF_ENDPOINT": box.hub_url,
        "HF_TOKEN": box.hf_token,
        "HF_HUB_CACHE": str(Workspace(options.root, "", options.env).sandbox_hub_cache),
        **{name: connect.past_proxies(os.environ.get(name, "")) for name in ("NO_PROXY", "no_proxy")},
    }
    # With these the clients would send the user's own session or fail for want of a profile.
    unset = ["AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"]
    lines = [f"unset {' '.join(unset)}", *(f"export {name}={shlex.quote(value)}" for name, value in export.items())]
    result(options, lines, {"export": export, "unset": unset})
    return 0
