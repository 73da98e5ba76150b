"""Packages under the image's real serving stack, as the sandbox's endpoints run them. Needs `make serve-venv` and Java."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sagepack.serving import model_server
from sagepack.serving.containers import Containers, Package
from sagepack.serving.model_server import InferenceRequest
from tests.helpers import pictures
from tests.helpers.paths import ROOT
from tests.helpers.serving_project import Project

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MISSING = model_server.unavailable()
pytestmark = [pytest.mark.slow, pytest.mark.skipif(MISSING is not None, reason=str(MISSING))]
SMALL = {"num_frames": 4, "num_inference_steps": 2, "width": 128, "height": 64}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    project = Project(tmp_path_factory.mktemp("project"))
    run = project.invoke("deploy")
    assert run.returncode == 0, run.stderr
    yield project
    project.invoke("sandbox.stop")


@pytest.fixture(scope="module")
def picture() -> str:
    document: dict[str, Any] = json.loads((ROOT / "config" / "samples" / "svd.json").read_text(encoding="utf-8"))
    return str(document["inputs"])


def test_the_packaged_miniature_shows_the_picture_and_moves_it_and_does_so_again(
    project: Project, picture: str
) -> None:
    answers = []
    for _ in range(2):
        run = project.predict({"inputs": picture, "parameters": {**SMALL, "seed": 7}})
        assert run.returncode == 0, run.stderr
        answers.append(project.answer())
    assert answers[0] == answers[1]
    (still,) = pictures.decoded([picture], (128, 64))
    assert pictures.faults(still, pictures.decoded(answers[0]["frames"]), [0, 4, 8, 12]) == []


@pytest.mark.parametrize(
    ("change", "told", "handlers"),
    [
        ({"widht": 64}, "widht: unknown key; did you mean 'width'?", "did you mean width?"),
        ({"num_frames": 1}, "num_frames: 1 is out of range", "num_frames is 1; it must be an integer from 2 to 25"),
        ({"seed": "7"}, "seed: ", "seed is '7'; it must be an integer from 0 to"),
    ],
)
def test_what_the_schema_refuses_is_not_sent_and_the_handler_would_refuse_it_too(
    project: Project, picture: str, change: dict[str, Any], told: str, handlers: str
) -> None:
    request = {"inputs": picture, **SMALL, **change}
    run = project.predict(request)
    assert run.returncode == 1
    assert told in run.stderr
    assert "is in the queue" not in run.stderr
    assert handlers in project.ask("svd", request)["message"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"inputs": "https://example.com/cat.png"}, "not fetched from inside the container"),
        ({"inputs": "aGVsbG8gd29ybGQ="}, "inputs is not a picture"),
        ({"inputs": "iVBORw0KGgo="}, "cannot be read as PNG"),
        ({"min_guidance_scale": 9}, "min_guidance_scale is 9, more than max_guidance_scale"),
    ],
)
def test_a_wrong_request_fails_in_the_handlers_words(
    project: Project, picture: str, change: dict[str, Any], told: str
) -> None:
    run = project.predict({"inputs": picture, **SMALL, **change})
    assert run.returncode == 1
    assert "is in the queue" in run.stderr
    assert told in run.stderr


@pytest.mark.parametrize("change", [{"num_frames": 2, "width": 64}, {"fps": None}, {"parameters": {"seed": 1}}])
def test_what_the_schema_takes_the_handler_takes(project: Project, picture: str, change: dict[str, Any]) -> None:
    run = project.predict({"inputs": picture, **SMALL, **change})
    assert run.returncode == 0, run.stderr


def test_of_a_batch_each_request_is_answered_or_refused_by_itself(project: Project, picture: str) -> None:
    requests = [{"inputs": picture, **SMALL, **more} for more in ({}, {"min_guidance_scale": 9}, {"seed": 1})]
    (project.root / "batch.jsonl").write_text("\n".join(map(json.dumps, requests)), encoding="utf-8")
    run = project.invoke("predict", "--input", "batch.jsonl", "--output", "answers")
    assert run.returncode == 1
    assert "batch.jsonl:2: the endpoint refused the request (400): min_guidance_scale is 9" in run.stderr
    assert "3 requests: 2 answered, 1 failed" in run.stderr + run.stdout
    assert [folder.name[:4] for folder in sorted((project.root / "answers").iterdir())] == ["0001", "0003"]


def test_the_miniature_of_llava_names_the_colours_of_the_picture(project: Project, picture: str) -> None:
    config = ("--config", "config/llava.yaml")
    deployed = project.invoke("deploy", *config)
    assert deployed.returncode == 0, deployed.stderr
    run = project.predict({"image": picture, "question": "What is this?", "max_new_tokens": 4}, *config)
    assert run.returncode == 0, run.stderr
    assert project.answer()["answer"] == "The picture is light blue above and green below."
    run = project.predict({"image": picture}, *config)
    assert run.returncode == 1
    assert "question is None; it must be text" in run.stderr


# As the tutorial makes one, with random weights.
CLASSIFIER = """
from transformers import BertConfig, BertForSequenceClassification, BertTokenizer
words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "i", "like", "this", "very", "much", "."]
with open("models/mood/vocab.txt", "w") as file:
    file.write("\\n".join(words))
BertTokenizer("models/mood/vocab.txt").save_pretrained("models/mood")
sizes = dict(vocab_size=len(words), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64)
BertForSequenceClassification(BertConfig(**sizes)).save_pretrained("models/mood")
"""


def test_a_model_of_ones_own_answers_by_the_handler_and_the_sample_that_were_written_for_it(project: Project) -> None:
    (project.root / "models" / "mood").mkdir(parents=True)
    python = str(model_server.python())
    subprocess.run([python, "-c", CLASSIFIER], cwd=project.root, check=True, capture_output=True, timeout=120)
    config = ("--config", "config/mood.yaml")
    for words in (("new", "mood", "--model-path", "models/mood"), ("deploy", *config)):
        run = project.invoke(*words)
        assert run.returncode == 0, run.stderr
    run = project.invoke("predict", "--output", "answer.json", *config)
    assert run.returncode == 0, run.stderr
    (label,) = project.answer()
    assert label["label"] in {"LABEL_0", "LABEL_1"}
    run = project.predict({"input": "good"}, *config)
    assert run.returncode == 1
    assert "did you mean 'inputs'?" in run.stderr


def packaged(folder: Path, code: str) -> Callable[[Path], None]:
    """Puts a package of one handler where the container looks."""

    def unpack(package: Path) -> None:
        (package / "code").mkdir()
        (package / "code" / "inference.py").write_text(code, encoding="utf-8")
        (folder / "unpacked").touch()

    return unpack


LIMITED = """
def model_fn(model_dir):
    return None

def predict_fn(data, model):
    if data["n"] < 0:
        raise ValueError("in words")
    return "x" * (data["n"] - 2)
"""


def test_the_limit_that_the_handlers_guard_is_that_of_the_server(tmp_path: Path) -> None:
    environment = {"MMS_MAX_RESPONSE_SIZE": "10000"}
    containers, package = Containers(), Package(environment, environment, packaged(tmp_path, LIMITED), print)

    def ask(size: int) -> tuple[int, bytes]:
        request = InferenceRequest(json.dumps({"n": size}).encode(), "application/json", "application/json", 60.0)
        return containers.invoke(package, request)

    try:
        assert [ask(size)[0] for size in (10_000, 10_001)] == [200, 500]
        status, body = ask(-1)
        assert (status, json.loads(body)["message"]) == (400, "in words")
    finally:
        containers.stop()
