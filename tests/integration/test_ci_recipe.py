"""The workflow for GitHub Actions: its commands, run in order as a runner does, in a project with a sandbox of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from sagepack.api.results import FOUND_WORK
from tests.helpers import documents
from tests.helpers.paths import ROOT
from tests.integration.test_whole_way import Project

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGE = ROOT / "docs" / "how-to" / "ci.md"
RECIPE = ROOT / "docs" / "how-to" / "github-actions.yml"
# What the runner has and this machine has not: each is a program that says how it was called.
STUBS = {
    "sagepack": f'exec "{sys.executable}" -m sagepack "$@"',
    "gh": 'echo "gh $*" >> calls.txt; cat plan.md >> calls.txt',
    "python": f'exec "{sys.executable}" "$@"',
}


def steps(job: str) -> list[dict[str, Any]]:
    """The steps of a job."""
    found: list[dict[str, Any]] = yaml.safe_load(RECIPE.read_text())["jobs"][job]["steps"]
    return found


class Runner:
    """Runs the commands of steps, as a runner of GitHub does."""

    def __init__(self, project: Project, folder: Path) -> None:
        self.project, self.folder = project, folder
        self.summary = folder / "summary.md"
        for name, text in STUBS.items():
            path = folder / name
            path.write_text(f"#!/bin/bash\n{text}\n")
            path.chmod(0o755)

    def run(self, job: str, name: str, target: str = "local") -> subprocess.CompletedProcess[str]:
        """Run the step of this name for an environment of the project."""
        (step,) = (step for step in steps(job) if step.get("name") == name)
        return self.run_step(step, target)

    def run_step(self, step: dict[str, Any], target: str = "local") -> subprocess.CompletedProcess[str]:
        """Run a step."""
        values = {**yaml.safe_load(RECIPE.read_text())["env"], **step.get("env", {}), "TARGET": target}
        known = {key: value for key, value in values.items() if "${{" not in value}
        environment = {
            **self.project.environment,
            **known,
            "GITHUB_STEP_SUMMARY": str(self.summary),
            "GITHUB_OUTPUT": str(self.folder / "output"),
            "PULL_REQUEST": "7",
            "PATH": f"{self.folder}{os.pathsep}{os.environ['PATH']}",
        }
        script = self.folder / "script"
        script.write_text(step["run"])
        command = [sys.executable, str(script)] if step.get("shell") == "python" else ["bash", "-e", str(script)]
        return subprocess.run(
            command, cwd=self.project.root, env=environment, capture_output=True, text=True, check=False, timeout=300
        )


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Runner]:
    """A runner for a project as it is checked out."""
    (tmp_path / "project").mkdir()
    (tmp_path / "runner").mkdir()
    project = Project(tmp_path / "project")
    yield Runner(project, tmp_path / "runner")
    project.invoke("sandbox.stop")


@pytest.mark.slow
def test_a_pull_request_gets_the_plan_and_main_deploys_it(runner: Runner) -> None:
    root = runner.project.root
    assert runner.run("plan", "Check the spec").returncode == 0

    planned = runner.run("plan", "Plan")
    assert planned.returncode == 0, planned.stderr
    assert runner.summary.read_text().startswith("### config/svd.yaml for local: changes\n\n```\n")
    assert runner.run("plan", "Comment on the pull request").returncode == 0
    called, *comment = (root / "calls.txt").read_text().splitlines()
    assert called == "gh pr comment 7 --body-file plan.md --edit-last --create-if-none"
    assert "\n".join(comment).strip() == runner.summary.read_text().strip()
    assert re.search(r"^deploy +run\b", "\n".join(comment), re.MULTILINE)

    before = {path.name for path in root.iterdir()}
    deployed = runner.run("deploy", "Deploy")
    assert deployed.returncode == 0, deployed.stderr
    # A new file that git does not ignore would be a change of the project, for the provenance.
    assert {path.name for path in root.iterdir()} - before <= {"build", "dist", "home"}
    assert documents.checked((root / "build" / "deployed.json").read_text())["result"]["endpoint"]["name"] == "svd"
    assert not (root / "dist" / "svd" / "local" / "model.tar.gz").exists()  # streamed: small disks suffice

    assert runner.run("plan", "Plan").returncode == 0
    assert "### config/svd.yaml for local: nothing to do\n" in runner.summary.read_text()
    edited = root / "inference_code" / "svd" / "inference.py"
    edited.write_text(f"{edited.read_text()}\n# edited after the plan\n")
    refused = runner.run("deploy", "Deploy")
    assert refused.returncode == 1
    assert "what was reviewed is not what would be done now" in refused.stderr


@pytest.mark.slow
def test_a_job_selects_the_specs_that_have_work_and_the_matrix_takes_them(runner: Runner) -> None:
    (block,) = (text for text in re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL) if "--matrix" in text)
    jobs = yaml.safe_load(block)
    (step,) = (step for step in jobs["select"]["steps"] if step.get("id") == "work")
    step["run"] = step["run"].replace("--envs dev,prod", "--envs local")

    def select() -> dict[str, Any]:
        (runner.folder / "output").unlink(missing_ok=True)
        ran = runner.run_step(step)
        assert ran.returncode == 0, ran.stderr
        return {
            name: json.loads(value)
            for name, _, value in (line.partition("=") for line in (runner.folder / "output").read_text().splitlines())
        }

    everything = [{"config": f"config/{name}.yaml", "env": "local"} for name in ("llava", "svd")]
    assert select() == {"matrix": {"include": everything}, "any": 1}
    runner.project.invoke("fleet", "deploy", "--no-smoke")
    assert select() == {"matrix": {"include": []}, "any": 0}
    deploy = jobs["deploy"]
    assert deploy["if"] == "needs.select.outputs.any == 1"
    used = set(re.findall(r"(?:outputs|matrix)\.(\w+)", str(deploy)))
    assert used == {"any", "matrix", *everything[0]}
    (command,) = (each["run"] for each in deploy["steps"])
    assert runner.run_step({"run": command, "env": {"CONFIG": "config/llava.yaml"}}).returncode == 0
    assert jobs["select"]["outputs"].keys() == {"any", "matrix"}


def test_mistakes_are_shown_at_their_lines(runner: Runner) -> None:
    path = runner.project.root / "config" / "svd.yaml"
    path.write_text(
        path.read_text().replace("ml.g5.2xlarge", "ml.g5.3xlarge").replace("max_capacity: 2", "max_capacity: x")
    )
    assert runner.run("plan", "Check the spec").returncode == 1
    shown = runner.run("plan", "Show each mistake at its line")
    assert shown.returncode == 0, shown.stderr
    found = re.findall(r"^::error file=config/svd\.yaml,line=(\d+),col=(\d+)::(\S+) ", shown.stdout, re.MULTILINE)
    lines = path.read_text().splitlines()
    assert [key for *_, key in found] == ["endpoint.instance_type", "endpoint.scaling.max_capacity"]
    assert [lines[int(line) - 1][int(column) - 1 :].split()[0] for line, column, _ in found] == ["ml.g5.3xlarge", "x"]
    assert runner.run("plan", "Plan").returncode == 1


def test_warnings_are_shown_at_their_lines_too(runner: Runner) -> None:
    assert runner.run("plan", "Check the spec", target="prod").returncode == 0
    shown = runner.run("plan", "Show each mistake at its line")
    assert re.match(
        r"::warning file=config/env/prod\.yaml,line=\d+,col=\d+::aws\.account 444455556666 is ", shown.stdout
    )


def test_the_workflow_is_whole() -> None:
    recipe = yaml.safe_load(RECIPE.read_text())
    text = RECIPE.read_text()
    assert set(re.findall(r"env\.(\w+)", text)) <= recipe["env"].keys()
    ids = {step["id"] for job in recipe["jobs"] for step in steps(job) if "id" in step}
    assert set(re.findall(r"steps\.(\w+)\.", text)) <= ids
    for job in recipe["jobs"].values():
        assert set(job.get("needs", "").split()) <= recipe["jobs"].keys()
        assert all(("uses" in step) != ("run" in step) for step in job["steps"])
        assert all(re.fullmatch(r"[\w-]+/[\w-]+@v\d+", step["uses"]) for step in job["steps"] if "uses" in step)
    assert f'"$code" -ne {FOUND_WORK}' in text
