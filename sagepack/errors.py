"""What can go wrong, by who can mend it. The exit codes are the contract of the command line."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


class SagepackError(Exception):
    """A failure a person reads: what happened, where, and what to do about it.

    Attributes:
        message: what happened, one sentence.
        where: the file, key, URI or ARN it happened at.
        fix: what the reader can do next.
    """

    exit_code = 1

    def __init__(self, message: str, *, where: str | None = None, fix: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.fix = fix

    def __str__(self) -> str:
        head = f"{self.where}: {self.message}" if self.where else self.message
        return f"{head}\n  {self.fix}" if self.fix else head

    def to_json(self) -> dict[str, Any]:
        """The `error` of `schemas/error.schema.json`."""
        return {
            "type": type(self).__name__,
            "exit_code": self.exit_code,
            "message": self.message,
            "where": self.where,
            "fix": self.fix,
        }


class UserError(SagepackError):
    """The user can fix it: spec, credentials, gate, quota, disk. Exit code 1."""


class RemoteError(SagepackError):
    """A remote service failed after retries, or an endpoint did not come up. Exit code 3."""

    exit_code = 3


class IntegrityError(SagepackError):
    """Bytes are not what the lock or the manifest says. Exit code 4."""

    exit_code = 4


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a spec or a file that it names, at a place a person can go to.

    Attributes:
        where: `file:line:column` of the value, or `file:line`.
        key: dotted path of the key, such as `endpoint.instance_type`; empty where it is about no key.
        message: what is wrong, with the value and what is allowed.
        fix: what to do, if it is not plain from the message.
    """

    where: str
    key: str
    message: str
    fix: str | None = None

    def __str__(self) -> str:
        head = f"{self.where}: {self.key}: {self.message}" if self.key else f"{self.where}: {self.message}"
        return f"{head}\n    {self.fix}" if self.fix else head


class SpecError(UserError):
    """Everything wrong with a spec, or with files that it names, at once."""

    def __init__(self, problems: list[Problem], of: str = "the spec") -> None:
        self.problems = problems
        count = len(problems)
        lines = "\n  ".join(str(problem) for problem in problems)
        super().__init__(f"{count} problem{'s' if count != 1 else ''} in {of}:\n  {lines}")

    def to_json(self) -> dict[str, Any]:
        """The document of any error, with each problem."""
        return {**super().to_json(), "problems": [asdict(problem) for problem in self.problems]}
