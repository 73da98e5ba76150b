"""A model repository at one commit, as locks, the Hub's client and the cache name it."""

from __future__ import annotations

from sagepack.decoding import Value


class Revision(Value, frozen=True):
    """A model repository at one commit; `str` shortens the commit, for messages.

    Attributes:
        repo: repository id, `owner/name`.
        commit: 40 hex digits.
    """

    repo: str
    commit: str

    def __str__(self) -> str:
        return f"{self.repo}@{self.commit[:12]}"
