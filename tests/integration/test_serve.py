"""`serve` over a stand-in for the image's serving stack: what is served, what is sent, and what comes of failures and edits."""

from __future__ import annotations

import json
import os
import re
import sys
import tarfile
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest

from sagepack import Project
from sagepack.errors import RemoteError, SpecError, UserError
from sagepack.serving import overlay, stack
from tests.helpers import serving_stack
from tests.integration.test_golden import SPEC, Toy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sagepack.api import results
    from sagepack.api.watching import Watched as Serving
    from sagepack.sandbox.servers import Servers

GOOD = "def model_fn(model_dir): ...\n\ndef predict_fn(data, model): ...\n"
SAMPLE = 'sample:\n  request: {"inputs": "a cat"}\n'


@pytest.fixture
def toy(sandbox: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Toy]:
    """A project with a sample, the sandbox of the tests, and a serving stack that describes what it received."""
    serving_stack.install(tmp_path, monkeypatch)
    monkeypatch.setattr("sagepack.serving.stack.java_problem", lambda: None)
    monkeypatch.setattr("sagepack.serving.model_server._missing_modules", lambda _: ())
    monkeypatch.setattr("sagepack.serving.model_server._LATE_LINES", 0.05)
    monkeypatch.setattr("sagepack.serving.server_log._QUIET_SECONDS", 0.05)
    monkeypatch.setattr("sagepack.serving.server_log._LATE_SECONDS", 0.3)
    with mock.patch("sagepack.api.connect.running", return_value=sandbox), mock.patch.dict(os.environ):
        toy = Toy(tmp_path / "toy", sandbox)
        toy.write_code(GOOD)
        (toy.root / "config" / "toy.yaml").write_text(SPEC + SAMPLE)
        yield toy


def project(toy: Toy, *sets: str) -> Project:
    return Project(toy.root, sets=sets)


def answer(toy: Toy, served: results.Served) -> dict[str, Any]:
    (file,) = served.files
    found: dict[str, Any] = json.loads((toy.root / file).read_text())
    return found


def test_the_working_tree_is_served_with_links_to_the_models_files_and_the_environment_of_the_spec(toy: Toy) -> None:
    served = project(toy, "environment.GREETING=hello").serve()
    assert (served.package, served.untried, served.as_expected) == ("code_of_toy", None, True)
    assert len(served.answers) == 2
    seen = answer(toy, served)
    assert {"code", "model_index.json", "unet"} <= set(seen["files"])
    assert (json.loads(seen["body"]), seen["type"]) == ({"inputs": "a cat"}, "application/json")
    assert seen["environment"]["GREETING"] == "hello"
    assert not (toy.root / "dist").exists()
    with pytest.raises(ProcessLookupError):
        os.kill(seen["pid"], 0)


def test_no_weight_is_copied(toy: Toy) -> None:
    with project(toy).serving() as served:
        files = [path for path in served._running.package.rglob("*") if path.is_file()]
        copied = [path.relative_to(served._running.package).as_posix() for path in files if not path.is_symlink()]
        assert copied == ["code/inference.py"]


@pytest.mark.parametrize(("spec", "why"), [("", "the spec has no sample"), (f"{SAMPLE}smoke: false\n", "smoke: false")])
def test_without_a_sample_it_only_starts(toy: Toy, spec: str, why: str) -> None:
    (toy.root / "config" / "toy.yaml").write_text(SPEC + spec)
    served = project(toy).serve()
    assert why in (served.untried or "")
    assert (served.answers, served.files) == ((), ())


def test_a_request_of_ones_own_is_sent_once_in_place_of_the_sample(toy: Toy, tmp_path: Path) -> None:
    served = project(toy).serve(source={"inputs": "a dog"}, output=tmp_path / "out.json")
    assert (len(served.answers), served.as_expected) == (1, False)
    assert json.loads(json.loads((tmp_path / "out.json").read_text())["body"]) == {"inputs": "a dog"}
    with pytest.raises(UserError, match="No such file"):
        project(toy).serve(source="none.json")


def test_the_sample_for_another_kind_of_answer_is_a_request_of_ones_own(toy: Toy, tmp_path: Path) -> None:
    served = project(toy).serve(output=tmp_path / "out", accept="text/plain")
    assert (len(served.answers), served.as_expected) == (1, False)
    served = project(toy).serve(fields={"seed": 7})
    assert json.loads(answer(toy, served)["body"]) == {"inputs": "a cat", "seed": 7}
    assert project(toy).serve(output=tmp_path / "out.json").as_expected


def test_an_answer_that_is_not_as_expected_is_told_and_kept(toy: Toy) -> None:
    with pytest.raises(UserError, match="request 1 of 2 got an answer that is not as expected") as caught:
        project(toy, "sample.expect.min_size=100000").serve()
    (kept,) = re.findall(r"as it came it is at (\S+)", "\n".join(caught.value.details))
    assert json.loads((toy.root / kept).read_text())["pid"]


def test_code_that_cannot_serve_is_refused_before_anything_is_fetched_or_started(toy: Toy) -> None:
    toy.write_code("def predict_fn(data:\n")
    with pytest.raises(SpecError) as caught:
        project(toy).serve()
    assert "code_of_toy/inference.py:1:" in str(caught.value)
    assert not (toy.root / "build" / "toy-local" / "records" / "lock.json").exists()


def test_a_failure_is_told_with_the_line_of_the_users_own_file(toy: Toy) -> None:
    toy.write_code(f"{GOOD}# FAIL\n")
    with pytest.raises(
        UserError, match=r"request 1 of 2 failed \(400\) in predict_fn: ValueError: the handler"
    ) as caught:
        project(toy).serve()
    assert caught.value.where == "code_of_toy/inference.py:3"
    assert caught.value.exit_code == 1


@pytest.mark.slow
def test_a_package_that_does_not_load_is_told(toy: Toy) -> None:
    toy.write_code(f"{GOOD}# FAIL_TO_LOAD\n")
    with pytest.raises(UserError, match="the package did not load: the worker ended before it had loaded the model"):
        project(toy).serve()


def test_a_package_that_does_not_start_is_told_with_its_log(toy: Toy) -> None:
    with pytest.raises(UserError, match="the package did not start") as caught:
        project(toy, "environment.EXIT=1").serve()
    assert "| what went wrong" in caught.value.details


def test_without_the_serving_stack_nothing_is_fetched(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(stack.PYTHON, str(toy.root / "none"))
    for serve in (Project.serving, Project.watching):
        with pytest.raises(UserError, match=r"SAGEPACK_SERVE_PYTHON names no Python: there is no file .*none"):
            serve(project(toy))
    assert not (toy.root / "build" / "toy-local").exists()
    monkeypatch.delenv(stack.PYTHON)
    monkeypatch.setattr(sys, "prefix", str(toy.root / "venv"))
    with pytest.raises(UserError, match="not installed") as caught:
        project(toy).serve()
    assert "serve.install" in (caught.value.fix or "")


def test_the_image_is_asked_for_by_its_tag_in_the_sandbox_and_docker_before_anything_else(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match="there is no program docker"), project(toy).serving(image=True):
        pass
    assert not (toy.root / "build" / "toy-local").exists()
    asked: list[str] = []
    monkeypatch.setattr("sagepack.serving.image.require_docker", lambda: "docker")

    def refuse(*words: str) -> None:
        asked.extend(words)
        raise UserError("no image")

    monkeypatch.setattr("sagepack.serving.image.require", refuse)
    with pytest.raises(UserError, match="no image"), project(toy).serving(image=True):
        pass
    registry = "763104351884.dkr.ecr.us-east-1.amazonaws.com"
    tag = "2.6.0-transformers4.51.3-gpu-py312-cu124-ubuntu22.04"
    assert asked == [f"{registry}/huggingface-pytorch-inference:{tag}", registry, "us-east-1"]


def test_the_links_of_a_package_lead_into_one_folder_at_every_step(toy: Toy) -> None:
    with project(toy).serving() as served:
        (folder,) = served.package.folders
        for path in served._running.package.rglob("*"):
            if path.is_symlink():
                assert path.resolve().is_relative_to(folder)
                assert path.readlink().is_relative_to(folder)


def test_requirements_that_pip_refuses_are_told_at_the_line_of_the_spec(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise UserError(
            "failed to install required packages", details=["No matching distribution found for no_such==9"]
        )

    with project(toy).serving() as served:
        monkeypatch.setattr(overlay, "prepare", refuse)
        with pytest.raises(UserError) as caught:
            served._requirements(toy.root / "code_of_toy")
        assert caught.value.where == "code.requirements"


def test_a_local_archive_is_unpacked_once(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    built = project(toy).package()
    assert built.archive is not None
    archive = toy.root / built.archive.path
    monkeypatch.chdir(toy.root)
    served = project(toy).serve(built.archive.path)
    assert served.package == "dist/toy/local/model.tar.gz"
    assert {"code", "model_index.json", "unet"} <= set(answer(toy, served)["files"])
    with mock.patch("sagepack.api.served_package._extract", side_effect=AssertionError):
        project(toy).serve(built.archive.path)
    os.utime(archive)
    served = project(toy).serve(built.archive.path)
    assert len(list((toy.root / "build" / "serving" / "toy-local").iterdir())) == 1


def test_a_published_package_is_served_by_its_address_in_the_environment_of_the_spec(toy: Toy) -> None:
    built = project(toy, "environment.GREETING=then").upload()
    assert built.artifact is not None
    served = project(toy).serve(built.artifact.uri)
    assert served.package == built.artifact.uri
    assert "GREETING" not in answer(toy, served)["environment"]


def test_a_release_is_served_in_the_environment_that_it_was_deployed_with(toy: Toy) -> None:
    project(toy, "environment.GREETING=then").deploy(smoke=False)
    served = project(toy).serve("1")
    assert served.package == "release 1 of local"
    assert answer(toy, served)["environment"]["GREETING"] == "then"


def test_a_prefix_of_files_is_served_by_its_address(toy: Toy) -> None:
    built = project(toy, "artifact.layout=prefix").upload()
    assert built.artifact is not None
    seen = answer(toy, project(toy).serve(built.artifact.uri))
    assert {"code", "model_index.json", "unet"} <= set(seen["files"])


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("config", "this is no archive"),
        ("none.tar.gz", "No such file"),
        ("notes.tar.gz", "failed to extract the archive"),
        ("cut.tar.gz", "failed to extract the archive"),
        ("flipped.tar.gz", "failed to extract the archive: CRC check failed"),
        ("s3://sagepack-sandbox/none/model.tar.gz", "there is no such object"),
        ("s3://sagepack-sandbox/none/", "there is nothing below this address"),
        ("7", "no release of local is '7'"),
    ],
)
def test_what_is_no_package_is_told(toy: Toy, name: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(toy.root)
    (toy.root / "notes.tar.gz").write_text("notes")
    with tarfile.open(toy.root / "cut.tar.gz", "w:gz") as archive:
        archive.add(toy.root / "config", "config")
    whole = (toy.root / "cut.tar.gz").read_bytes()
    (toy.root / "cut.tar.gz").write_bytes(whole[:-40])
    (toy.root / "flipped.tar.gz").write_bytes(whole[:-8] + bytes([whole[-8] ^ 1]) + whole[-7:])
    with pytest.raises(UserError, match=told):
        project(toy).serve(name)


class Watched:
    """A package that is served while its code is edited."""

    def __init__(self, toy: Toy, served: Serving) -> None:
        self.toy, self.served = toy, served
        self._number, self._seen = 0, 0

    def edit(self, text: str) -> results.Edit:
        """What comes of an edit."""
        edits = self.served.edits()
        self.save(text)
        return next(edits)

    def save(self, text: str) -> None:
        """Write the program."""
        self.toy.write_code(text)
        self._number += 1  # the clock of the file system may be coarse
        seconds = time.time() + self._number
        os.utime(self.toy.root / "code_of_toy" / "inference.py", (seconds, seconds))

    def orders(self, *last: str) -> list[str]:
        """What the worker was told since this was called last, up to an order."""
        end = time.monotonic() + 20
        while True:
            lines = self.served._log.since(0)
            found = [line.split()[1] for line in lines if line.startswith("order")][self._seen :]
            if not last or found[-1:] == list(last):
                self._seen += len(found)
                return found
            assert time.monotonic() < end, lines
            time.sleep(0.02)


@contextmanager
def watched(toy: Toy) -> Iterator[Watched]:
    with project(toy).watching() as served:
        served.try_it()
        yield Watched(toy, served)


def test_an_edit_is_served_and_the_model_kept_where_it_can_be(toy: Toy) -> None:
    with watched(toy) as it:
        found = it.edit(GOOD.replace("model): ...", "model): return 1"))
        assert (found.files, found.model, found.error) == (("code_of_toy/inference.py",), "the model was kept", ())
        assert found.answer is not None
        assert it.orders("settle") == ["keep", "settle"]
        found = it.edit(GOOD.replace("model_dir): ...", "model_dir): return 1"))
        assert found.model == "model_fn was called again: model_fn changed"
        assert it.orders("settle") == ["call", "settle"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "told", "orders"),
    [
        ("def predict_fn(data:\n", "code_of_toy/inference.py:1:", []),
        (
            f"{GOOD}# FAIL_TO_IMPORT\n",
            "the new code does not load in predict_fn: ValueError: cannot import it",
            ["keep"],
        ),
        (f"{GOOD}# FAIL\n", "the sample failed (400) in predict_fn: ValueError: the handler says no", ["keep", "undo"]),
    ],
)
def test_a_wrong_edit_is_told_and_the_code_from_before_serves(
    toy: Toy, text: str, told: str, orders: list[str]
) -> None:
    with watched(toy) as it:
        found = it.edit(text)
        assert told in "\n".join(found.error)
        assert it.orders(*orders[-1:]) == orders
        program = it.served._running.package / "code" / "inference.py"
        assert program.read_text() == GOOD
        assert it.edit(f"{GOOD}# good again\n").error == ()


def test_a_file_that_vanishes_while_it_is_read_ends_nothing(toy: Toy) -> None:
    with watched(toy) as it:
        gone = FileNotFoundError(2, "No such file or directory", "code_of_toy/inference.py")
        with mock.patch("sagepack.api.served_package.shutil.copyfile", side_effect=gone):
            found = it.edit(f"{GOOD}# new\n")
        assert found.error[0] == "code_of_toy/inference.py: No such file or directory"
        assert it.edit(f"{GOOD}# newer\n").error == ()


def test_a_warning_about_the_code_is_told_before_it_is_served_and_with_each_edit(toy: Toy) -> None:
    typo = GOOD.replace("predict_fn", "predit_fn")
    toy.write_code(typo)
    told = "code_of_toy/inference.py:3:1: predit_fn is not a hook, so the container does not call it"
    one = project(toy)
    one.serve()
    assert [warning.lines()[0] for warning in one.warnings] == [told]
    toy.write_code(GOOD)
    with watched(toy) as it:
        for text in (f"{typo}# FAIL\n", f"{typo}# again\n"):
            assert [lines[0] for lines in it.edit(text).warnings] == [told]
        assert it.edit(GOOD).warnings == ()


def test_a_file_that_is_saved_without_a_change_is_served_again_only_if_the_last_edit_failed(toy: Toy) -> None:
    with watched(toy) as it:
        edits, wrong = it.served.edits(), f"{GOOD}# FAIL\n"
        it.save(GOOD)
        threading.Timer(0.5, it.save, (wrong,)).start()
        for _ in range(2):
            assert next(edits).error
            assert it.orders("undo") == ["keep", "undo"]
            it.save(wrong)


def test_an_edit_during_the_start_is_not_missed(toy: Toy) -> None:
    with project(toy).watching() as served:
        toy.write_code(f"{GOOD}# edited\n")
        served.try_it(toy.root / "answer.json")
        first = (toy.root / "answer.json").read_bytes()
        found = next(served.edits())
        assert (found.files, found.error) == (("code_of_toy/inference.py",), ())
        assert len((toy.root / "answer.json").read_bytes()) == len(first)
        assert (served._running.package / "code" / "inference.py").read_text().endswith("# edited\n")


def test_a_sample_that_is_edited_is_sent_again(toy: Toy) -> None:
    (toy.root / "sample.json").write_text('{"inputs": "a cat"}')
    (toy.root / "config" / "toy.yaml").write_text(f"{SPEC}sample:\n  file: sample.json\n")
    with project(toy).watching() as served:
        served.try_it()
        (toy.root / "sample.json").write_text('{"inputs": "a large dog"}')
        found = next(served.edits())
        assert (found.files, found.model) == (("sample.json",), "the model was kept")
        assert "a large dog" in (toy.root / "build" / "answers" / "toy-local" / "served" / "answer.json").read_text()


@pytest.mark.slow
def test_what_validate_finds_in_an_edit_is_told_before_anything_runs(toy: Toy) -> None:
    sample, schema, code = (
        toy.root / "sample.json",
        toy.root / "code_of_toy" / "request.schema.json",
        toy.root / "code_of_toy" / "inference.py",
    )
    sample.write_text('{"inputs": "a cat"}')
    schema.write_text('{"type": "object"}')
    (toy.root / "config" / "toy.yaml").write_text(f"{SPEC}sample:\n  file: sample.json\n")
    with watched(toy) as it:
        for change, told in (
            (lambda: sample.write_text('{"inputs'), "sample.file: 'sample.json' is not JSON"),
            (lambda: sample.write_text('{"inputs": 12345}'), None),
            (lambda: schema.write_text('{"properties": {"inputs": {"type": "string"}}}'), "sample.json: inputs: "),
            (lambda: sample.write_text('{"inputs": "a cat again"}'), None),
            (code.unlink, "contains no inference.py"),
        ):
            change()
            found = "\n".join(next(it.served.edits()).error)
            assert told in found if told else not found
        assert it.orders("settle") == ["keep", "settle", "call", "settle"]


def test_an_edit_of_the_spec_is_told_and_the_code_goes_on_to_be_served(toy: Toy) -> None:
    with watched(toy) as it:
        spec = toy.root / "config" / "toy.yaml"
        spec.write_text(spec.read_text() + "# later\n")
        found = next(it.served.edits())
        assert found.error[0] == "config/toy.yaml: the spec changed, and what runs is still that of the start"
        assert it.edit(f"{GOOD}# later\n").error == ()
        spec.write_text(spec.read_text().removesuffix("# later\n"))  # as it was
        assert next(it.served.edits()).error == ()


def test_other_requirements_start_the_server_again_at_the_same_address(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    (toy.root / "code_of_toy" / "requirements.txt").write_text("numpy\n")
    monkeypatch.setattr(overlay, "prepare", lambda *_: None)
    with watched(toy) as it:
        url, pid = it.served.url, it.served._running._process
        (toy.root / "code_of_toy" / "requirements.txt").write_text("scipy\n")
        found = it.edit(GOOD)
        assert found.model == "the server was started again: the requirements changed"
        assert (it.served.url, it.served._running._process is pid) == (url, False)
        assert found.answer is not None


@pytest.mark.slow
@pytest.mark.parametrize(
    ("word", "told"),
    [("FAIL_TO_LOAD", "the package did not load"), ("FAIL", "the sample failed (400) in predict_fn")],
)
def test_a_server_that_was_started_again_in_vain_gives_way_to_the_code_from_before(
    toy: Toy, monkeypatch: pytest.MonkeyPatch, word: str, told: str
) -> None:
    requirements = toy.root / "code_of_toy" / "requirements.txt"
    requirements.write_text("numpy\n")
    monkeypatch.setattr(overlay, "prepare", lambda *_: None)
    with watched(toy) as it:
        url = it.served.url
        requirements.write_text("scipy\n")
        found = it.edit(f"{GOOD}# {word}\n")
        assert told in "\n".join(found.error)
        code = it.served._running.package / "code"
        assert (code / "inference.py").read_text() == GOOD
        assert (code / "requirements.txt").read_text() == "numpy\n"
        assert project(toy).predict(url=url).size > 0
        found = it.edit(GOOD)  # and with the other requirements
        assert (found.error, found.model) == ((), "the server was started again: the requirements changed")


def test_requirements_that_cannot_be_installed_leave_the_server_as_it_is(
    toy: Toy, monkeypatch: pytest.MonkeyPatch
) -> None:
    (toy.root / "code_of_toy" / "requirements.txt").write_text("numpy\n")
    monkeypatch.setattr(overlay, "prepare", lambda *_: None)
    with watched(toy) as it:
        before = it.served._running._process
        monkeypatch.setattr(overlay, "prepare", mock.Mock(side_effect=UserError("failed to install required packages")))
        (toy.root / "code_of_toy" / "requirements.txt").write_text("nosuch\n")
        found = it.edit(GOOD)
        assert "code_of_toy/requirements.txt: failed to install required packages" in found.error[0]
        assert it.served._running._process is before


def test_a_kept_server_is_asked_by_curl_and_by_predict(toy: Toy) -> None:
    with project(toy).serving() as served:
        served.try_it()
        words = served.curl()
        assert served.url in words
        (body,) = re.findall(r"--data-binary @(\S+)", words)
        assert json.loads((toy.root / body).read_text()) == {"inputs": "a cat"}
        found = project(toy).predict({"inputs": "a dog"}, url=served.url)
        assert (found.location, found.size > 0) == (served.url, True)
        lines = served.follow()
        served._log.write(["a line"])
        assert next(lines) == "a line"
        served.stop()
        with pytest.raises(UserError, match="the server ended"):
            list(lines)
        with pytest.raises((UserError, RemoteError), match=r"nothing listens there|the connection broke"):
            project(toy).predict(url=served.url)


def test_what_the_package_refuses_is_told_to_who_asked_directly(toy: Toy) -> None:
    with project(toy).serving() as served:
        (served._running.package / "code" / "inference.py").write_text("# FAIL\n")
        with pytest.raises(UserError, match=r"the package failed on the request \(400\): the handler says no"):
            project(toy).predict(url=served.url)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com:80",
        "https://127.0.0.1:1",
        "http://127.0.0.1",
        "127.0.0.1:99999",
        "x",
        "http://127.0.0.1:1/x",
    ],
)
def test_only_a_server_of_this_machine_is_asked_directly(toy: Toy, url: str) -> None:
    with pytest.raises(UserError, match="this is no address of a server on this machine"):
        project(toy).predict(url=url)


def test_the_sandbox_needs_no_part_in_it_once_lock_and_files_are_there(toy: Toy) -> None:
    project(toy).serve()
    with mock.patch("sagepack.api.connect.running", side_effect=AssertionError):
        assert project(toy).serve().as_expected
