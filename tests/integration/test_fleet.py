"""Many specs and environments at once, against the sandbox: what travels once, what fails alone, what is left to do."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import CancelledError, Executor, Future, ProcessPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import jsonschema
import msgspec
import pytest
from invoke.program import Program

from sagepack.api import events, results
from sagepack.api.fleet.job import Task, perform
from sagepack.api.fleet.running import Fleet, JobOptions, Unwatched
from sagepack.api.project import Project
from sagepack.api.recording import Recorder
from sagepack.cli import fleet_events
from sagepack.cli.tasks import collection
from sagepack.deploy import waiter
from sagepack.errors import UserError
from sagepack.progress import Silent
from sagepack.sandbox.faults import Fault
from sagepack.spec.program import check
from tests.helpers import documents, model_samples
from tests.helpers.cloud import check_once
from tests.helpers.paths import ROOT, SCHEMAS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sagepack.sandbox.servers import Servers

EVENT = jsonschema.Draft202012Validator(json.loads((SCHEMAS / "event.schema.json").read_text()))
MODEL = 6 << 20  # bytes of the file that all share: one that S3 can copy
WEIGHTS = {"weights": {"dtype": "U8", "shape": [MODEL], "data_offsets": [0, MODEL]}}
SPEC = """\
name: {name}
model: {{id: acme/shared, revision: {commit}, include: [model.safetensors, config.json]}}
code: {{path: code}}
image: {{repository: huggingface-pytorch-inference, tag: 2.6.0-transformers4.51.3-gpu-py312-cu124-ubuntu22.04}}
endpoint: {{name: {name}, instance_type: ml.g5.2xlarge}}
"""
OVERLAY = """\
aws: {{account: "123456789012", region: us-east-1, role: "arn:aws:iam::123456789012:role/sagepack-sandbox"}}
artifact: {{target: "s3://sagepack-sandbox/{env}", reuse_from: [{reuse_from}]}}
"""


class Scene:
    """A project with some specs of one model, and the sandbox that answers for all services.

    Attributes:
        root: the project's folder.
        servers: the sandbox.
    """

    def __init__(self, root: Path, servers: Servers, *names: str) -> None:
        self.root, self.servers = root, servers
        model = root / "model"
        model.mkdir(parents=True)
        (model / "model.safetensors").write_bytes(model_samples.safetensors(WEIGHTS, os.urandom(MODEL)))
        (model / "config.json").write_text("{}")
        self.commit = servers.hub.repositories.add("acme/shared", model)
        (root / "config" / "env").mkdir(parents=True)
        for env, reuse_from in (("dev", ""), ("prod", "s3://sagepack-sandbox/dev")):
            overlay = OVERLAY.format(env=env, reuse_from=reuse_from)
            (root / "config" / "env" / f"{env}.yaml").write_text(f"sandbox: true\n{overlay}")
        (root / "code").mkdir()
        (root / "code" / "inference.py").write_text("def model_fn(model_dir): ...\n")
        for name in names:
            self.write(name)

    def write(self, name: str, file: str = "", **changes: str) -> None:
        """Write a spec, with some of its text replaced."""
        text = SPEC.format(name=name, commit=self.commit)
        for old, new in changes.items():
            text = text.replace(old, new)
        (self.root / "config" / f"{file or name}.yaml").write_text(text)

    def fleet(self, *envs: str, **how: Any) -> Fleet:
        """All specs in some environments."""
        self.servers.faults.clear()
        self.servers.aws.faults.clear()
        return Fleet(self.root, envs=envs or ("dev",), **how)

    def lock(self, *envs: str) -> None:
        """Lock all specs."""
        run = self.fleet(*envs).run("lock")
        assert run.exit_code == 0, [job.error for job in run.jobs if job.error]

    def reach_as_aws(self) -> dict[str, str]:
        """Let the environments be those of an account, whose services are the sandbox; the variables of a process for it."""
        for path in (self.root / "config" / "env").iterdir():
            path.write_text(path.read_text().replace("sandbox: true\n", ""))
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "HF_"))}
        servers = self.servers
        keys = {"AWS_ACCESS_KEY_ID": servers.access_key, "AWS_SECRET_ACCESS_KEY": servers.secret_key}
        hub = {"HF_ENDPOINT": servers.hub_url, "HF_TOKEN": servers.hf_token, "HF_HUB_CACHE": str(self.root / "cache")}
        return {**kept, **keys, **hub, "AWS_ENDPOINT_URL": servers.aws_url, "PYTHONPATH": str(ROOT)}

    @property
    def sent(self) -> int:
        """Bytes that S3 got since."""
        return sum(request.received for request in self.servers.aws.faults.log if request.method == "PUT")

    @property
    def fetched(self) -> int:
        """Bytes that the Hub sent since."""
        return sum(request.sent for request in self.servers.faults.log)

    def command(self, *words: str) -> tuple[int, str, str]:
        """A command line: its exit code, and what it printed on stdout and stderr."""
        out, err, code = io.StringIO(), io.StringIO(), 0
        with redirect_stdout(out), redirect_stderr(err):
            try:
                Program(namespace=collection(self.root), binary="invoke").run(["invoke", *words], exit=False)
            except SystemExit as ended:
                code = int(ended.code or 0)
        return code, out.getvalue(), err.getvalue()


@pytest.fixture
def make(sandbox: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Scene]]:
    """Makes the project with specs of some names."""
    patient = waiter.WaiterConfig(delay=0.02, timeout=60, outage=30)
    monkeypatch.setattr(waiter.WaiterConfig, "of", lambda _spec: patient)
    monkeypatch.setattr(check, "check", check_once)
    with mock.patch("sagepack.api.connect.running", return_value=sandbox), mock.patch.dict(os.environ):
        yield lambda *names: Scene(tmp_path / "project", sandbox, *names)


def statuses(run: results.FleetRun) -> dict[str, str]:
    """The status of each job; why it failed is printed."""
    for job in run.jobs:
        if job.error:
            print(job.config, job.env, job.error)  # noqa: T201 - a test that fails shows it
    return {f"{job.name or job.config} {job.env}": job.status for job in run.jobs}


def test_a_shared_content_is_fetched_and_sent_once_and_the_plan_says_so(make: Callable[..., Scene]) -> None:
    scene = make("a", "b")
    scene.lock("dev", "prod")
    planned = scene.fleet("dev", "prod").plan("upload")
    assert (planned.exit_code, planned.fetch // MODEL, planned.send // MODEL, planned.copy // MODEL) == (2, 1, 1, 3)
    assert planned.fetch < MODEL + 1000
    assert scene.sent == 0

    run = scene.fleet("dev", "prod").run("upload")
    assert set(statuses(run).values()) == {"done"}
    assert run.exit_code == 0
    assert MODEL < scene.sent < 1.1 * MODEL
    assert MODEL <= scene.fetched < 1.5 * MODEL
    assert run.send // MODEL == 1
    assert run.copy // MODEL == 3
    assert len({job.artifact.uri for job in run.jobs if job.artifact}) == 4

    again = scene.fleet("dev", "prod").run("upload")
    assert set(statuses(again).values()) == {"unchanged"}
    assert (scene.sent, scene.fetched, again.send) == (0, 0, 0)


def test_a_model_is_downloaded_once_for_all_who_package_it(make: Callable[..., Scene]) -> None:
    scene = make("a", "b")
    planned = scene.fleet("dev", "prod").plan("package")
    assert planned.exit_code == 2
    run = scene.fleet("dev", "prod").run("package")
    assert run.exit_code == 0
    assert MODEL <= scene.fetched < 1.5 * MODEL
    assert sum(job.fetch > 0 for job in run.jobs) == 1
    for path in (scene.root / "build" / "sandbox" / "huggingface").rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.unlink()
    (scene.root / "build" / "hash-cache.json").unlink()
    again = scene.fleet("dev", "prod").plan("package")
    assert MODEL <= again.fetch < MODEL + 1000


def test_a_wrong_spec_fails_alone_with_all_that_is_wrong(make: Callable[..., Scene]) -> None:
    scene = make("a", "b")
    scene.write("wrong", **{"ml.g5.2xlarge": "ml.g5.3xlarge", "{path: code}": "{path: none}"})
    code, out, err = scene.command("fleet", "checksum", "--envs", "dev,prod", "--json")
    document = documents.checked(out)
    jobs = {(job["config"], job["env"]): job for job in document["result"]["jobs"]}
    assert code == document["exit_code"] == 1
    assert {job["status"] for (config, _), job in jobs.items() if config != "config/wrong.yaml"} == {"done"}
    wrong = jobs["config/wrong.yaml", "dev"]
    assert [problem["key"] for problem in wrong["error"]["problems"]] == ["code.path", "endpoint.instance_type"]
    assert "instance_type" in (scene.root / wrong["log"]).read_text()
    assert "config/wrong.yaml dev: failed: 2 problems in the spec" in err
    code, out, _ = scene.command("fleet", "checksum", "--envs", "dev,prod")
    assert code == 1
    assert out.count('"ml.g5.3xlarge" is not a value that the service knows') == 1  # one mistake, two jobs
    assert out.splitlines()[-1] == "6 jobs, checksum: 2 failed, 4 up to date"


def test_what_a_service_does_to_one_job_is_the_exit_code_and_frees_those_that_waited(
    make: Callable[..., Scene],
) -> None:
    scene = make("a", "b", "c")
    scene.lock("dev")
    (scene.root / "config" / "a.yaml").write_text(
        SPEC.format(name="a", commit=scene.commit).replace("{name: a,", "{name: a, volume_size: 3,")
    )
    run = scene.fleet().run("upload")
    assert statuses(run) == {"config/a.yaml dev": "failed", "b dev": "done", "c dev": "done"}
    assert run.send // MODEL == 1
    assert run.exit_code == 1


def told_by(path: Path) -> list[dict[str, Any]]:
    """The events in a file, each of which matches the schema."""
    found = [json.loads(line) for line in path.read_text().splitlines()]
    for event in found:
        EVENT.validate(event)
    return found


def of(kind: str, told: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [event for event in told if event["event"] == kind]


def test_the_events_of_a_fleet_name_their_job_and_are_those_of_the_job_alone(make: Callable[..., Scene]) -> None:
    scene = make("a", "b")
    scene.lock("dev")
    assert not list(scene.root.glob("build/*/last-run.jsonl"))  # nothing was built
    path = scene.root / "events.jsonl"
    words = ("fleet", "upload", "--envs", "dev", "--events", str(path))
    code, out, _ = scene.command(*words)
    assert (code, out.splitlines()[-1].startswith("2 jobs, upload: 2 done")) == (0, True)
    told = told_by(path)
    assert [event["event"] for event in (told[0], told[1], told[-1])] == ["run-begun", "fleet-begun", "run-ended"]
    assert (told[0]["task"], told[0]["env"], told[-1]["result"]["goal"]) == ("fleet", "", "upload")
    ended = of("job-ended", told)
    results_of = {(each["job"]["config"], each["job"]["env"]): each["result"] for each in ended}
    assert list(results_of.values()) == sorted(told[-1]["result"]["jobs"], key=list(results_of.values()).index)
    assert [event["job"] for event in of("job-begun", told)].count(told[1]["jobs"][0]) == 1
    assert len(told[1]["jobs"]) == len(ended) == 2
    for job in told[1]["jobs"]:
        kept = told_by(scene.root / "build" / f"{Path(job['config']).stem}-{job['env']}" / "last-run.jsonl")
        assert (kept[0]["event"], kept[0]["task"], kept[0]["config"]) == ("run-begun", "upload", job["config"])
        assert (kept[-1]["event"], kept[-1]["exit_code"]) == ("run-ended", 0)
        mine = [each for each in told if each.get("job") == job]
        assert [each["event"] for each in (mine[0], mine[-1])] == ["job-begun", "job-ended"]
        assert [{**each, "job": None} for each in mine[1:-1]] == kept[1:-1]
        result = kept[-1]["result"]
        assert [each["step"] for each in of("step-ended", kept)] == list(mine[-1]["result"]["steps"])
        assert result["artifact"] == mine[-1]["result"]["artifact"]

    before = {file: file.read_bytes() for file in scene.root.glob("build/*/last-run.jsonl")}
    assert scene.command(*words)[0] == 0
    assert {each["result"]["status"] for each in of("job-ended", told_by(path))} == {"unchanged"}
    assert {file: file.read_bytes() for file in scene.root.glob("build/*/last-run.jsonl")} == before


def test_a_job_that_does_not_begin_is_told_with_its_reason(make: Callable[..., Scene]) -> None:
    scene = make("a", "b")
    for folder in ("more", "else"):
        (scene.root / folder).mkdir()
        (scene.root / folder / "b.yaml").write_bytes((scene.root / "config" / "b.yaml").read_bytes())
    (scene.root / "config" / "b.yaml").unlink()
    path = scene.root / "events.jsonl"
    selected = [word for folder in ("config", "more", "else") for word in ("--select", f"{folder}/*.yaml")]
    assert scene.command("fleet", "lock", "--envs", "dev", "--events", str(path), *selected)[0] == 1
    told = told_by(path)
    assert [event["job"]["config"] for event in of("job-begun", told)] == ["config/a.yaml"]
    assert [(event["job"]["config"], event["reason"]) for event in of("job-skipped", told)] == [
        ("more/b.yaml", "else/b.yaml has the name 'b', too"),
        ("else/b.yaml", "more/b.yaml has the name 'b', too"),
    ]


def test_a_job_that_fails_keeps_why(make: Callable[..., Scene]) -> None:
    scene = make("a")
    scene.lock("dev")
    path = scene.root / "events.jsonl"
    scene.fleet()
    scene.servers.aws.faults.add(Fault("status", "*", "PUT", value=403))
    assert scene.command("fleet", "upload", "--envs", "dev", "--events", str(path))[0] != 0
    kept = told_by(scene.root / "build" / "a-dev" / "last-run.jsonl")
    job = of("job-ended", told_by(path))[0]["result"]
    assert (kept[-1]["event"], kept[-1]["result"]) == ("run-ended", None)
    assert kept[-1]["exit_code"] == job["exit_code"] != 0
    assert kept[-1]["error"]["message"] == job["error"]["message"]


def test_a_job_that_is_stopped_in_the_middle_keeps_events_without_an_end(make: Callable[..., Scene]) -> None:
    scene = make("a")
    scene.lock("dev")

    def stopped(project: Project, _goal: str, **_: Any) -> None:
        project.validate()
        with project.progress.step("upload", ["it is not there"]):
            raise CancelledError

    task = Task(str(scene.root), "config/a.yaml", "dev", "upload", str(scene.root / "log"))
    with mock.patch.object(Project, "build", stopped), pytest.raises(CancelledError):
        perform(msgspec.json.encode(task).decode())
    kept = told_by(scene.root / "build" / "a-dev" / "last-run.jsonl")
    assert [each["event"] for each in kept] == ["run-begun", "step-begun", "step-ended"]
    assert scene.fleet().run("checksum").exit_code == 0
    kept = told_by(scene.root / "build" / "a-dev" / "last-run.jsonl")
    assert [each["event"] for each in (kept[0], kept[-1])] == ["run-begun", "run-ended"]
    assert [each["event"] for each in kept].count("run-begun") == 1


def test_the_events_of_an_interrupted_fleet_tell_what_had_not_begun(make: Callable[..., Scene]) -> None:
    scene = make("a", "b", "c")
    told: list[Any] = []

    class Impatient(Unwatched):
        def ended(self, job: results.Job) -> None:
            del job
            raise KeyboardInterrupt

    watcher = fleet_events.telling(Recorder(Silent(), told.append), Impatient())
    with pytest.raises(KeyboardInterrupt):
        scene.fleet(watcher=watcher, jobs=1).run("checksum")
    ends = [event for event in told if isinstance(event, (events.JobEnded, events.JobSkipped))]
    assert [(each.job.config, each.result.status) for each in ends] == [
        ("config/a.yaml", "done"),
        ("config/b.yaml", "waiting"),
        ("config/c.yaml", "waiting"),
    ]
    assert [each.reason for each in ends if isinstance(each, events.JobSkipped)] == ["the fleet was interrupted"] * 2


@pytest.mark.slow
def test_an_interrupt_tells_what_was_done_and_the_same_call_does_the_rest(make: Callable[..., Scene]) -> None:
    scene = make("a", "b", "c")

    class Impatient(Unwatched):
        def ended(self, job: results.Job) -> None:
            del job
            raise KeyboardInterrupt

        def interrupted(self, run: results.FleetRun) -> None:
            told.append(run)

    told: list[results.FleetRun] = []
    with pytest.raises(KeyboardInterrupt):
        scene.fleet(watcher=Impatient(), jobs=1).run("upload")
    assert statuses(told[0]) == {"a dev": "done", "b dev": "waiting", "c dev": "waiting"}
    assert told[0].exit_code == 130
    run = scene.fleet().run("upload")
    assert statuses(run) == {"a dev": "unchanged", "b dev": "done", "c dev": "done"}
    assert scene.sent < MODEL // 10


@pytest.mark.slow
def test_the_matrix_is_one_line_with_the_jobs_that_have_work(make: Callable[..., Scene]) -> None:
    scene = make("a", "b")
    assert scene.command("fleet", "upload", "--envs", "dev,prod")[0] == 0
    scene.write("b", **{"{path: code}": "{path: none}"})
    scene.write("c")
    code, out, _ = scene.command("fleet", "upload", "--envs", "dev,prod", "--matrix")
    assert code == 0
    assert len(out.splitlines()) == 1
    assert json.loads(out) == {
        "include": [{"config": f"config/{name}.yaml", "env": env} for name in "bc" for env in ("dev", "prod")]
    }
    code, out, _ = scene.command("fleet", "upload", "--select", "config/a.yaml", "--envs", "dev", "--matrix")
    assert (code, json.loads(out)) == (0, {"include": []})
    code, out, _ = scene.command("fleet", "upload", "--matrix", "--envs", "dev", "--json")
    assert len(documents.checked(out)["result"]["include"]) == 2


@pytest.mark.slow
def test_a_deploy_publishes_what_others_wait_for_first_and_counts_as_one_job(make: Callable[..., Scene]) -> None:
    scene = make("a", "b")
    run = scene.fleet().run("deploy", JobOptions(smoke=False))
    assert statuses(run) == {"a dev": "done", "b dev": "done"}
    assert [job.endpoint.name for job in run.jobs if job.endpoint] == ["a", "b"]
    assert [job.steps[-2:] for job in run.jobs] == [("upload", "deploy")] * 2
    assert (run.send // MODEL, run.copy // MODEL) == (1, 1)
    for job in run.jobs:  # of the two parts of the first one, its folder keeps one run
        kept = told_by(scene.root / "build" / f"{job.name}-dev" / "last-run.jsonl")
        assert [kept[0]["event"], kept[-1]["event"], kept[0]["task"]] == ["run-begun", "run-ended", "deploy"]
        assert len([each for each in kept if each["event"].startswith("run-")]) == 2
        assert tuple(each["step"] for each in of("step-ended", kept)) == job.steps
        assert kept[-1]["result"]["actions"] == json.loads(msgspec.json.encode(job.actions))
        assert kept[-1]["seconds"] == pytest.approx(job.seconds)


def test_protected_environments_are_asked_about_once_with_the_plan_of_all(make: Callable[..., Scene]) -> None:
    scene = make("a")
    scene.lock("prod")
    overlay = scene.root / "config" / "env" / "prod.yaml"
    overlay.write_text(f"protected: true\n{overlay.read_text()}")
    command = ("fleet", "deploy", "--envs", "prod", "--no-smoke")
    code, _, err = scene.command(*command)
    assert code == 1
    assert "1 job, plan to deploy: 1 to do; " in err
    assert "cannot ask for confirmation to deploy 1 job to prod: stdin is not a terminal" in err
    assert scene.sent == 0

    answer = mock.Mock(isatty=lambda: True, readline=lambda: "y\n")
    path = scene.root / "events.jsonl"
    with mock.patch("sys.stdin", answer):
        code, out, err = scene.command(*command, "--events", str(path))
    assert code == 0, err
    assert [event["goal"] for event in of("fleet-begun", told_by(path))] == ["plan", "deploy"]
    assert [event["result"]["status"] for event in of("job-ended", told_by(path))] == ["planned", "done"]
    assert err.count("[y/N]") == 1
    assert out.splitlines()[-1].startswith("1 job, deploy: 1 done; ")
    code, _, err = scene.command(*command, "--events", str(path))
    assert (code, "[y/N]" in err) == (0, False)
    assert [event["reason"] for event in of("job-skipped", told_by(path))] == ["there is nothing to do"]
    assert scene.command(*command, "--yes")[0] == 0


@pytest.mark.slow
def test_a_setting_is_laid_over_every_spec(make: Callable[..., Scene]) -> None:
    scene = make("a", "b")
    scene.lock()
    words = ["fleet", "deploy", "--envs", "dev", "--json", "--set", "endpoint.instance_type=ml.g6.xlarge"]
    code, out, said = scene.command(*words)
    assert code == 0, said
    jobs = documents.checked(out)["result"]["jobs"]
    assert [job["status"] for job in jobs] == ["done", "done"]
    run = scene.fleet(sets="endpoint.instance_type=ml.g6.xlarge").plan("deploy")
    assert set(statuses(run).values()) == {"unchanged"}
    assert set(statuses(scene.fleet().plan("deploy")).values()) == {"planned"}
    code, out, _ = scene.command("fleet", "validate", "--envs", "dev", "--set", "endpoint.instance_type=ml.g6.xlrge")
    assert code == 1
    assert out.count("is not a value that the service knows") == 1  # once for both


def test_mistakes_of_the_selection_are_told_before_anything_runs(make: Callable[..., Scene]) -> None:
    scene = make("a")
    for words, message in (
        (("--select", "config/z*.yaml"), "no spec matches 'config/z*.yaml'"),
        (("--envs", "dev,prd"), "--envs: unknown environment 'prd'; available: dev, prod\n  did you mean 'prod'?"),
        (("--envs", ","), "--envs: names no environment"),
        (("--to", "upload"), "--to: it is for the goal plan"),
    ):
        code, _, err = scene.command("fleet", "upload", *words)
        assert (code, message in err) == (1, True), err
    with pytest.raises(UserError, match=r"unknown step 'depoly'\s+did you mean 'deploy'\?"):
        scene.fleet().run("depoly")
    with pytest.raises(UserError, match="no project here"):
        Fleet(scene.root.parent).run("validate")


def test_specs_of_one_name_are_refused_wherever_they_lie(make: Callable[..., Scene]) -> None:
    scene = make("a", "b")
    (scene.root / "more").mkdir()
    (scene.root / "config" / "b.yaml").rename(scene.root / "more" / "b.yaml")
    (scene.root / "else").mkdir()
    text = (scene.root / "more" / "b.yaml").read_text()
    (scene.root / "else" / "b.yaml").write_text(text)
    run = scene.fleet(select=("config/*.yaml", "more/*.yaml", "else/*.yaml")).run("lock")
    assert [job.status for job in run.jobs] == ["done", "failed", "failed"]
    assert run.jobs[1].error
    assert run.jobs[1].error.message == "else/b.yaml has the name 'b', too"


def test_locks_that_are_out_of_date_are_refused_in_ci(make: Callable[..., Scene]) -> None:
    scene = make("a", "b")
    scene.lock("dev")
    scene.write("b", **{"include: [model.safetensors, config.json]": "include: [config.json]"})
    run = scene.fleet().run("upload", JobOptions(locked=True))
    assert statuses(run) == {"a dev": "done", "b dev": "failed"}
    assert run.jobs[1].error
    assert re.search("the lock needs to be updated, but --locked", run.jobs[1].error.message)


def test_any_executor_runs_the_jobs_and_a_lost_worker_fails_only_its_job(make: Callable[..., Scene]) -> None:
    scene = make("a", "b", "c")

    class Lossy(Executor):
        """Loses the second job."""

        texts: list[str] = []  # noqa: RUF012 - of one test

        def submit(self, task: Any, /, *words: Any, **_: Any) -> Future[Any]:
            self.texts.append(words[0])
            future: Future[Any] = Future()
            assert task is perform
            if len(self.texts) == 2:
                future.set_exception(ConnectionError("the scheduler has gone"))
            else:
                future.set_result(task(*words))
            return future

    run = scene.fleet(executor=Lossy()).run("lock")
    assert statuses(run) == {"a dev": "done", "b dev": "failed", "c dev": "done"}
    secrets = (scene.servers.secret_key, scene.servers.hf_token)
    assert not any(secret in text for text in Lossy.texts for secret in secrets)
    assert statuses(scene.fleet().run("lock"))["b dev"] == "done"


@pytest.mark.slow
def test_processes_reach_what_threads_reach(make: Callable[..., Scene], monkeypatch: pytest.MonkeyPatch) -> None:
    scene = make("a", "b", "c")
    for name, value in scene.reach_as_aws().items():
        monkeypatch.setenv(name, value)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as processes:
        run = scene.fleet("dev", "prod", executor=processes, jobs=2).run("upload")
    assert set(statuses(run).values()) == {"done"}
    assert MODEL < scene.sent < 1.1 * MODEL
    assert set(statuses(scene.fleet("dev", "prod").run("upload")).values()) == {"unchanged"}


@pytest.mark.slow
@pytest.mark.parametrize("instant", ["/contents/", "/releases/"])
def test_after_a_kill_the_same_command_does_what_is_left_and_sends_no_content_twice(
    make: Callable[..., Scene], instant: str
) -> None:
    scene = make(*"abcdef")
    environment = scene.reach_as_aws()
    command = [sys.executable, "-m", "sagepack", "fleet", "upload", "--envs", "dev,prod", "--json", "--jobs", "2"]
    scene.fleet()  # forgets the requests before

    def published() -> list[str]:
        puts = [each for each in scene.servers.aws.faults.log if each.method == "PUT" and instant in each.path]
        return [each.path for each in puts]

    with subprocess.Popen(command, cwd=scene.root, env=environment, stdout=subprocess.DEVNULL) as process:
        until = time.monotonic() + 120
        while not published() and process.poll() is None and time.monotonic() < until:
            time.sleep(0.005)
        process.kill()
    assert process.returncode == -9
    assert len(published()) < 12
    assert list(scene.root.glob("build/*/last-run.jsonl"))
    ran = subprocess.run(
        command, cwd=scene.root, env=environment, capture_output=True, text=True, check=True, timeout=300
    )
    jobs = documents.checked(ran.stdout)["result"]["jobs"]
    assert {job["status"] for job in jobs} <= {"done", "unchanged"}
    assert MODEL < scene.sent < 1.2 * MODEL
    for job in jobs:
        told = told_by(scene.root / "build" / f"{job['name']}-{job['env']}" / "last-run.jsonl")
        assert [each["event"] for each in told].count("run-begun") == 1
        assert told[-1]["event"] == "run-ended" or job["status"] == "unchanged"
    again = subprocess.run(
        command, cwd=scene.root, env=environment, capture_output=True, text=True, check=True, timeout=300
    )
    assert {job["status"] for job in documents.checked(again.stdout)["result"]["jobs"]} == {"unchanged"}
