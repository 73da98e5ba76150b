"""What can go wrong, by who can mend it. The exit codes are the contract of the command line."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence


class SagepackError(Exception):
    """A failure a person reads: what happened, where, and what to do about it.

    Each attribute is one line: a line end within it is not this program's, and is shown escaped.

    Attributes:
        message: what happened, one sentence.
        where: the file, key, URI or ARN it happened at.
        fix: what the reader can do next.
        details: more lines, such as the end of a log.
    """

    exit_code = 1

    def __init__(
        self, message: str, *, where: str | None = None, fix: str | None = None, details: Sequence[str] = ()
    ) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.fix = fix
        self.details = tuple(details)

    def lines(self) -> list[str]:
        """The failure as people read it."""
        head = f"{self.where}: {self.message}" if self.where else self.message
        return [head, *(f"  {line}" for line in (*self.details, self.fix) if line)]

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def to_json(self) -> dict[str, Any]:
        """The `error` of `schemas/error.schema.json`."""
        return {
            "type": type(self).__name__,
            "exit_code": self.exit_code,
            "message": self.message,
            "where": self.where,
            "fix": self.fix,
            **({"details": list(self.details)} if self.details else {}),
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

    def lines(self) -> list[str]:
        """The problem as people read it."""
        head = f"{self.where}: {self.key}: {self.message}" if self.key else f"{self.where}: {self.message}"
        return [head, *([f"  {self.fix}"] if self.fix else [])]

    def __str__(self) -> str:
        return "\n".join(self.lines())


class SpecError(UserError):
    """Everything wrong with a spec, or with files that it names, at once."""

    def __init__(self, problems: list[Problem], of: str = "the spec") -> None:
        self.problems = problems
        super().__init__(f"{len(problems)} problem{'s' if len(problems) != 1 else ''} in {of}")

    def lines(self) -> list[str]:
        """How many, then each."""
        return [f"{self.message}:", *(f"  {line}" for problem in self.problems for line in problem.lines())]

    def to_json(self) -> dict[str, Any]:
        """The document of any error, with each problem."""
        return {**super().to_json(), "problems": [asdict(problem) for problem in self.problems]}
