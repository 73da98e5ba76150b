"""A check as a value."""

from __future__ import annotations

from typing import Literal

from sagepack.decoding import Value

Verdict = Literal["ok", "warning", "failed", "unknown"]


class Finding(Value, frozen=True):
    """What a check found.

    Attributes:
        verdict: `ok`; `warning`: it works and could be better, or may fail later; `failed`: a deployment cannot succeed;
            `unknown`: it could not be found out, which stops nothing.
        detail: the facts, one sentence.
        fix: what to do; None where there is nothing to do.
    """

    verdict: Verdict
    detail: str
    fix: str | None = None


STALE_UPLOADS = "stale-uploads"
"""The id of the check that finds unfinished uploads."""


class Check(Value, frozen=True):
    """A check that was made.

    Attributes:
        id: its name for programs, such as `aws-account`; it does not change.
        title: its name for people.
        verdict: `ok`; `warning`: it works and could be better, or may fail later; `failed`: a deployment cannot succeed;
            `unknown`: it could not be found out, which stops nothing.
        detail: the facts, one sentence.
        fix: what to do; null where there is nothing to do.
    """

    id: str
    title: str
    verdict: Verdict
    detail: str
    fix: str | None = None
