"""Errors and diagnostics as users read them. The class of an error decides the exit code of the command line."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Self

# The way to a value of a spec: keys of maps, and positions in lists.
KeyPath = tuple[str | int, ...]
Severity = Literal["error", "warning"]
_LONGEST_STEP = 60  # characters of one key in a dotted path


class SagepackError(Exception):
    """A failure as a user reads it: what happened, where, and what to do about it.

    Each attribute is one line. A line break inside it comes from outside (a file, a service) and is printed escaped.

    Attributes:
        message: what happened, one sentence.
        where: the file, key, URI or ARN it happened at.
        fix: what the user can do next.
        details: more lines, such as the end of a log.
        failure: id of a known failure of AWS or of a container, an entry of `docs/failures.md`; None for any other.
    """

    exit_code = 1

    def __init__(
        self,
        message: str,
        *,
        where: str | None = None,
        fix: str | None = None,
        details: Sequence[str] = (),
        failure: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.fix = fix
        self.details = tuple(details)
        self.failure = failure

    def with_context(
        self, *, message: str | None = None, fix: str | None = None, details: Sequence[str] | None = None
    ) -> Self:
        """A copy of this error, of the same type, for a caller that knows more; what is not given stays as it is.

        Raise it `from` the original, so that `--debug` shows both tracebacks.
        """
        copy = type(self).__new__(type(self), *self.args)
        copy.__dict__.update(self.__dict__)
        if message is not None:
            copy.message, copy.args = message, (message,)
        if fix is not None:
            copy.fix = fix
        if details is not None:
            copy.details = tuple(details)
        return copy

    def lines(self) -> list[str]:
        """The lines to print: place and message first, then details and fix, indented."""
        head = f"{self.where}: {self.message}" if self.where else self.message
        return [head, *(f"  {line}" for line in (*self.details, self.fix) if line)]

    def __str__(self) -> str:
        return "\n".join(self.lines())

    @classmethod
    def public_type(cls) -> str:
        """The `type` of the JSON document: the name of the class, or of its nearest base that is not private."""
        return next(base.__name__ for base in cls.__mro__ if not base.__name__.startswith("_"))

    def to_json(self) -> dict[str, Any]:
        """The object `error` of `schemas/error.schema.json`."""
        return {
            "type": self.public_type(),
            "exit_code": self.exit_code,
            "message": self.message,
            "where": self.where,
            "fix": self.fix,
            **({"details": list(self.details)} if self.details else {}),
            **({"id": self.failure} if self.failure else {}),
        }


class UserError(SagepackError):
    """The user can fix it: spec, credentials, gated repository, quota, full disk. Exit code 1."""


class RemoteError(SagepackError):
    """A remote service failed after all retries, or an endpoint did not come into service. Exit code 3."""

    exit_code = 3


class IntegrityError(SagepackError):
    """Bytes differ from what the lock or the manifest records. Exit code 4."""

    exit_code = 4


@dataclass(frozen=True)
class Diagnostic:
    """One thing that is wrong with a spec or with a file that it names, like an error or a warning of a compiler.

    Attributes:
        path: the key it is about; empty where it is about no key.
        message: what is wrong, with the value and what is allowed.
        fix: what to do, where the message does not say it already.
        severity: a spec with errors is refused, one with warnings is used.
        location: `file:line:column`, `file:line` or `file`. A rule leaves it empty for a value of the spec; validation
            then fills in where that value was written.
    """

    path: KeyPath
    message: str
    fix: str | None = None
    severity: Severity = "error"
    location: str = ""

    @property
    def key(self) -> str:
        """The dotted path of the key, such as `endpoint.instance_type`; steps with unusual characters are quoted."""
        return ".".join(map(_quoted_if_unusual, self.path))

    def lines(self) -> list[str]:
        """The lines to print: location, key and message first, then the fix, indented."""
        key = "" if self.location == f"--set {self.key}" else self.key  # the location names it already
        head = ": ".join(part for part in (self.location, key, self.message) if part)
        return [head, *([f"  {self.fix}"] if self.fix else [])]

    def __str__(self) -> str:
        return "\n".join(self.lines())

    def to_json(self) -> dict[str, Any]:
        """An entry of `problems` in `schemas/error.schema.json`, and of the warnings of `validate --json`."""
        return {"where": self.location, "key": self.key, "message": self.message, "fix": self.fix}


def _quoted_if_unusual(step: str | int) -> str:
    """A step of a dotted path, as JSON if its dots or unprintable characters would mislead the reader; never long."""
    text = str(step)
    if text.isprintable() and "." not in text and len(text) <= _LONGEST_STEP:
        return text
    return json.dumps(text if len(text) <= _LONGEST_STEP else f"{text[:_LONGEST_STEP]}...")


class SpecError(UserError):
    """Everything that is wrong with a spec, or with the files that it names, in one error.

    Attributes:
        diagnostics: the errors, in the order of the files and their lines.
    """

    def __init__(self, diagnostics: Sequence[Diagnostic], subject: str = "the spec") -> None:
        self.diagnostics = tuple(diagnostics)
        count = len(self.diagnostics)
        super().__init__(f"{count} problem{'s' if count != 1 else ''} in {subject}")

    def lines(self) -> list[str]:
        """The lines to print: how many there are, then each diagnostic, indented."""
        return [f"{self.message}:", *(f"  {line}" for found in self.diagnostics for line in found.lines())]

    def to_json(self) -> dict[str, Any]:
        """The object `error` with all diagnostics as `problems`."""
        return {**super().to_json(), "problems": [found.to_json() for found in self.diagnostics]}
