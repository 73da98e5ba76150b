"""Who builds, and from what commit of the project: what the environment of the process and git say."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from sagepack.decoding import Value
from sagepack.package.attest.provenance import LOCAL, Origin, ProjectCommit
from sagepack.spec import git

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_SERVER = re.compile(r"https://[A-Za-z0-9.-]+(?::[0-9]+)?")
_REPOSITORY = re.compile(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+")
_REF = re.compile(r"refs/[!-~]+")
_WORKFLOW = re.compile(rf"{_REPOSITORY.pattern}/\.github/workflows/[!-?A-~]+@{_REF.pattern}")
_GITLAB_PROJECT = re.compile(r"[A-Za-z0-9_.-]+(?:/[A-Za-z0-9_.-]+)+")


class _Job(Value, frozen=True):
    """What a CI says of its job; None for what it does not say, or not as it does.

    Attributes:
        builder: URI of what runs the job.
        source: URI of the repository and of what is checked out.
    """

    builder: str | None = None
    source: str | None = None


def of(root: Path, environ: Mapping[str, str] = os.environ) -> Origin:
    """The origin of a package that this process builds.

    Args:
        root: folder of the project.
        environ: the variables that GitHub Actions and GitLab set in every job.
    """
    job = _github(environ) or _gitlab(environ) or _Job()
    builder, head = job.builder or LOCAL, git.head(root)
    if head is None:
        return Origin(builder)
    return Origin(builder, ProjectCommit(head.commit, head.clean, job.source or git.address(root)))


def _github(environ: Mapping[str, str]) -> _Job | None:
    """A job of GitHub Actions, by the default variables ("Store information in variables"); None if this is none."""
    server = environ.get("GITHUB_SERVER_URL", "")
    if environ.get("GITHUB_ACTIONS") != "true" or not _SERVER.fullmatch(server):
        return None
    workflow = environ.get("GITHUB_WORKFLOW_REF", "")
    repository, ref = environ.get("GITHUB_REPOSITORY", ""), environ.get("GITHUB_REF", "")
    return _Job(
        builder=f"{server}/{workflow}" if _WORKFLOW.fullmatch(workflow) else None,
        source=f"git+{server}/{repository}@{ref}"
        if _REPOSITORY.fullmatch(repository) and _REF.fullmatch(ref)
        else None,
    )


def _gitlab(environ: Mapping[str, str]) -> _Job | None:
    """A job of GitLab, by its predefined variables; None if this is none. The runner is named as in GitLab's own provenance."""
    server, project = environ.get("CI_SERVER_URL", ""), environ.get("CI_PROJECT_PATH", "")
    if environ.get("GITLAB_CI") != "true" or not _SERVER.fullmatch(server) or not _GITLAB_PROJECT.fullmatch(project):
        return None
    runner, ref = environ.get("CI_RUNNER_ID", ""), _gitlab_ref(environ)
    return _Job(
        builder=f"{server}/{project}/-/runners/{runner}" if re.fullmatch("[0-9]+", runner) else None,
        source=f"git+{server}/{project}@{ref}" if _REF.fullmatch(ref) else None,
    )


def _gitlab_ref(environ: Mapping[str, str]) -> str:
    """What a job has checked out: a merge request, a tag or a branch."""
    if request := environ.get("CI_MERGE_REQUEST_REF_PATH"):
        return request
    tag, branch = environ.get("CI_COMMIT_TAG"), environ.get("CI_COMMIT_BRANCH", "")
    return f"refs/tags/{tag}" if tag else f"refs/heads/{branch}"
