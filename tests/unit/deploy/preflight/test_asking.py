from __future__ import annotations

import threading

import pytest

from sagepack.aws.session import AccessDeniedError, CredentialsError
from sagepack.deploy.preflight.asking import Question, answer_all
from sagepack.deploy.preflight.check import Check, Finding
from sagepack.errors import RemoteError, SagepackError, UserError


def denied() -> AccessDeniedError:
    error = AccessDeniedError("looking for the role failed: AccessDenied: no", fix="allow the caller iam:GetRole")
    error.actions = ("iam:GetRole",)
    return error


@pytest.mark.parametrize(
    ("error", "verdict", "words"),
    [
        (denied(), "unknown", "the caller lacks iam:GetRole"),
        (CredentialsError("none"), "unknown", "no usable AWS credentials"),
        (RemoteError("no answer"), "unknown", "not found out: no answer"),
        (
            UserError("there is no such bucket", where="s3://b", fix="make it"),
            "failed",
            "s3://b: there is no such bucket",
        ),
        (SagepackError("a mistake"), "unknown", "a mistake"),
        (OSError("the disk"), "unknown", "the disk"),
        (ZeroDivisionError("x\ny"), "unknown", "unexpected ZeroDivisionError: x\\ny"),
    ],
)
def test_an_error_within_a_check_is_its_verdict(error: Exception, verdict: str, words: str) -> None:
    def ask() -> Finding:
        raise error

    found = Question("role", "execution role", ask).answer()
    assert (found.id, found.title, found.verdict) == ("role", "execution role", verdict)
    assert words in found.detail


def test_checks_are_made_at_the_same_time_and_told_in_the_order_of_the_questions() -> None:
    together = threading.Barrier(5, timeout=20)  # only all of them at once get past it

    def ask(number: int) -> Finding:
        together.wait()
        return Finding("ok", str(number))

    questions = [Question(f"q{number}", "", lambda number=number: ask(number)) for number in range(5)]  # type: ignore[misc]
    assert [found.detail for found in answer_all(questions)] == ["0", "1", "2", "3", "4"]


def test_no_questions_need_no_threads() -> None:
    assert answer_all([]) == ()


def test_a_finding_keeps_its_fix() -> None:
    question = Question("disk", "disk", lambda: Finding("warning", "full", "free some"))
    assert question.answer() == Check("disk", "disk", "warning", "full", "free some")
