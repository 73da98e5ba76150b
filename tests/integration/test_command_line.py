"""The commands as a shell starts them: wrong words, signals, hostile servers, and commands beside each other."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from unittest import mock

import filelock
import jsonschema
import pytest
from invoke.program import Program

from tests.helpers.paths import ROOT

COMMAND = (sys.executable, "-m", "sagepack")
WAIT = 60
SPEC = "config/svd.yaml"


class Project:
    """What a user's project holds; nothing of it needs the sandbox."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("config", "inference_code", "tasks.py", "Makefile"):
            source = ROOT / name
            (shutil.copytree if source.is_dir() else shutil.copyfile)(source, root / name)
        (root / ".venv").symlink_to(sys.prefix)
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "HF_"))}
        self.environment = {
            **kept,
            "PYTHONPATH": str(ROOT),
            "HOME": str(root / "home"),
            "PYTHONWARNINGS": "ignore",
        }
        spec = importlib.util.spec_from_file_location("project_tasks", root / "tasks.py")
        assert spec is not None
        assert spec.loader is not None
        self._tasks = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self._tasks)

    def start(self, *command: str, **environment: str) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        return subprocess.Popen(
            command,
            cwd=self.root,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=pipe,
            stderr=pipe,
            text=True,
            errors="surrogateescape",
            start_new_session=True,
        )

    def run(self, *command: str, **environment: str) -> tuple[int, str, str]:
        return end(self.start(*command, **environment))

    def invoke(self, *words: str) -> tuple[int, str, str]:
        """Run `invoke` with these words in this process."""
        out, err, code = io.StringIO(), io.StringIO(), 0
        with mock.patch.dict(os.environ, self.environment), redirect_stdout(out), redirect_stderr(err):
            try:
                Program(namespace=self._tasks.namespace, binary="invoke").run(["invoke", *words])
            except SystemExit as ended:
                code = int(ended.code or 0)
        return code, out.getvalue(), err.getvalue()


def end(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    try:
        out, err = process.communicate(timeout=WAIT)
    finally:
        process.kill()
    return process.returncode, out, err


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("project"))


WRONG: list[tuple[str, ...]] = [
    ("plan", "--set"),
    ("plan", "--set", "--env", "local"),
    ("plan", "--set", ""),
    ("plan", "--set", "="),
    ("plan", "--set", "a\nb=1"),
    ("plan", "--set", "\udcff\udcfe=1"),
    ("plan", "--set", "environment.A=\udcff"),
    ("plan", "--set", "name={"),
    ("plan", "--set", "name=\x1b[31m"),
    ("plan", "--set", "environment.\u202eA=[1]"),
    ("plan", "--env", "../../x"),
    ("plan", "--env", ""),
    ("plan", "--env", "a\nb\x1b"),
    ("plan", "--env", "\udcff"),
    ("plan", "--env", "a\0b"),
    ("plan", "--config", "."),
    ("plan", "--config", "config"),
    ("plan", "--config", "/dev/zero"),
    ("plan", "--config", "\udcff\x1b.yaml"),
    ("plan", "--config", "a\0b"),
    ("plan", "--config", "a" * 5000),
    ("plan", "--config", sys.executable),
    ("plan", "--to", "\x1b[31m"),
    ("plan", "--unknown"),
    ("plan", "-c"),
    ("plan", "extra\x1b"),
    ("predict", "--input", "."),
    ("predict", "--timeout", "\x1b"),
]


@pytest.mark.parametrize("words", WRONG, ids=ascii)
def test_a_wrong_command_line_is_reported_in_lines(project: Project, words: tuple[str, ...]) -> None:
    if words[0] == "predict":  # which would start the sandbox before it reads the file
        words = (*words, "--env", "prod", "--timeout", "0")
    code, out, err = project.invoke(*words)
    assert (code, out) == (1, "")
    assert "Traceback" not in err
    assert "unexpected" not in err
    assert 1 <= len(err.splitlines()) <= 4
    assert all(line.isprintable() for line in err.split("\n"))


@pytest.mark.parametrize("words", [("-T", "x", "plan"), ("-f", "x", "plan"), ("plan", "--no")])
def test_a_wrong_flag_of_invoke_itself_is_a_line(project: Project, words: tuple[str, ...]) -> None:
    code, out, err = project.run(*COMMAND, *words)
    assert (code, out) == (1, "")
    assert err.startswith("error: ")
    assert "Traceback" not in err
    assert len(err.splitlines()) <= 2


@pytest.mark.parametrize("module", ["asyncio", "invoke", "sagepack.errors", "sagepack.cli.build"])
def test_an_interrupt_is_one_line_and_130_from_the_first_import_on(project: Project, module: str) -> None:
    python, *words = COMMAND
    command = project.start(python, "-X", "importtime", *words, "plan")
    line_with(f" {module}\n", command)
    command.send_signal(signal.SIGINT)
    code, out, err = end(command)
    said = [line for line in err.splitlines() if not line.startswith("import time:")]
    assert (code, out, said) == (130, "", ["interrupted; the same command continues"])


def test_make_says_in_a_line_that_it_was_terminated(project: Project) -> None:
    with filelock.FileLock(project.root / "build" / "svd-local.lock"):
        command = project.start("make", "clean", "-o", ".venv/bin/.run")
        line_with("waiting", command)
        os.kill(command.pid, signal.SIGTERM)
        code, _, err = end(command)
    assert code == -signal.SIGTERM
    assert "terminated; the same command continues\n" in err
    assert "Traceback" not in err


def line_with(word: str, command: subprocess.Popen[str]) -> None:
    """Read stderr up to a line that holds `word`; the command must say it before it ends."""
    assert command.stderr is not None
    for line in command.stderr:
        if word in line:
            return
    raise AssertionError(f"{word!r} was not said")


@pytest.mark.slow
def test_clean_all_waits_for_commands_at_work_and_leaves_their_locks(project: Project) -> None:
    build, dist = project.root / "build", project.root / "dist"
    mutexes = [build / "svd-local.lock", build / "rebuild-x" / "build" / "svd-local.lock"]
    output = [
        build / "svd-local" / "records" / "tar.json",
        dist / "svd" / "local" / "model.tar.gz",
        build / "hash-cache.json",
    ]
    for path in (*mutexes, *output):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    for mutex in mutexes:
        with filelock.FileLock(mutex):
            command = project.start(*COMMAND, "clean", "--all")
            line_with("waiting for another command for svd-local", command)
            assert all(path.exists() for path in (*output, *mutexes))
            command.send_signal(signal.SIGTERM)
            assert end(command)[0] == 143
    assert project.run(*COMMAND, "clean", "--all") == (0, "removed build, dist\n", "")
    assert not dist.exists()
    assert list(build.iterdir()) == [mutexes[0]]
    mutexes[0].unlink()
    assert project.run(*COMMAND, "clean", "--all") == (0, "nothing to remove\n", "")


class Hostile(BaseHTTPRequestHandler):
    """A Hub that writes on the terminals of those who ask it."""

    def do_GET(self) -> None:
        self.send_response(403)
        self.send_header("X-Error-Message", "\x1b]0;owned\x07\x1b[2J\x9b31m no")
        self.send_header("X-HF-Warning", "topic; \x1b[31mwarned\x9b2J")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET  # noqa: N815 - the name that http.server calls

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def hostile() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Hostile)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join(WAIT)


@pytest.mark.parametrize("more", [(), ("--json", "--debug")])
def test_a_server_writes_nothing_on_the_terminal(project: Project, hostile: str, more: tuple[str, ...]) -> None:
    code, out, err = project.run(
        *COMMAND, "lock", "--update", "--config", SPEC, "--env", "dev", *more, HF_ENDPOINT=hostile, NO_PROXY="127.0.0.1"
    )
    assert code in {1, 3}
    assert r"\x1b[" in err
    assert all(line.isprintable() for line in (out + err).split("\n"))


@pytest.mark.parametrize("program", ["invoke", "sagepack"])
def test_what_a_line_seems_to_say_is_refused_before_anything_runs(project: Project, program: str) -> None:
    command = (sys.executable, "-m", program)
    code, out, err = project.run(*command, "--config", "config/llava.yaml", "clean")
    assert (code, out) == (1, "")
    assert err == f"error: --config: flags belong after the task\n  write: {program} clean --config config/llava.yaml\n"
    code, out, err = project.run(*command, "--dry", "clean", "--json")
    assert code == 1
    document = json.loads(out)
    assert document["error"]["message"] == "--dry has no meaning here, and nothing was run"
    jsonschema.validate(document, json.loads((ROOT / "schemas" / "error.schema.json").read_text()))
    assert "no idea" not in project.run(*command, "clean", "--forse")[2].lower()
    assert project.run(*command, "--list")[0] == 0


def test_another_program_may_import_the_tasks_whatever_its_words(project: Project) -> None:
    assert project.run(sys.executable, "-c", "import tasks", "--dry", "deploy") == (0, "", "")


def test_where_nothing_may_be_written_validate_and_plan_work(tmp_path: Path) -> None:
    project = Project(tmp_path)
    (tmp_path / "build").touch()  # no folder can be made there, by root neither
    assert project.run(*COMMAND, "validate", "--config", SPEC)[0] == 0
    code, out, err = project.run(*COMMAND, "plan", "--config", SPEC, "--to", "lock", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["result"]["actions"][0]["status"] == "skip"


def test_a_sandbox_that_does_not_start_is_told_in_lines(tmp_path: Path) -> None:
    project = Project(tmp_path)
    broken = tmp_path / "broken" / "moto"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise OSError(28, 'No space left on device')")
    path = f"{broken.parent}{os.pathsep}{ROOT}"
    code, out, err = project.run(*COMMAND, "sandbox.env", PYTHONPATH=path)
    assert (code, out) == (1, "")
    assert err.splitlines()[-3:] == [
        f"error: {tmp_path / 'build' / 'sandbox' / 'log'}: the sandbox ended during its start",
        "  OSError: [Errno 28] No space left on device",
        "  make room on its disk and run the same command again",
    ]


@pytest.mark.slow
def test_a_sandbox_that_starts_again_says_what_it_forgot(tmp_path: Path) -> None:
    project = Project(tmp_path)
    said = "it forgot the objects and endpoints"
    try:
        assert said not in project.run(*COMMAND, "sandbox.env")[2]
        assert said not in project.run(*COMMAND, "sandbox.env")[2]
        project.run(*COMMAND, "sandbox.stop")
        assert said in project.run(*COMMAND, "predict", "--config", SPEC)[2]
    finally:
        project.run(*COMMAND, "sandbox.stop")


def test_a_request_may_come_from_stdin_and_has_to_be_json(project: Project) -> None:
    predict = (*COMMAND, "predict", "--config", SPEC, "--env", "prod")
    code, _, err = project.run(*predict, "--input", "-")  # stdin is empty here
    assert code == 1
    assert "--input -: stdin is no JSON object" in err
    code, _, err = project.run(*predict, "--output", "-")
    assert code == 1
    assert "--output -: an answer may be several files" in err
    assert not (project.root / "-").exists()


def make(project: Project, *words: str, **environment: str) -> tuple[int, str, str]:
    """Run make in a project whose environment counts as installed."""
    return project.run("make", "-o", ".venv/bin/.run", *words, **environment)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["env=prod"], "unknown variable env, did you mean ENV=prod?"),
        (["config=config/llava.yaml"], "unknown variable config, did you mean CONFIG=config/llava.yaml?"),
        (["args=--json"], "unknown variable args, did you mean ARGS=--json?"),
        (["EVN=prod"], "unknown variable EVN, there are ENV CONFIG ARGS PYTHON A B"),
    ],
)
def test_a_mistyped_variable_of_make_is_refused_before_anything_runs(
    project: Project, words: list[str], said: str
) -> None:
    code, out, err = make(project, "clean", "ENV=prod", *words)
    assert (code, out) == (2, "")
    assert said in err


def test_a_plan_with_work_to_do_is_no_error_of_make_and_a_failure_is_one(project: Project) -> None:
    code, out, err = make(project, "plan", "ARGS=--to lock --json")
    assert code == 0, err
    assert json.loads(out)["exit_code"] == 0
    code, out, _ = make(project, "plan", "ARGS=--json")
    assert code == 0
    assert json.loads(out)["exit_code"] == 2
    code, _, err = make(project, "plan", "CONFIG=none.yaml")
    assert code == 2
    assert "none.yaml: there is no such file" in err


@pytest.mark.parametrize("form", ["text", "mermaid", "svg"])
def test_a_graph_in_a_file_is_the_one_that_is_printed_and_finds_no_work(project: Project, form: str) -> None:
    path = project.root / "graphs" / f"steps.{form}"
    words = ("graph", "--to", "lock", "--format", form, "--config", str(project.root / SPEC))
    code, printed, _ = project.invoke(*words)
    assert (code, printed.lstrip().startswith({"text": "STEP", "mermaid": "flowchart TD\n", "svg": "<svg "}[form])) == (
        0,
        True,
    )
    for _ in range(2):  # over an earlier one as well
        assert project.invoke(*words, "--output", str(path))[:2] == (0, f"wrote {path}\n")
    written = path.read_text()
    assert "lock" in written
    assert form == "text" or written == printed


@pytest.mark.parametrize(("task", "flag", "kind"), [("graph", "--output", "graph"), ("plan", "--out", "plan")])
def test_an_output_replaces_no_file_of_another_kind(project: Project, task: str, flag: str, kind: str) -> None:
    spec = project.root / SPEC
    before = spec.read_bytes()
    code, _, err = project.invoke(task, "--config", str(spec), flag, str(spec))
    assert code == 1
    assert f"error: {spec}: there is a file of that name which is no {kind}\n" in err
    assert spec.read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize("name", ["a'b", 'a"b', "a b", "a`id`b", "a;id", "a$(id)", "a\\b", "a#b"])
def test_make_passes_on_a_value_as_it_is(project: Project, name: str) -> None:
    _, _, err = make(project, "plan", f"ENV={name}")
    assert f"unknown environment {name!r};" in err


def test_the_help_of_make_names_every_task_within_80_columns(project: Project) -> None:
    code, out, _ = make(project, "help")
    assert code == 0
    assert max(map(len, out.splitlines())) <= 80
    assert {"deploy", "promote", "policy", "sandbox-stop"} <= set(out.split())


def test_make_names_what_is_compared_in_variables_that_the_environment_does_not_set(project: Project) -> None:
    assert " 'live' 'tree' " in make(project, "-n", "diff", A="2", B="1")[1]
    assert " '2' 'it'\\''s' " in make(project, "-n", "diff", "A=2", "B=it's")[1]


def test_make_has_the_tasks_of_the_sandbox_and_knows_what_was_meant(project: Project) -> None:
    assert make(project, "sandbox-status") == (0, "the sandbox does not run\n", "")
    assert make(project, "sandbox-stop", "ARGS=--json")[0] == 0
    code, _, err = make(project, "deploi")
    assert code == 2
    assert "'deploi' is no task, did you mean 'deploy'?" in err


def test_make_says_what_the_serving_stack_lacks_before_it_installs_it(project: Project, tmp_path: Path) -> None:
    (tmp_path / "java").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "java").chmod(0o755)
    (project.root / "requirements-serve.txt").touch()
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    code, out, err = make(project, "serve-venv", f"PYTHON={sys.executable}", PATH=path)
    assert (code, out) == (2, "")
    assert "needs Java" in err or "needs Python 3.11" in err
    assert not (project.root / ".venv-serve").exists()


@pytest.mark.parametrize("words", ["--list", "--help plan", "plan --to lock --json"])
def test_a_reader_that_has_seen_enough_is_no_failure_to_tell(project: Project, words: str) -> None:
    command = f"set -o pipefail; {shlex.quote(sys.executable)} -m invoke {words} | true"
    _, out, err = project.run("bash", "-c", command)
    assert (out, err) == ("", "")
