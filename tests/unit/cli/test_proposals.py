"""Commands that advice proposes are about the spec and environment that the command was about."""

from __future__ import annotations

import pytest

from sagepack.api.results import Cleaned, Destroyed, Left, ToDestroy
from sagepack.cli.proposals import as_typed, json_as_typed, selecting_flags

LEFT = (Left("packages", "s3://bucket/models/svd/", 1, 0.0, "`invoke gc` removes those that nobody needs"),)
FLAGS = ["--env", "prod"]


@pytest.fixture(autouse=True)
def _line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/bin/sagepack", "destroy", "--config=config/a.yaml"])


def test_the_flags_name_a_spec_only_if_the_command_did(monkeypatch: pytest.MonkeyPatch) -> None:
    assert selecting_flags("config/a.yaml", "prod") == ["--config", "config/a.yaml", "--env", "prod"]
    monkeypatch.setattr("sys.argv", ["/bin/sagepack", "destroy"])
    assert selecting_flags("config/a.yaml", "local") == []


def test_what_removes_what_stays_is_about_the_environment_that_was_left() -> None:
    for result in (Destroyed("svd", (), left=LEFT), ToDestroy("svd", (), (), LEFT, ())):
        (left,) = as_typed(result, FLAGS).left
        assert left.remove == "`sagepack gc --env prod` removes those that nobody needs"


def test_a_result_without_advice_stays_as_it_is() -> None:
    assert as_typed(Cleaned(("`invoke gc`",)), FLAGS) == Cleaned(("`invoke gc`",))


def test_every_text_of_an_error_is_advice() -> None:
    found = json_as_typed({"fix": "run `invoke deploy`", "details": ["`invoke logs --env a`"], "code": 1}, FLAGS)
    assert found == {"fix": "run `sagepack deploy --env prod`", "details": ["`sagepack logs --env a`"], "code": 1}
