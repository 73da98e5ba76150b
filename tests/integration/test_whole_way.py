"""From a spec to an endpoint and back, with the commands a user types, on the embedded sandbox."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from invoke.program import Program

from sagepack import sandbox
from sagepack.api.results import Plan
from sagepack.api.review import ReviewedPlan
from sagepack.aws.s3 import S3, S3Uri
from sagepack.aws.session import Aws, AwsConnection
from tests.helpers import documents
from tests.helpers.forgery import patched
from tests.helpers.paths import ROOT

INVOKE = (sys.executable, "-m", "invoke")


@dataclass(frozen=True)
class Ran:
    """What a command printed."""

    stdout: str
    stderr: str
    returncode: int


class Project:
    """A copy of what a user's project holds, with a sandbox of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("config", "inference_code", "tasks.py"):
            source = ROOT / name
            (shutil.copytree if source.is_dir() else shutil.copyfile)(source, root / name)
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "HF_"))}
        self.environment = {**kept, "PYTHONPATH": str(ROOT), "HOME": str(root / "home"), "NO_COLOR": "1"}
        # What an endpoint of the sandbox says without the serving stack, wherever this runs.
        self.environment["SAGEPACK_SERVE_PYTHON"] = str(root / "none")
        spec = importlib.util.spec_from_file_location("project_tasks", root / "tasks.py")
        assert spec is not None
        assert spec.loader is not None
        self._tasks = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self._tasks)

    def invoke(self, *words: str, code: int | None = 0) -> Ran:
        """Run `invoke` with these words, in this process: hundreds of new ones would take minutes."""
        program = Program(namespace=self._tasks.namespace, binary="invoke")
        out, err, returned, before = io.StringIO(), io.StringIO(), 0, Path.cwd()
        with mock.patch.dict(os.environ, self.environment), redirect_stdout(out), redirect_stderr(err):
            os.chdir(self.root)
            try:
                program.run(["invoke", *words], exit=False)
            except SystemExit as end:
                returned = int(end.code or 0)
            finally:
                os.chdir(before)
        ran = Ran(out.getvalue(), err.getvalue(), returned)
        assert code is None or ran.returncode == code, f"{words}: {ran}"
        assert "--debug" in words or "Traceback" not in ran.stderr
        return ran

    def json(self, *words: str, code: int = 0) -> Any:
        """The result, or the error, of a task."""
        document = documents.checked(self.invoke(*words, "--json", code=code).stdout)
        return document.get("result") or document["error"]

    def actions(self, *words: str, code: int = 0) -> dict[str, dict[str, Any]]:
        return {action["step"]: action for action in self.json(*words, code=code)["actions"]}

    def runs(self, *words: str, code: int = 0) -> list[str]:
        return [step for step, action in self.actions(*words, code=code).items() if action["status"] == "run"]

    @property
    def archive(self) -> Path:
        return self.root / "dist" / "svd" / "local" / "model.tar.gz"

    def sha256(self) -> str:
        return hashlib.sha256(self.archive.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    project = Project(tmp_path_factory.mktemp("project"))
    yield project
    project.invoke("sandbox.stop")


@pytest.fixture
def packaged(project: Project) -> Project:
    project.invoke("package")
    return project


def edit(project: Project) -> None:
    path = project.root / "inference_code" / "svd" / "inference.py"
    path.write_text(path.read_text() + f"\n# edited at {time.monotonic_ns()}\n")


@pytest.mark.slow
def test_a_package_is_whole_readable_and_named_by_its_sum(packaged: Project) -> None:
    dist = packaged.archive.parent
    assert sorted(path.name for path in dist.iterdir()) == ["manifest.json", "model.tar.gz", "model.tar.gz.sha256"]
    assert (dist / "model.tar.gz.sha256").read_text() == f"{packaged.sha256()}  model.tar.gz\n"
    members = {m["path"]: m for m in json.loads((dist / "manifest.json").read_text())["members"]}
    with tarfile.open(packaged.archive) as archive:
        for entry in archive:
            content = archive.extractfile(entry)
            assert content is not None
            assert hashlib.sha256(content.read()).hexdigest() == members.pop(entry.name)["sha256"]
    assert members == {}
    subprocess.run(["gzip", "-t", packaged.archive], check=True, timeout=120)
    subprocess.run(["tar", "-tzf", packaged.archive], check=True, capture_output=True, timeout=120)


def test_one_weight_variant_is_chosen_and_the_saving_reported(packaged: Project) -> None:
    with gzip.open(packaged.archive) as stream, tarfile.open(fileobj=stream) as archive:
        weights = [name for name in archive.getnames() if name.endswith(".safetensors")]
    assert weights
    assert all(".fp16." in name for name in weights)
    told = packaged.invoke("lock", "--update").stderr
    assert "others saves" in told


def test_a_second_run_does_nothing_and_says_why(packaged: Project) -> None:
    before = packaged.archive.stat()
    again = packaged.actions("package")
    assert {action["status"] for action in again.values()} == {"skip"}
    assert all(action["reasons"] for action in again.values())
    assert packaged.archive.stat().st_mtime_ns == before.st_mtime_ns
    packaged.invoke("plan", code=0)


def test_a_run_with_nothing_to_do_imports_no_client(packaged: Project) -> None:
    program = """
import sys
from pathlib import Path
from sagepack.api.project import Project
from sagepack.cli import tasks
assert not any(action.runs for action in Project(Path(".").resolve(), "config/svd.yaml").package().actions)
slow = {"boto3", "botocore", "huggingface_hub", "jsonschema", "moto", "awscrt", "httpx2", "filelock", "tqdm"}
slow |= {"sagepack.spec.program.check", "sagepack.spec.secrets.texts", "jinja2", "vl_convert"}
print(sorted(slow & set(sys.modules)), file=sys.stderr)
"""
    run = subprocess.run(
        [sys.executable, "-c", program],
        cwd=packaged.root,
        env=packaged.environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert run.stderr.strip() == "[]"


def test_an_edit_of_one_line_runs_three_steps_and_downloads_nothing(packaged: Project) -> None:
    edit(packaged)
    assert packaged.runs("plan", code=2) == ["assemble", "checksum", "tar"]
    shown = packaged.invoke("plan", code=2).stdout
    assert "code/inference.py changed" in shown
    before = packaged.sha256()
    assert packaged.runs("package") == ["assemble", "checksum", "tar"]
    assert packaged.sha256() != before


def test_a_branch_is_refused_by_everything_but_lock(project: Project) -> None:
    project.invoke("package")
    branch = ("--set", "model.revision=main")
    for task in ("validate", "plan", "download", "package", "upload", "deploy"):
        assert "main" in project.invoke(task, *branch, code=1).stderr
    lock, spec = project.root / "config" / "locks" / "svd-local.lock.yaml", project.root / "config" / "svd.yaml"
    before, pinned = lock.read_text(), spec.read_text()
    spec.write_text(re.sub(r"(?m)^  revision: \w+$", "  revision: main", pinned))
    told = project.invoke("lock").stderr
    assert "043843887ccd51926e3efed36270444a838e7861" in told
    lock.write_text(before)
    spec.write_text(pinned)


@pytest.mark.parametrize(
    "setting",
    ["model.exclude=[LICENSE.md]", "model.variant="],
)
def test_a_setting_of_one_run_does_not_rewrite_the_lock_of_all(packaged: Project, setting: str) -> None:
    lock = packaged.root / "config" / "locks" / "svd-local.lock.yaml"
    before = lock.read_bytes()
    for task in (("package",), ("deploy",), ("lock",), ("lock", "--update")):
        told = packaged.invoke(*task, "--set", setting, code=1).stderr
        assert f"--set {setting.partition('=')[0]} would rewrite the lock" in told
        assert "--env trial" in told
    assert lock.read_bytes() == before
    assert packaged.runs("package", "--set", "endpoint.instance_type=ml.g5.xlarge") == []


@pytest.mark.slow
def test_a_copied_spec_has_to_get_names_of_its_own_before_anything_is_built(packaged: Project) -> None:
    spec, lock = packaged.root / "config" / "svd.yaml", packaged.root / "config" / "locks" / "svd-local.lock.yaml"
    copy, before = packaged.root / "config" / "copy.yaml", lock.read_bytes()
    copy.write_text(spec.read_text().replace("variant: fp16", "include: [unet/]"))
    for task in ("package", "validate", "deploy"):
        told = packaged.invoke(task, "--config", "config/copy.yaml", code=1).stderr
        assert "name: config/svd.yaml has this name already" in told
        assert "endpoint.name: config/svd.yaml has this name already" in told
    copy.write_text(copy.read_text().replace("name: svd", "name: copy"))
    packaged.invoke("validate", "--config", "config/copy.yaml")
    copy.unlink()
    assert lock.read_bytes() == before
    assert packaged.runs("package", "--locked") == []


def test_a_spec_that_passed_is_checked_again_when_the_files_next_to_it_change(packaged: Project) -> None:
    stray = packaged.root / "inference_code" / "svd" / "__init__.py"
    stray.touch()
    assert "__init__.py" in packaged.invoke("package", code=1).stderr
    stray.unlink()
    packaged.invoke("package")


def test_a_locked_run_refuses_to_change_the_lock(packaged: Project) -> None:
    packaged.invoke("package", "--locked")
    for task in ("package", "plan"):  # a plan that promised it would be refused later
        told = packaged.invoke(task, "--locked", "--set", "model.exclude=[LICENSE.md]", code=1).stderr
        assert "--locked was given" in told


def test_pin_writes_the_commit_of_the_branch_into_the_spec_and_nothing_else(packaged: Project) -> None:
    spec = packaged.root / "config" / "svd.yaml"
    pinned = spec.read_text()
    spec.write_text(re.sub(r"(?m)^  revision: \w+$", "  revision: main", pinned))
    assert "lock --pin" in packaged.invoke("package", code=1).stderr
    assert packaged.json("lock", "--pin")["pinned"] == "config/svd.yaml"
    assert spec.read_text() == pinned
    assert packaged.runs("package", "--locked") == []
    assert packaged.json("lock", "--pin")["pinned"] is None


@pytest.mark.slow
def test_a_lost_output_is_made_again_with_the_same_bytes(packaged: Project) -> None:
    before = packaged.sha256()
    packaged.archive.unlink()
    assert packaged.runs("package") == ["tar"]
    assert packaged.sha256() == before
    packaged.archive.write_bytes(b"short")
    assert packaged.runs("package") == ["tar"]
    assert packaged.sha256() == before


@pytest.mark.slow
@pytest.mark.parametrize("name", ["model.tar.gz.sha256", "manifest.json"])
@pytest.mark.parametrize("text", ["", "}{", "[1]", None])
def test_a_damaged_file_next_to_the_archive_is_written_again(packaged: Project, name: str, text: str | None) -> None:
    path = packaged.archive.with_name(name)
    before = path.read_text()
    path.unlink() if text is None else path.write_text(text)
    packaged.invoke("verify", code=None)
    assert packaged.runs("package") == ["tar"]
    assert path.read_text() == before
    packaged.invoke("verify")


def flip(path: Path, offset: int) -> None:
    """Change one byte and not the size."""
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


@pytest.mark.slow
def test_a_changed_staged_file_is_staged_again_and_never_published(packaged: Project) -> None:
    before = packaged.sha256()
    staged = packaged.root / "build" / "svd-local" / "stage" / "code" / "inference.py"
    flip(staged, 20)
    assert packaged.runs("plan", "--to", "upload", code=2)[:1] == ["assemble"]
    assert packaged.runs("package") == ["assemble"]
    flip(staged, 20)
    packaged.archive.unlink()
    assert packaged.runs("package") == ["assemble", "tar"]
    assert packaged.sha256() == before


def test_what_verify_refuses_the_next_package_repairs(packaged: Project) -> None:
    before = packaged.sha256()
    flip(packaged.archive, 100_000)
    assert "invoke package" in packaged.invoke("verify", code=4).stderr
    assert packaged.runs("package") == ["download", "tar"], "the model's files are hashed again, in case they are wrong"
    assert packaged.sha256() == before


@pytest.mark.slow
def test_an_edit_taken_back_after_an_interrupt_leaves_no_other_archive(packaged: Project) -> None:
    before = packaged.sha256()
    code = packaged.root / "inference_code" / "svd" / "inference.py"
    kept = code.read_bytes()
    flip(code, 4)  # of the docstring
    with mock.patch("sagepack.engine.steps.tar.write_atomically", side_effect=KeyboardInterrupt):
        assert "the same command continues" in packaged.invoke("package", code=130).stderr
    assert packaged.sha256() != before
    code.write_bytes(kept)
    assert "its last run did not finish" in packaged.invoke("package").stderr
    assert packaged.sha256() == before


def test_a_damaged_lock_is_refused_and_made_again_on_request(packaged: Project) -> None:
    lock = packaged.root / "config" / "locks" / "svd-local.lock.yaml"
    before = lock.read_text()
    lock.write_text("[1]")
    assert "lock --update" in packaged.invoke("package", code=1).stderr
    packaged.invoke("lock", "--update")
    assert lock.read_text() == before


@pytest.mark.slow
def test_in_the_sandbox_the_users_own_settings_neither_matter_nor_show(packaged: Project) -> None:
    strange = {
        "AWS_PROFILE": "nobody",
        "AWS_CONFIG_FILE": "/etc/passwd",
        "AWS_ACCESS_KEY_ID": "AKIAUSERSOWNKEY",
        "AWS_SECRET_ACCESS_KEY": "users-own-secret",
        "AWS_SESSION_TOKEN": "users-own-session",
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9",
        "HTTP_PROXY": "http://127.0.0.1:9",
        "http_proxy": "http://127.0.0.1:9",
        "ALL_PROXY": "http://127.0.0.1:9",
        "HF_TOKEN": "hf_usersown",
    }
    with mock.patch.dict(packaged.environment, strange):
        for words in (("lock", "--update"), ("upload",), ("doctor",)):
            ran = packaged.invoke(*words)
            assert not any(word in ran.stdout + ran.stderr for word in ("usersown", "users-own", "USERSOWN"))
    for path in (packaged.root / "build").rglob("*"):
        if path.is_file() and path.suffix in ("", ".json"):
            assert not any(word in path.read_bytes() for word in (b"usersown", b"users-own", b"USERSOWN"))


def test_a_profile_that_does_not_exist_is_reported_as_such(project: Project) -> None:
    with mock.patch.dict(project.environment, {"AWS_PROFILE": "nobody"}):
        told = " ".join(project.invoke("doctor", "--env", "prod", code=1).stdout.split())
    assert "nobody" in told
    assert "list-profiles" in told


def test_a_failure_with_json_is_one_document(project: Project) -> None:
    for words in (("package", "--env", "prd"), ("predict", "--timeout", "soon"), ("gc", "--older-than", "-1")):
        assert project.json(*words, code=1)["exit_code"] == 1


def test_a_damaged_state_file_of_the_sandbox_is_a_sandbox_that_does_not_run(tmp_path: Path) -> None:
    state = {"hub_url": "http://127.0.0.1:x", "aws_url": "http://127.0.0.1:1", "pid": 1, "control": "c"}
    path = tmp_path / "build" / "sandbox" / "state.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(state))
    assert sandbox.status(tmp_path) is None


def test_without_any_local_state_the_same_bytes_come_again(packaged: Project) -> None:
    before = packaged.sha256()
    packaged.invoke("clean")
    assert not packaged.archive.exists()
    assert packaged.runs("package") == ["download", "assemble", "checksum", "tar"]  # the files are judged again
    assert packaged.sha256() == before


def test_deploying_twice_does_it_once_and_destroy_leaves_nothing(packaged: Project) -> None:
    packaged.invoke("deploy")
    assert packaged.runs("deploy") == []
    assert packaged.runs("plan", "--to", "deploy") == []
    edit(packaged)
    again = packaged.actions("deploy")
    assert [step for step, action in again.items() if action["status"] == "run"] == [
        "assemble",
        "checksum",
        "upload",
        "deploy",
    ]
    packaged.invoke("destroy", "--yes")
    packaged.invoke("destroy", "--yes")
    assert "deploy" in packaged.runs("plan", "--to", "deploy", code=2)


def test_an_endpoint_of_another_spec_is_blocked_in_the_plan_and_before_a_byte_moves(packaged: Project) -> None:
    packaged.invoke("deploy")
    other = ("--set", "name=other")
    assert "belongs to another spec" in packaged.invoke("deploy", *other, code=1).stderr
    deploy = packaged.actions("plan", "--to", "deploy", *other, code=1)["deploy"]
    assert deploy["status"] == "blocked"
    assert "belongs to another spec" in " ".join(deploy["reasons"])
    assert "belongs to another spec" in packaged.invoke("deploy", *other, code=1).stderr
    assert "upload" in packaged.runs("plan", "--to", "upload", *other, code=2)
    packaged.invoke("destroy", "--yes")


@pytest.fixture
def protected(packaged: Project) -> Iterator[Project]:
    packaged.invoke("deploy")
    overlay = packaged.root / "config" / "env" / "local.yaml"
    before = overlay.read_text()
    overlay.write_text(f"{before}\nprotected: true\n")
    yield packaged
    overlay.write_text(before)
    packaged.invoke("destroy", "--yes")


def test_a_protected_environment_is_changed_after_a_yes_only(protected: Project) -> None:
    protected.invoke("deploy")  # nothing to do, nothing to ask
    edit(protected)
    ran = protected.invoke("deploy", code=1)
    assert "cannot ask for confirmation to deploy to local" in ran.stderr
    assert "code/inference.py changed" in ran.stderr
    assert "deploy" in protected.runs("plan", "--to", "deploy", code=2)
    protected.invoke("deploy", "--yes")
    assert protected.runs("plan", "--to", "deploy") == []


@pytest.mark.slow
def test_a_plan_that_was_reviewed_is_carried_out_exactly_or_not_at_all(protected: Project, tmp_path: Path) -> None:
    saved = tmp_path / "plan.json"
    edit(protected)
    protected.invoke("plan", "--to", "deploy", "--out", str(saved), code=2)
    edit(protected)
    ran = protected.invoke("deploy", "--plan", str(saved), code=1)
    assert "since the plan: code/inference.py changed" in ran.stderr
    assert "deploy" in protected.runs("plan", "--to", "deploy", code=2)
    other = protected.invoke("deploy", "--plan", str(saved), "--set", "endpoint.instance_type=ml.g5.4xlarge", code=1)
    assert "endpoint.instance_type changed" in other.stderr
    protected.invoke("plan", "--to", "deploy", "--out", str(saved), code=2)
    protected.invoke("deploy", "--plan", str(saved))
    protected.invoke("deploy", "--plan", str(saved))  # done already
    assert protected.runs("plan", "--to", "deploy") == []
    protected.invoke("destroy", "--yes")
    gone = protected.invoke("deploy", "--plan", str(saved), code=1)
    assert "endpoint svd does not exist" in gone.stderr


def test_what_is_no_plan_of_a_deployment_is_refused(packaged: Project, tmp_path: Path) -> None:
    saved = tmp_path / "plan.json"
    assert "cannot be read" in packaged.invoke("deploy", "--plan", str(saved), code=1).stderr
    packaged.invoke("plan", "--to", "package", "--out", str(saved))
    assert "ends with the step 'tar'" in packaged.invoke("deploy", "--plan", str(saved), code=1).stderr
    ReviewedPlan(Plan("deploy", ()), {}, "", {}).write(saved)
    assert "ends with the step 'none'" in packaged.invoke("deploy", "--plan", str(saved), code=1).stderr
    saved.write_bytes(saved.read_bytes()[:-9])
    assert "not a plan of this version" in packaged.invoke("deploy", "--plan", str(saved), code=1).stderr


def test_predict_waits_on_both_paths_and_tells_the_failure(packaged: Project) -> None:
    packaged.invoke("deploy")
    told = packaged.invoke("predict", "--timeout", "60", code=3).stderr
    assert "SAGEPACK_SERVE_PYTHON names no Python" in told
    packaged.invoke("destroy", "--yes")


def test_the_plan_is_readable_for_programs(packaged: Project) -> None:
    edit(packaged)
    for words, code in ((("plan", "--to", "deploy"), 2), (("package",), 0), (("plan", "--to", "package"), 0)):
        assert packaged.json(*words, code=code)["goal"] == words[-1]


def test_an_edit_of_the_code_is_published_by_copying_the_weights(packaged: Project) -> None:
    packaged.invoke("upload")
    edit(packaged)
    document = packaged.json("plan", "--to", "upload", code=2)
    weights = next(c for c in document["contents"] if c["path"].startswith("unet/") and c["size"] > 5 << 20)
    assert weights["copied"] > 0
    assert weights["fetched"] == weights["read"] == 0
    assert weights["source"].startswith("s3://sagepack-sandbox/models/svd/")
    assert weights["binding"] == "verified by this machine"
    code = sum(c["size"] for c in document["contents"] if c["path"].startswith("code/"))
    send = next(action["send"] for action in document["actions"] if action["step"] == "upload")
    assert send <= code + (64 << 10)
    packaged.invoke("upload")
    assert packaged.runs("plan", "--to", "upload") == []


def test_verify_finds_a_flipped_byte_and_says_where(packaged: Project) -> None:
    packaged.invoke("verify")
    packaged.invoke("verify", "--rebuild")
    with packaged.archive.open("r+b") as file:
        file.seek(-5000, os.SEEK_END)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))
    told = packaged.invoke("verify", code=4).stderr
    assert "the content of code/" in told
    assert "offset" in told
    packaged.archive.unlink()
    assert "cannot open the archive" in packaged.invoke("verify", code=1).stderr


def test_what_s3_holds_is_verified_and_a_flipped_byte_is_found(packaged: Project) -> None:
    packaged.invoke("upload")
    for words in (("--remote",), ("--remote", "--deep")):
        found = packaged.json("verify", *words)
        assert "s3://" in packaged.invoke("verify", *words).stdout
    box = sandbox.status(packaged.root)
    assert box is not None
    store = S3(Aws(AwsConnection("us-east-1", None, box.aws_url, box.access_key, box.secret_key)).client("s3"))
    archive = S3Uri.parse(found["artifact"])
    genuine = store.read(archive)
    assert genuine is not None
    store.put(archive, patched(genuine, 100_000, b"\1"))
    shallow = packaged.json("verify", "--remote", code=4)
    deep = packaged.json("verify", "--remote", "--deep", code=4)
    assert all(finding["where"] == str(archive) for found in (shallow, deep) for finding in found["findings"])
    assert [finding["offset"] for finding in deep["findings"] if finding["member"]]
    assert "invoke upload" in packaged.invoke("verify", "--remote", code=4).stderr
    store.delete(archive)
    packaged.invoke("upload")
    packaged.invoke("verify", "--remote", "--deep")
    edit(packaged)
    assert "invoke upload" in packaged.invoke("verify", "--remote", code=1).stderr
    assert "--remote" in packaged.invoke("verify", "--deep", code=1).stderr
    packaged.invoke("verify", "--remote", "--rebuild", code=1)


@pytest.mark.slow
def test_housekeeping_says_when_there_is_nothing_to_do(packaged: Project) -> None:
    assert packaged.json("doctor")["stale_uploads"] == []
    assert packaged.json("gc", "--yes")["removed"] == []
    assert packaged.json("policy")["document"]["Version"] == "2012-10-17"
    assert packaged.json("sandbox.status")["running"] is True


@pytest.mark.slow
def test_killed_at_any_moment_the_same_command_finishes(packaged: Project) -> None:
    expected = packaged.sha256()
    for delay in (0.3, 0.6, 0.9):
        packaged.invoke("clean")
        shutil.rmtree(packaged.root / "build" / "sandbox" / "huggingface", ignore_errors=True)
        command = subprocess.Popen(
            [*INVOKE, "package"],
            cwd=packaged.root,
            env=packaged.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(delay)
        command.send_signal(signal.SIGKILL)
        command.wait(30)
        packaged.invoke("package")
        assert packaged.sha256() == expected
        assert sorted(path.name for path in packaged.archive.parent.iterdir()) == [
            "manifest.json",
            "model.tar.gz",
            "model.tar.gz.sha256",
        ]


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("package", "--env", "prd"), "prod"),
        (("package", "--config", "config/nothing.yaml"), "config/nothing.yaml"),
        (("package", "--set", "endpoint.instanse_type=ml.g5.xlarge"), "instance_type"),
        (("package", "--set", "nonsense"), "key=value"),
        (("download", "--connections", "0"), "--connections"),
        (("package", "--connections", "many"), "whole number from 1 to 64"),
        (("validate", "--set", "environment.HF_MODEL_ID=a/b"), "HF_MODEL_ID"),
    ],
)
def test_a_wrong_word_is_reported_with_what_was_meant(project: Project, words: tuple[str, ...], text: str) -> None:
    assert text in project.invoke(*words, code=1).stderr


def test_no_command_prints_a_secret(packaged: Project) -> None:
    packaged.environment["HF_TOKEN"] = "hf_" + "s" * 34
    try:
        run = packaged.invoke("package", "--debug")
        assert "hf_sss" not in run.stdout + run.stderr
        for path in (packaged.root / "build").rglob("*.json"):
            assert b"hf_sss" not in path.read_bytes()
    finally:
        del packaged.environment["HF_TOKEN"]


TOKEN = "hf" + "_" + "aB3" * 11


@contextmanager
def left_in(project: Project, files: dict[str, str]) -> Iterator[None]:
    """The project with files that do not belong there, until the end; times of changed files stay."""
    before: dict[Path, tuple[bytes, os.stat_result] | None] = {}
    for name, text in files.items():
        path = project.root / name
        before[path] = (path.read_bytes(), path.stat()) if path.exists() else None
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        if kept := before[path]:
            os.utime(path, ns=(kept[1].st_atime_ns, kept[1].st_mtime_ns))
    try:
        yield
    finally:
        for path, kept in before.items():
            path.unlink() if kept is None else path.write_bytes(kept[0])


@pytest.mark.parametrize("task", ["validate", "plan", "assemble", "package", "upload", "deploy"])
def test_a_secret_left_in_the_code_is_refused_before_it_is_staged_and_never_repeated(
    packaged: Project, task: str
) -> None:
    code = "inference_code/svd"
    files = {f"{code}/.env": f"HF_TOKEN={TOKEN}\n", f"{code}/notes.yaml": f"a: b\ntoken: {TOKEN}\n"}
    with left_in(packaged, files):
        run = packaged.invoke(task, "--debug", code=1)
        document = packaged.json(task, code=1)
    assert f"{code}/notes.yaml:2: contains a Hugging Face token" in run.stderr
    assert [problem["where"] for problem in document["problems"]] == [f"{code}/.env", f"{code}/notes.yaml:2"]
    assert TOKEN not in run.stdout + run.stderr + json.dumps(document)
    assert not [
        path for path in (packaged.root / "build").rglob("*") if path.is_file() and TOKEN.encode() in path.read_bytes()
    ]


def test_a_secret_that_comes_after_the_code_was_checked_is_found(packaged: Project) -> None:
    packaged.invoke("validate")
    name = "inference_code/svd/inference.py"
    text = (packaged.root / name).read_text()
    line = f"# {TOKEN}"
    assert len(text) > len(line)
    with left_in(packaged, {name: f"{line}\n{text[len(line) + 1 :]}"}):  # neither size nor time say so
        for task in ("validate", "plan", "package"):
            assert f"{name}:1: contains a Hugging Face token" in packaged.invoke(task, code=1).stderr
    with left_in(packaged, {name: f"{text}\nx = 1  # {TOKEN} sagepack: not a secret\n"}):
        packaged.invoke("validate")
        packaged.invoke("package")


def test_a_secret_in_the_sample_is_refused(packaged: Project) -> None:
    name = "config/samples/svd.json"
    with left_in(packaged, {name: '{"inputs": "x",\n "api_key": "abcd1234efgh"}'}):
        for task in ("validate", "package"):
            assert f"{name}:2: contains a secret, by its name api_key" in packaged.invoke(task, code=1).stderr
        packaged.invoke("package", "--set", f"not_secret=[{name}]")


def test_the_spec_and_the_files_that_it_names_are_checked_together(packaged: Project) -> None:
    with left_in(packaged, {"inference_code/svd/id_rsa": "x"}):
        told = packaged.invoke(
            "validate", "--set", "environment.DB_PASS=hunter22", "--set", "endpoint.name=-x", code=1
        ).stderr
    assert "3 problems in the spec and the files of this project" in told


def test_what_is_left_out_is_counted_in_one_line(packaged: Project) -> None:
    with left_in(packaged, {"inference_code/svd/.gitignore": "x", "inference_code/svd/env/pyvenv.cfg": "x"}):
        assert "left out 1: env/ (a virtual environment)" in packaged.invoke("validate").stderr
        assert packaged.runs("package") == []
        edit(packaged)
        told = packaged.invoke("package").stderr
        assert "assemble: left out 2: .gitignore (left by tools), env/ (a virtual environment)" in told
