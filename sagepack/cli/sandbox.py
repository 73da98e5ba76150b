"""The tasks about the sandbox."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from sagepack.api import connect
from sagepack.api.results import SandboxEnvironment, SandboxModel, SandboxStatus, SandboxStopped
from sagepack.cli.task import Flag, task
from sagepack.engine import lazy
from sagepack.engine.workspace import Workspace

if TYPE_CHECKING:
    from sagepack import sandbox
    from sagepack.api.project import Project
    from sagepack.sandbox import adding
else:
    adding = lazy.module("sandbox.adding")
    sandbox = lazy.module("sandbox")


@task(group="sandbox")
def status(project: Project) -> SandboxStatus:
    """Show whether the sandbox runs, and its addresses."""
    box = sandbox.status(project.root)
    if box is None:
        return SandboxStatus(running=False)
    return SandboxStatus(running=True, pid=box.pid, hub=box.hub_url, aws=box.aws_url, log=str(box.log))


@task(group="sandbox")
def stop(project: Project) -> SandboxStopped:
    """Stop the sandbox.

    Its objects and endpoints are lost.
    """
    return SandboxStopped(sandbox.stop(project.root))


@task(
    Flag("name", "", "owner/name: what model.id says", positional=True),
    Flag("folder", "", "the folder that holds the model's files", positional=True),
    group="sandbox",
    scope="project",
    example="acme/sst2 models/sst2",
)
def add(project: Project, *, name: str, folder: str) -> SandboxModel:
    """Put a model folder of this machine into its Hub.

    It becomes repository NAME there, and stays until `clean --all`. The sandbox is started if it does not run.
    """
    path = Path(folder).expanduser()
    adding.check(name, path)
    box = connect.running(project.root, project.progress)
    with project.progress.activity(f"sandbox: hashing {folder}"):
        commit = adding.add(box, name, path)
    return SandboxModel(name, commit, str(path.absolute()))


@task(group="sandbox")
def env(project: Project) -> SandboxEnvironment:
    """Print the environment for other programs to use it.

    The AWS CLI, boto3 and hf use the sandbox after `eval "$(invoke sandbox.env)"`. It is started if it does not run.
    """
    box = connect.running(project.root, project.progress)
    export = {
        "AWS_ENDPOINT_URL": box.aws_url,
        "AWS_ACCESS_KEY_ID": box.access_key,
        "AWS_SECRET_ACCESS_KEY": box.secret_key,
        "AWS_REGION": box.region,
        "AWS_DEFAULT_REGION": box.region,  # boto3 reads this one
        "HF_ENDPOINT": box.hub_url,
        "HF_TOKEN": box.hf_token,
        "HF_HUB_CACHE": str(Workspace(project.root, "", "").sandbox_hub_cache),
        **{name: connect.past_proxies(os.environ.get(name, "")) for name in ("NO_PROXY", "no_proxy")},
    }
    # With these the clients would send the user's own session or fail for want of a profile.
    return SandboxEnvironment(export, ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN"))
