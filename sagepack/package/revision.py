"""One commit of a model repository: what a lock names, and what the Hub and its cache are asked for."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Revision:
    """A model repository at one commit; `str` shortens the commit, for messages.

    Attributes:
        repo: repository id, `owner/name`.
        commit: 40 hex digits.
    """

    repo: str
    commit: str

    def __str__(self) -> str:
        return f"{self.repo}@{self.commit[:12]}"
