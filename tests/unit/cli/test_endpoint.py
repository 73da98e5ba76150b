"""What the flags of the tasks about an endpoint mean."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sagepack.api.project import Project
from sagepack.api.results import EndpointStatus
from sagepack.cli.endpoint import _field, status, target_of
from sagepack.errors import UserError
from tests.helpers.paths import ROOT


class Interrupted(Project):
    """The endpoint is looked at twice before Ctrl-C."""

    def watch_status(self, *, interval: float = 5.0) -> Iterator[EndpointStatus]:
        assert interval == 3
        yield EndpointStatus("first")
        yield EndpointStatus("second")
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("seed=7", 7),
        ("seed=", ""),
        ("question=What is 1=1?", "What is 1=1?"),
        ('question="7"', "7"),
        ("normalize=true", True),
        ("width=null", None),
        ('labels=["a", "b"]', ["a", "b"]),
    ],
)
def test_a_field_is_json_or_else_text(text: str, value: object) -> None:
    assert _field(text) == (text.partition("=")[0], value)


@pytest.mark.parametrize("text", ["seed", "=1", "a..b=1", ".a=1", ""])
def test_a_field_without_a_name_or_a_value_is_refused(text: str) -> None:
    with pytest.raises(UserError, match="is no field") as caught:
        _field(text)
    assert caught.value.fix == "write NAME=VALUE, such as seed=7, or parameters.seed=7 for one in an object"


def test_an_answer_replaces_neither_its_request_nor_a_file_of_the_project(tmp_path: Path) -> None:
    request, answer, spec = tmp_path / "request.json", tmp_path / "answer.json", tmp_path / "config" / "a.yaml"
    spec.parent.mkdir()
    for path in (request, answer, spec):
        path.touch()
    for output, what in ((request, "the request"), (spec, "a file of the project")):
        with pytest.raises(UserError, match=f"that is {what}, which the answer would replace"):
            target_of(str(output), str(request), tmp_path)
    for path in (answer, tmp_path / "config" / "new.json"):
        assert target_of(str(path), str(request), tmp_path) == path
        assert target_of(str(path), "-", tmp_path) == path
    assert target_of("", "", tmp_path) is None


def test_a_log_gets_one_look_after_another_until_the_interrupt(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt):
        status(Interrupted(ROOT), watch=True, interval=3)
    head, first, _, second_head, second, _ = capsys.readouterr().out.split("\n")[:6]
    assert head.endswith(" UTC, every 3 s until Ctrl-C")
    assert second_head.endswith(" UTC, every 3 s until Ctrl-C")
    assert (first, second) == ("there is no endpoint first", "there is no endpoint second")


def test_an_interval_needs_a_watch() -> None:
    with pytest.raises(UserError, match="time between two looks"):
        status(Project(ROOT), watch=False, interval=3)
