"""The result of `report`."""

from __future__ import annotations

from sagepack.api.results.base import Result


class Reported(Result, frozen=True):
    """A page about a spec, or several.

    Attributes:
        path: the page.
        size: its bytes.
        specs: how many specs it is about, each in one environment.
        headline: what it says first.
        failure: why the last run of the one spec failed; null if it did not.
        unknown: what could not be found out, and why; a sentence each.
    """

    path: str
    size: int
    specs: int
    headline: str
    failure: str | None = None
    unknown: tuple[str, ...] = ()
