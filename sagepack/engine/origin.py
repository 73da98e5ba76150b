"""Who builds, and from what commit of the project: what the environment of the process and git say."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from sagepack.package.attest.provenance import LOCAL, Origin, ProjectCommit
from sagepack.spec import git

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_SERVER = re.compile(r"https://[A-Za-z0-9.-]+(?::[0-9]+)?")
_REPOSITORY = re.compile(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+")
_REF = r"refs/[!-~]+"
_WORKFLOW = re.compile(rf"{_REPOSITORY.pattern}/\.github/workflows/[!-?A-~]+@{_REF}")


def of(root: Path, environ: Mapping[str, str] = os.environ) -> Origin:
    """The origin of a package that this process builds.

    Args:
        root: folder of the project.
        environ: the variables that GitHub Actions sets in every job ("Store information in variables", default variables):
            GITHUB_ACTIONS, GITHUB_SERVER_URL, GITHUB_WORKFLOW_REF, GITHUB_REPOSITORY, GITHUB_REF.
    """
    server = environ.get("GITHUB_SERVER_URL", "")
    in_actions = environ.get("GITHUB_ACTIONS") == "true" and _SERVER.fullmatch(server) is not None
    workflow = environ.get("GITHUB_WORKFLOW_REF", "")
    builder = f"{server}/{workflow}" if in_actions and _WORKFLOW.fullmatch(workflow) else LOCAL
    head = git.head(root)
    if head is None:
        return Origin(builder)
    repository, ref = environ.get("GITHUB_REPOSITORY", ""), environ.get("GITHUB_REF", "")
    if in_actions and _REPOSITORY.fullmatch(repository) and re.fullmatch(_REF, ref):
        uri: str | None = f"git+{server}/{repository}@{ref}"
    else:
        uri = git.address(root)
    return Origin(builder, ProjectCommit(head.commit, head.clean, uri))
