"""What a shell may offer, without a shell: the words of a line in, what may come next out."""

from __future__ import annotations

import pytest

from sagepack.cli import completion
from sagepack.cli.task import TASKS
from sagepack.cli.tasks import collection
from tests.helpers.paths import ROOT

FLAGS = {task.name: task.all_flags for task in TASKS}


def offered(*words: str) -> list[str]:
    return completion.candidates(words, FLAGS, ROOT)


@pytest.mark.parametrize(
    ("line", "answers"),
    [
        ("sagepack sandbox.sta", ["sandbox.status"]),
        ("sagepack --l", ["--list"]),
        ("sagepack --help pla", ["plan"]),
        ("sagepack plan --help ta", ["tar"]),
        ("sagepack --print-completion-script ", ["bash", "fish", "zsh"]),
        ("sagepack plan --env ", ["dev", "local", "prod"]),
        ("sagepack plan --env=d", ["dev"]),
        ("sagepack fleet dep", ["deploy"]),
        ("sagepack fleet deploy --envs d", ["dev"]),
        ("sagepack fleet deploy --envs dev,p", ["dev,prod"]),
        ("sagepack fleet deploy --select config/s", ["config/svd.yaml"]),
        ("sagepack plan --to ta", ["tar"]),
        (
            "sagepack plan --nope ",
            [
                "--config",
                "--env",
                "--set",
                "--json",
                "--events",
                "--debug",
                "--to",
                "--out",
                "--locked",
                "--stream",
                "--remote",
                "--workers",
            ],
        ),
        ("sagepack plan --env prod --set a=b --e", ["--events"]),
        ("sagepack plan --set a=b --s", ["--set", "--stream"]),
        ("sagepack plan --json=", []),
        ("sagepack new --n", []),
        ("sagepack diff ", ["live", "tree", "--config", "--env", "--set", "--json", "--events", "--debug"]),
        ("sagepack diff --env prod li", ["live"]),
        ("sagepack diff 2 t", ["tree"]),
        ("sagepack diff live tree t", []),
        ("sagepack diff 2 --j", ["--json"]),
        ("sagepack predict --input ", []),
        ("sagepack plan --set endpoint.scaling.min", ["endpoint.scaling.min_capacity="]),
        ("sagepack plan --set endpoint.tag", ["endpoint.tags."]),
        ("sagepack plan --set artifact.layout=", ["archive", "prefix"]),
        ("sagepack plan --set=endpoint.enable_network_isolation=", ["false", "true"]),
        ("sagepack plan --set aws.region=eu-central", ["eu-central-1", "eu-central-2"]),
        ("sagepack plan --set name=", []),
        ("sagepack plan --set nope=", []),
        ("sagepack plan --set 'artifact.lay", ["artifact.layout="]),
        ('sagepack plan --set "artifact.lay', ["artifact.layout="]),
    ],
)
def test_what_may_come_next_follows_from_the_line(line: str, answers: list[str]) -> None:
    assert offered(line) == answers


def test_words_from_a_script_of_invoke_are_put_together_again() -> None:
    assert offered("invoke", "plan", "--env") == ["dev", "local", "prod"]
    assert offered("invoke", "plan", "--set", "artifact.layout", "=") == ["archive", "prefix"]
    assert offered("invoke", "plan", "--set", "artifact.layout", "=", "pre") == ["prefix"]
    assert offered("invoke", "pla") == ["plan"]
    assert "--to" in offered("invoke", "plan")
    assert "plan" in offered("invoke")


def test_tags_and_instance_types_are_those_that_validation_knows() -> None:
    assert "2.6.0-transformers4.51.3-gpu-py312-cu124-ubuntu22.04" in offered("sagepack plan --set image.tag=2.6")
    assert "ml.g5.4xlarge" in offered("sagepack plan --set endpoint.instance_type=ml.g5")


def test_the_tasks_offered_are_those_that_invoke_runs() -> None:
    names = (min([name, *aliases], key=len) for name, aliases in collection(ROOT).task_names.items())
    assert offered("sagepack ") == sorted(names)


@pytest.mark.parametrize("shell", ["bash", "fish", "zsh"])
def test_a_script_serves_all_programs_that_have_the_tasks(shell: str) -> None:
    for program in ("sagepack", "invoke", "inv"):
        assert program in completion.script(shell)
