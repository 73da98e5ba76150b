"""What `serve` refuses before anything is read, and what it shows while it goes on."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sagepack.api.project import Project
from sagepack.api.results import Edit, Followed, Served
from sagepack.api.session import Selection
from sagepack.cli.serving import serve
from sagepack.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

NOTHING: dict[str, Any] = {"package": "", "source": "", "output": "", "fields": (), "accept": ""}
NEITHER: dict[str, Any] = {"watch": False, "keep": False, "image": False}


@pytest.mark.parametrize(
    ("flags", "where"),
    [
        ({"watch": True, "package": "1"}, "--watch with --package"),
        ({"watch": True, "image": True}, "--watch with --image"),
        ({"output": "-"}, "--output -"),
        ({"fields": ("seed",)}, "--field"),
    ],
)
def test_flags_that_contradict_each_other_are_refused(tmp_path: Path, flags: dict[str, Any], where: str) -> None:
    with pytest.raises(UserError) as caught:
        serve(Project(tmp_path), **{**NOTHING, **NEITHER, **flags})
    assert caught.value.where == where


class Going:
    """A package that runs, and its project."""

    root = Path()

    url, error = "http://127.0.0.1:20000", ""
    selection = Selection(Path(), "config/llava.yaml", "prod")

    @contextmanager
    def serving(self, *_: object, **__: object) -> Iterator[Going]:
        yield self

    watching = serving

    def try_it(self, _: object) -> Served:
        if self.error:
            raise UserError(self.error)
        return Served("inference_code/svd", "python", 2.0, 3.0, untried="the spec has no sample")

    def curl(self) -> str:
        return "curl it"

    def follow(self) -> Iterator[str]:
        yield from ("a line", "another")

    def edits(self) -> Iterator[Edit]:
        yield Edit(("inference.py",), "the model was kept", 0.1)


def test_a_kept_server_says_how_it_is_asked_and_then_what_it_writes(capsys: pytest.CaptureFixture[str]) -> None:
    project: Any = Going()
    assert serve(project, **{**NOTHING, **NEITHER, "keep": True}) == Followed(2)
    out = capsys.readouterr().out
    assert out.index("started, which proves nothing") < out.index("  curl it\n") < out.index("a line\nanother\n")
    assert "  invoke predict --env prod --url http://127.0.0.1:20000\n" in out


def test_code_that_is_wrong_at_first_is_told_and_its_edits_are_waited_for(capsys: pytest.CaptureFixture[str]) -> None:
    project: Any = Going()
    project.error = "no such model"
    assert serve(project, **{**NOTHING, **NEITHER, "watch": True}) == Followed(1)
    told = capsys.readouterr()
    assert "error: no such model" in told.err
    assert "inference.py: served after 100 ms, the model was kept" in told.out
