"""`serve` under the image's real serving stack: packages that answer, packages that are really broken, edits, and what is left."""

from __future__ import annotations

import http.client
import json
import os
import queue
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from sagepack.serving import model_server
from tests.helpers.serving_project import Project

if TYPE_CHECKING:
    from collections.abc import Iterator

MISSING = model_server.unavailable()
pytestmark = [pytest.mark.slow, pytest.mark.skipif(MISSING is not None, reason=str(MISSING))]
LOADED = "def model_fn(model_dir):\n    return []\n\n"
ANSWERS = LOADED + 'def predict_fn(data, model):\n    return {"frames": ["/9j/"] * 4}\n'
BROKEN_SPEC = """\
sandbox: true
aws:
  account: "123456789012"
  region: us-east-1
  role: arn:aws:iam::123456789012:role/sagepack-sandbox
artifact:
  target: s3://sagepack-sandbox/models
endpoint:
  enable_network_isolation: false
code:
  path: inference_code/broken
  shared: []
"""


@dataclass(frozen=True)
class Broken:
    """A package, and what the screen says of it.

    Attributes:
        code: its inference.py.
        told: regular expressions, in the order of what they find.
        sets: settings beside it.
        requirements: its requirements.txt.
    """

    code: str
    told: tuple[str, ...]
    sets: tuple[str, ...] = ()
    requirements: str = ""


BROKEN = {
    "does not parse": Broken("def predict_fn(data, model:\n", (r"broken/inference\.py:1:\d+: .*cannot parse this",)),
    "its import raises": Broken(
        'import json\nraise ImportError("libcudart.so.12: cannot open shared object file")\n' + ANSWERS,
        (r"error: inference_code/broken/inference\.py:2: request 1 of 2 failed \(400\): ImportError: libcudart",),
    ),
    "model_fn raises": Broken(
        'def model_fn(model_dir):\n    return open(model_dir + "/weights.bin")\n\ndef predict_fn(data, model):\n    return 1\n',
        (
            r"error: inference_code/broken/inference\.py:2: request 1 of 2 failed \(400\) in model_fn: FileNotFoundError: .*weights\.bin",
            r'\|   File "inference_code/broken/inference\.py", line 2, in model_fn',
        ),
    ),
    "the second request fails": Broken(
        LOADED
        + "def predict_fn(data, model):\n    model.append(1)\n    return {'frames': ['/9j/'] * (4 // (2 - len(model)))}\n",
        (r"broken/inference\.py:6: request 2 of 2 failed \(400\) in predict_fn: ZeroDivisionError",),
    ),
    "the answer is too large": Broken(
        LOADED + 'def predict_fn(data, model):\n    return {"frames": ["/9j/" + "A" * 50_000] * 4}\n',
        (
            r"request 1 of 2 failed \(500\): Worker died",
            r"set MMS_MAX_RESPONSE_SIZE in the environment to 200040 bytes",
        ),
        ("environment.MMS_MAX_RESPONSE_SIZE=100000",),
    ),
    "the answer is not as expected": Broken(
        LOADED + 'def predict_fn(data, model):\n    return {"frames": ["/9j/"] * 3}\n',
        (
            r"request 1 of 2 got an answer that is not as expected: it has 3 items, and at least 4",
            r"answer-as-it-came\.bin",
        ),
    ),
    "an answer that JSON cannot hold": Broken(
        LOADED + "def predict_fn(data, model):\n    return {'answer': b'yes'}\n",
        (
            r"request 1 of 2 failed \(400\): TypeError: Object of type bytes is not JSON serializable",
            r"return what JSON holds in place of bytes",
        ),
    ),
    "the worker dies": Broken(
        LOADED
        + "def predict_fn(data, model):\n    import os, signal\n    print('allocating')\n    os.kill(os.getpid(), signal.SIGKILL)\n",
        (r"request 1 of 2 failed \(500\): Worker died", r"\| allocating"),
    ),
    "pip finds no such version": Broken(
        ANSWERS,
        (
            r"error: inference_code/broken/requirements\.txt: failed to install required packages",
            r"No matching distribution found for pillow==0\.0\.1",
        ),
        requirements="pillow==0.0.1\n",
    ),
    "its requirements break the toolkit": Broken(
        ANSWERS,
        (
            r"the package did not load: ImportError: tokenizers>=",
            r"correct the requirements, which the image's own packages do not go with: tokenizers==0\.15\.2",
        ),
        requirements="tokenizers==0.15.2\n",
    ),
    "HF_MODEL_ID": Broken(
        ANSWERS, (r"HF_MODEL_ID the container ignores the packaged weights",), ("environment.HF_MODEL_ID=gpt2",)
    ),
}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    project = Project(tmp_path_factory.mktemp("project"))
    (project.root / "config" / "env" / "broken.yaml").write_text(BROKEN_SPEC, encoding="utf-8")
    yield project
    project.invoke("sandbox.stop")


def broken(project: Project, package: Broken) -> list[str]:
    """Write a package; the flags with which it is served."""
    folder = project.root / "inference_code" / "broken"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "inference.py").write_text(package.code, encoding="utf-8")
    if package.requirements:
        (folder / "requirements.txt").write_text(package.requirements, encoding="utf-8")
    return ["--env", "broken", *(word for each in package.sets for word in ("--set", each))]


def test_the_miniature_answers_from_the_working_tree_and_from_its_archive(project: Project) -> None:
    run = project.invoke("serve", "--json")
    assert run.returncode == 0, run.stderr
    result = json.loads(run.stdout)["result"]
    assert (result["package"], result["as_expected"], len(result["answers"])) == ("inference_code/svd", True, 2)
    assert all((project.root / file).read_bytes().startswith(b"\xff\xd8") for file in result["files"])
    assert project.invoke("package").returncode == 0
    run = project.invoke("serve", "--package", "dist/svd/local/model.tar.gz", "--output", "answer.json")
    assert run.returncode == 0, run.stderr
    assert len(project.answer()["frames"]) == 4


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_package_is_told_with_its_cause(project: Project, name: str) -> None:
    run = project.invoke("serve", *broken(project, BROKEN[name]))
    assert run.returncode == 1, run.stderr
    assert re.search(".*".join(BROKEN[name].told), run.stderr, re.DOTALL), run.stderr


def test_what_the_package_requires_is_there(project: Project) -> None:
    code = LOADED + 'def predict_fn(data, model):\n    import imageio\n    return {"frames": ["/9j/"] * 4}\n'
    run = project.invoke("serve", *broken(project, Broken(code, (), requirements="imageio==2.37.0\n")))
    assert run.returncode == 0, run.stderr
    assert "beside the serving stack: imageio==2.37.0" in run.stderr


class Running:
    """`serve` while it goes on."""

    def __init__(self, project: Project, *words: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "invoke", "serve", *words],
            cwd=project.root,
            env=project.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._lines: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        with self.process.stdout as lines:
            for line in lines:
                self._lines.put(line)

    def end(self, number: int = signal.SIGINT) -> int:
        """End it by a signal; its exit code."""
        os.kill(self.process.pid, number)
        code = self.process.wait(20)
        self._reader.join(20)
        return code

    def until(self, pattern: str, seconds: float = 120) -> str:
        """All that it says up to a line with a pattern."""
        said, end = "", time.monotonic() + seconds
        while not re.search(pattern, said):
            assert time.monotonic() < end, said
            with suppress(queue.Empty):
                said += self._lines.get(timeout=1)
        return said

    def group(self) -> int:
        """The process group of the server."""
        (child,) = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(child)


def living(group: int) -> list[str]:
    """The processes of a group."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = path.read_text().rpartition(")")
        except OSError:
            continue
        state, _, its = rest.split()[:3]
        if int(its) == group and state != "Z":
            found.append(name)
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="shows no other processes")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_kept_server_answers_curl_and_predict_and_nothing_of_it_is_left(
    project: Project, number: signal.Signals
) -> None:
    running = Running(project, "--keep")
    try:
        said = running.until("predict --url")
        (url,) = re.findall(r"predict --url (\S+)", said)
        (curl,) = re.findall(r"^ *(curl .*)$", said, re.MULTILINE)
        words = shlex.split(curl)
        headers = dict(words[at + 1].split(": ") for at, word in enumerate(words) if word == "-H")
        (body,) = (word[1:] for word in words if word.startswith("@"))
        with closing(http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)) as connection:
            connection.request("POST", "/invocations", (project.root / body).read_bytes(), headers)
            assert connection.getresponse().status == 200
        assert "POST /invocations" in running.until(r"ACCESS_LOG .*POST")
        run = project.invoke("predict", "--url", url, "--output", "answer.json")
        assert (run.returncode, len(project.answer()["frames"])) == (0, 4), run.stderr
        group = running.group()
        assert len(living(group)) >= 3
        assert running.end(number) in (130, -signal.SIGKILL)
        end = time.monotonic() + 20
        while living(group):
            assert time.monotonic() < end, living(group)
            time.sleep(0.1)
    finally:
        running.process.kill()


def test_each_edit_is_served_or_told_while_the_last_good_code_goes_on(project: Project) -> None:
    program = project.root / "inference_code" / "svd" / "inference.py"
    good = program.read_text(encoding="utf-8")
    running = Running(project, "--watch")

    def edit(text: str, pattern: str) -> str:
        program.write_text(text, encoding="utf-8")
        return running.until(pattern)

    try:
        (url,) = re.findall(r"predict --url (\S+)", running.until("predict --url"))
        said = edit(good.replace("\ndef model_fn", "\nprint('read again')\n\n\ndef model_fn"), "answers as expected")
        assert "| read again" in said
        assert "model_fn was called again: what is run at the import of inference changed" in said
        edit(good, "answers as expected")
        said = edit(good + "\n\ndef another() -> None: ...\n", "answers as expected")
        assert "the model was kept" in said
        said = edit(good + "\ndef x(:\n", "error: ")
        assert "inference_code/svd/inference.py: not served; the code from before serves" in said
        said = edit(good + "\nraise KeyError('at the import')\n", "correct the code")
        assert re.search(
            r"inference_code/svd/inference\.py:\d+: the new code does not load: KeyError: 'at the import'", said
        )
        run = project.invoke("predict", "--url", url, "--output", "answer.json")
        assert (run.returncode, len(project.answer()["frames"])) == (0, 4), run.stderr
        assert "answers as expected" in edit(good, "answers as expected")
    finally:
        program.write_text(good, encoding="utf-8")
        running.end()


def test_an_endpoint_of_the_sandbox_has_what_its_package_requires(project: Project) -> None:
    code = LOADED + 'def predict_fn(data, model):\n    import imageio\n    return {"frames": ["/9j/"] * 4}\n'
    flags = broken(project, Broken(code, (), requirements="imageio==2.37.0\n"))
    run = project.invoke("deploy", *flags)
    assert run.returncode == 0, run.stderr
    assert "request 2 of 2: answered as expected" in run.stderr
