"""Checks that are to be made, and how they are made at the same time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagepack.aws.session import AccessDeniedError, CredentialsError
from sagepack.decoding import Value
from sagepack.deploy.preflight.check import Check, Finding
from sagepack.errors import RemoteError, SagepackError, UserError
from sagepack.text import printable
from sagepack.workers import worker_pool

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Question(Value, frozen=True):
    """A check that is to be made.

    Attributes:
        id, title: as in `Check`.
        ask: finds out; it may raise the errors of this program.
    """

    id: str
    title: str
    ask: Callable[[], Finding]

    def answer(self) -> Check:
        """Make the check. An error is a verdict; no exception leaves it but those that end the program."""
        try:
            found = self.ask()
        except Exception as error:  # noqa: BLE001 - a check that fails must not hide the others
            found = _finding_of(error)
        return Check(self.id, self.title, found.verdict, found.detail, found.fix)


def answer_all(questions: Sequence[Question]) -> tuple[Check, ...]:
    """Make all checks at the same time, so that they take as long as the longest one; in the order of the questions."""
    if not questions:
        return ()
    with worker_pool(len(questions), "preflight") as pool:
        return tuple(pool.map(Question.answer, questions))


def _finding_of(error: Exception) -> Finding:
    """The finding for a question that raised an error."""
    if isinstance(error, AccessDeniedError):
        actions = " and ".join(error.actions) or "a permission"
        return Finding("unknown", f"not looked at: the caller lacks {actions}", error.fix)
    if isinstance(error, CredentialsError):
        return Finding("unknown", "not looked at: there are no usable AWS credentials")
    if isinstance(error, RemoteError):
        return Finding("unknown", f"not found out: {error.message}", error.fix)
    if isinstance(error, UserError):
        where = f"{error.where}: " if error.where else ""
        return Finding("failed", f"{where}{error.message}", error.fix)
    if isinstance(error, SagepackError | OSError):
        return Finding("unknown", f"not found out: {error}")
    return Finding("unknown", printable(f"not found out: unexpected {type(error).__name__}: {error}"))
