"""The result of `graph`."""

from __future__ import annotations

from sagepack.api.results.base import Result
from sagepack.engine.plan import Action  # noqa: TC001 - msgspec reads the annotations

GRAPH_FORMATS = ("text", "mermaid", "svg")
"""How the steps of a plan are drawn."""


class Graph(Result, frozen=True):
    """The steps of a plan as a picture.

    Attributes:
        goal: the step that was asked for, or `package`.
        format: `text`, `mermaid` or `svg`.
        actions: every step of the goal, in the order they run, as `plan` has them.
        needs: each of them, and those that it needs.
        document: the picture; null for `text`, which is drawn for the screen that shows it.
        path: the file that it was written to; null if it was printed.
    """

    goal: str
    format: str
    actions: tuple[Action, ...]
    needs: dict[str, tuple[str, ...]]
    document: str | None = None
    path: str | None = None
