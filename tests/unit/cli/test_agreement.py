"""A person is asked about a plan, and the time of that is told apart from the work."""

from __future__ import annotations

import io
from typing import cast

import pytest

from sagepack.api import events, results
from sagepack.api.recording import Recorder
from sagepack.api.review import ReviewedPlan
from sagepack.cli.agreement import agreed_plan
from sagepack.engine.plan import Action
from sagepack.errors import UserError
from sagepack.progress import Silent


class Reviewed:
    """A plan that somebody looked at."""

    settings = {"env": "prod"}  # noqa: RUF012 - it is not changed

    def __init__(self, status: str) -> None:
        self.plan = results.Plan("deploy", (Action("deploy", status, ("1 change",)),))  # type: ignore[arg-type]


@pytest.mark.parametrize(("typed", "status", "asked"), [("y\n", "run", 1), ("n\n", "run", 1), ("", "skip", 0)])
def test_the_time_in_which_a_person_thinks_is_an_activity(
    typed: str, status: str, asked: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = io.StringIO(typed)
    monkeypatch.setattr(person, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", person)
    told = list[events.Event]()
    reviewed = cast("ReviewedPlan", Reviewed(status))
    if typed == "n\n":
        with pytest.raises(UserError, match="nothing was changed"):
            agreed_plan(reviewed, Recorder(Silent(), told.append))
    else:
        assert agreed_plan(reviewed, Recorder(Silent(), told.append)) is reviewed
    labels = [event.label for event in told if isinstance(event, events.ActivityBegun | events.ActivityEnded)]
    assert labels == ["waiting for the answer of a person"] * 2 * asked
