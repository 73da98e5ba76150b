from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING

import pytest

from sagepack.deploy import waiter
from sagepack.errors import UserError
from sagepack.sandbox.aws.invocations import ScriptedResult
from tests.helpers.cloud import Cloud

if TYPE_CHECKING:
    from pathlib import Path

    from sagepack.api.project import Project
    from sagepack.sandbox.servers import Servers


@pytest.fixture
def project(tmp_path: Path, sandbox: Servers, monkeypatch: pytest.MonkeyPatch) -> Project:
    deployed = Cloud(tmp_path, sandbox, monkeypatch).project()
    deployed.deploy(smoke=False)
    return deployed


def lines(folder: Path, count: int) -> Path:
    path = folder / "requests.jsonl"
    path.write_text("".join(f'{{"inputs": "{number}"}}\n\n' for number in range(count)))
    return path


def test_each_line_is_answered_once_and_a_second_run_sends_only_what_is_new(
    project: Project, sandbox: Servers, tmp_path: Path
) -> None:
    sandbox.aws.invocations.script(ScriptedResult(b'"done"'))
    batch = lines(tmp_path, 18)
    result = project.predict_all(batch)
    assert (result.requests, result.answered, result.before, result.failed, result.exit_code) == (18, 18, 0, (), 0)
    saved = list((tmp_path / "build" / "answers" / "svd-cloud" / "batches" / "requests").glob("*/answer.json"))
    assert len(saved) == 18
    assert {path.read_bytes() for path in saved} == {b'"done"'}
    assert sorted(int(json.loads(body)["inputs"]) for _, body in sandbox.aws.invocations.received) == list(range(18))

    lines(tmp_path, 19)
    again = project.predict_all(batch)
    assert (again.requests, again.answered, again.before) == (19, 1, 18)
    assert len(sandbox.aws.invocations.received) == 19


def test_a_failed_request_of_a_folder_stops_no_other_and_is_sent_again_the_next_time(
    project: Project, sandbox: Servers, tmp_path: Path
) -> None:
    folder = tmp_path / "requests"
    folder.mkdir()
    for name in ("a.json", "b.v2.json", ".hidden"):
        (folder / name).write_text(json.dumps({"inputs": name}))
    sandbox.aws.invocations.script(ScriptedResult(b'{"code": 400, "message": "too small"}', status=400, times=1))
    sandbox.aws.invocations.script(ScriptedResult(b"a film"))
    result = project.predict_all(folder, tmp_path / "out", accept="video/mp4")
    assert (result.requests, result.answered, result.exit_code) == (2, 1, 1)
    (failed,) = result.failed
    assert failed.message == "the endpoint refused the request (400): too small"
    assert project.predict_all(folder, tmp_path / "out", accept="video/mp4").before == 1
    assert sorted(path.name.rpartition("-")[0] for path in (tmp_path / "out").iterdir()) == ["a", "b_v2"]
    assert len(sandbox.aws.invocations.received) == 3


def test_two_files_with_the_same_content_get_an_answer_each(project: Project, sandbox: Servers, tmp_path: Path) -> None:
    sandbox.aws.invocations.script(ScriptedResult(b'"done"'))
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name in ("a.jpg", "a.jpeg"):
        (folder / name).write_bytes(b"\xff\xd8the same picture")
    result = project.predict_all(folder, tmp_path / "out")
    assert (result.answered, result.failed, len(list((tmp_path / "out").iterdir()))) == (2, (), 2)


def test_each_picture_of_a_folder_takes_the_place_of_the_one_in_the_sample(
    project: Project, sandbox: Servers, tmp_path: Path
) -> None:
    sandbox.aws.invocations.script(ScriptedResult(b"GIF89a"))
    folder = tmp_path / "pictures"
    folder.mkdir()
    pictures = [b"\x89PNG\r\n\x1a\n" + name for name in (b"a", b"b")]
    for number, picture in enumerate(pictures):
        (folder / f"{number}.png").write_bytes(picture)
    result = project.predict_all(folder, tmp_path / "out", accept="image/gif", fields={"seed": 1})
    assert (result.answered, result.failed) == (2, ())
    sent = [json.loads(body) for _, body in sandbox.aws.invocations.received]
    assert sorted(base64.b64decode(each["inputs"]) for each in sent) == pictures
    assert {(each["seed"], "num_frames" in each) for each in sent} == {(1, False)}  # the handler has a default for it
    assert {path.name for path in (tmp_path / "out").glob("*/*")} == {"answer.gif"}
    with pytest.raises(UserError, match="each line is a whole request"):
        project.predict_all(lines(tmp_path, 1), fields={"seed": 1})


def test_nothing_is_sent_if_one_request_is_wrong(project: Project, sandbox: Servers, tmp_path: Path) -> None:
    path = tmp_path / "requests.jsonl"
    path.write_text('{"inputs": "1"}\n{"inputs" 2}\n')
    with pytest.raises(UserError, match="the request is not JSON: expected ':'") as caught:
        project.predict_all(path)
    assert caught.value.where == f"{path}:2:11"
    path.write_text("\n")
    with pytest.raises(UserError, match="there are no requests"):
        project.predict_all(path)
    with pytest.raises(UserError, match="No such file"):
        project.predict_all(tmp_path / "none.jsonl")
    assert sandbox.aws.invocations.received == []


@pytest.mark.slow
def test_an_interrupted_batch_goes_on_and_sends_nothing_twice(
    project: Project, sandbox: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.aws.invocations.script(ScriptedResult(b'"late"', delay=0.6))
    batch = lines(tmp_path, 3)

    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(waiter.WaiterConfig, "of", lambda _spec: waiter.WaiterConfig(sleep=interrupt))
        with pytest.raises(KeyboardInterrupt):
            project.predict_all(batch)
    result = project.predict_all(batch)
    assert (result.before + result.answered, result.failed) == (
        3,
        (),
    )  # one may have been answered before the interrupt
    assert len(sandbox.aws.invocations.received) == 3
