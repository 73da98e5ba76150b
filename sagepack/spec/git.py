"""The commit of a project's folder, where others find it, and whether git keeps a file; whoever works without git has none."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

from sagepack.decoding import Value

if TYPE_CHECKING:
    from pathlib import Path

_SECONDS = 10
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")  # by SHA-1, or by SHA-256 (git-init, --object-format)
# The two ways to name a repository on a server (git-clone, "Git URLs"): a URL, or `user@host:path` for ssh.
_URL = re.compile(
    r"(?P<scheme>https|ssh)://(?:[^@/]*@)?(?P<host>[A-Za-z0-9.-]+(?::[0-9]+)?)/(?P<path>[!-~]+?)(?:[?#][!-~]*)?"
)
_SSH = re.compile(r"(?:[^@/:]*@)?(?P<host>[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+):(?P<path>[!-.0-~][!-~]*)")


class Head(Value, frozen=True):
    """What is checked out.

    Attributes:
        commit: 40 hex digits, or 64 where git names objects by SHA-256.
        clean: whether the folder is as the commit has it; files that git ignores do not count.
    """

    commit: str
    clean: bool


def head(folder: Path) -> Head | None:
    """What is checked out in a folder; None if git does not say."""
    commit, changes = _git(folder, "rev-parse", "HEAD"), _git(folder, "status", "--porcelain", "--", ".")
    if commit is None or changes is None or not _COMMIT.fullmatch(commit):
        return None
    return Head(commit, not changes)


def address(folder: Path) -> str | None:
    """URI of the repository that a folder was cloned from, and of what is checked out, as `git+https://host/owner/name@refs/heads/main`.

    It contains no user name, password or token, nor a query, where a server may take one. None for a repository without a remote
    `origin` on a server: the path of a folder may name a user of this machine.
    """
    origin, ref = _git(folder, "remote", "get-url", "origin") or "", _git(folder, "symbolic-ref", "--quiet", "HEAD")
    at = f"@{ref}" if ref and ref.isascii() else ""
    if found := _URL.fullmatch(origin):
        return f"git+{found['scheme']}://{found['host']}/{found['path']}{at}"
    if found := _SSH.fullmatch(origin):
        return f"git+ssh://{found['host']}/{found['path']}{at}"
    return None


def tracks(file: Path) -> bool:
    """Whether git keeps a file: everybody who has the repository has it, and its history keeps what is removed."""
    return bool(_git(file.parent, "ls-files", "--", file.name))


def _git(folder: Path, *words: str) -> str | None:
    try:
        command = ["git", "--no-optional-locks", "-C", str(folder), *words]
        ran = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return ran.stdout.decode(errors="replace").strip() if ran.returncode == 0 else None
