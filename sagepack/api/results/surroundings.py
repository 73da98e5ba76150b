"""Results of the tasks about what is around a project: checks, policies, the sandbox."""

from __future__ import annotations

from typing import Any

from sagepack.api.results.base import FAILED, Result
from sagepack.api.results.removal import Upload  # noqa: TC001 - msgspec reads the annotations
from sagepack.deploy.preflight.check import Check  # noqa: TC001 - msgspec reads the annotations


class Doctor(Result, frozen=True):
    """Whether a deployment can work, and what needs attention.

    Attributes:
        checks: every check that was made.
        target: where packages are published.
        older_than_hours: how old an unfinished upload is to count.
        stale_uploads: the unfinished uploads.
    """

    checks: tuple[Check, ...]
    target: str
    older_than_hours: int
    stale_uploads: tuple[Upload, ...]

    @property
    def exit_code(self) -> int:
        """0: no check failed; 1: one did."""
        return FAILED if any(check.verdict == "failed" for check in self.checks) else 0


# Who needs a policy: the people and programs that plan, publish, work for a cluster, sign, deploy, send requests, remove garbage, or publish by a job in the region;
# the execution role, the role of that job, and who may assume them.
PURPOSES = (
    "plan",
    "publish",
    "worker",
    "sign",
    "deploy",
    "predict",
    "gc",
    "remote",
    "execution",
    "remote-execution",
    "trust",
)


class Policy(Result, frozen=True):
    """A policy for IAM.

    Attributes:
        purpose: what it allows: `plan`, `publish`, `worker` (of a cluster), `sign`, `deploy`, `predict`, `gc`, `remote`, `execution` (what the execution role may do),
            `remote-execution` (what the role of a job may do), or `trust` (who may assume those roles).
        document: the policy document.
    """

    purpose: str
    document: dict[str, Any]


class SandboxStatus(Result, frozen=True):
    """Whether the sandbox runs, and where.

    Attributes:
        running: whether it runs.
        pid: id of its process.
        hub: address of its Hub.
        aws: address of its AWS.
        log: its log file.
    """

    running: bool
    pid: int | None = None
    hub: str | None = None
    aws: str | None = None
    log: str | None = None


class ServingStack(Result, frozen=True):
    """The serving stack of the image is installed on this machine.

    Attributes:
        python: its interpreter.
    """

    python: str


class SandboxStopped(Result, frozen=True):
    """The sandbox does not run any more.

    Attributes:
        stopped: whether there was one to stop.
    """

    stopped: bool


class SandboxModel(Result, frozen=True):
    """A model of the user's own in the sandbox's Hub, also after a restart.

    Attributes:
        id: repository, for `model.id`.
        revision: commit, for `model.revision`: a function of the name and the content.
        folder: where its files are.
    """

    id: str
    revision: str
    folder: str


class SandboxEnvironment(Result, frozen=True):
    """Environment variables with which other programs reach the sandbox.

    Attributes:
        export: the variables to set.
        unset: the variables to remove.
    """

    export: dict[str, str]
    unset: tuple[str, ...]
