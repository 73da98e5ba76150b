"""The handler for pipelines of transformers, without torch: requests, and what JSON gets of an answer."""

from __future__ import annotations

import base64
import io
import json
import re
import sys
import wave
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from sagepack.scaffold import kinds
from tests.helpers.handlers import load

if TYPE_CHECKING:
    from collections.abc import Callable

    Load = Callable[[str], ModuleType]

PICTURE = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()
JSON = "application/json"


class OutOfMemoryError(RuntimeError):
    """As torch.cuda's."""


@pytest.fixture
def seeds() -> list[int]:
    """What torch's random numbers begin with, call for call."""
    return []


@pytest.fixture
def handler(monkeypatch: pytest.MonkeyPatch, seeds: list[int]) -> Load:
    """The handler for a task."""
    cuda = SimpleNamespace(is_available=lambda: False, OutOfMemoryError=OutOfMemoryError)
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda, manual_seed=seeds.append, float32="single"))
    monkeypatch.setitem(sys.modules, "transformers", SimpleNamespace(pipeline=lambda *_, **options: options))

    def load_for(task: str) -> ModuleType:
        monkeypatch.setenv("HF_TASK", task)
        return load("pipeline")

    return load_for


def ask(inference: ModuleType, model: Any, request: object, accept: str = JSON) -> Any:
    return json.loads(inference.transform_fn(model, json.dumps(request).encode(), JSON, accept))


class Array:
    """As NumPy's."""

    def tolist(self) -> float:
        return 0.5


def test_inputs_and_parameters_go_to_the_pipeline_and_its_answer_is_json(handler: Load) -> None:
    def model(inputs: Any, **parameters: Any) -> Any:
        return [{"label": inputs, "score": Array(), "given": parameters}]

    request = {"inputs": "good", "parameters": {"top_k": 2}}
    answer = ask(handler("text-classification"), model, request)
    assert answer == [{"label": "good", "score": 0.5, "given": {"top_k": 2}}]
    with pytest.raises(ValueError, match="Accept is 'text/csv'; it must be one of application/json"):
        ask(handler("text-classification"), model, request, "text/csv")


def test_the_seed_is_the_handlers_and_not_the_pipelines(handler: Load, seeds: list[int]) -> None:
    inference = handler("text-generation")
    for parameters in ({}, {"seed": 7}, {"seed": None}):
        assert ask(inference, lambda _, **rest: rest, {"inputs": "a", "parameters": parameters}) == {}
    assert seeds == [42, 7, 42]
    with pytest.raises(ValueError, match="seed is '7'; it must be an integer"):
        ask(inference, None, {"inputs": "a", "parameters": {"seed": "7"}})


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"input": "good"}, "unknown field 'input': did you mean inputs?"),
        ({}, "there is nothing to work on"),
        ({"inputs": None}, "there is nothing to work on"),
        ({"inputs": "good", "parameters": [1]}, "parameters is [1]; it must be an object"),
        ("good", "the request is 'good'; it must be a JSON object"),
    ],
)
def test_a_wrong_request_is_refused_with_what_is_wrong(handler: Load, request_: object, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        ask(handler("text-classification"), None, request_)


def test_what_the_pipeline_does_not_take_is_a_mistake_of_the_request(handler: Load) -> None:
    def model(_inputs: Any, *, top_k: int = 1) -> Any:
        return top_k

    with pytest.raises(ValueError, match="unexpected keyword argument 'tpo_k'"):
        ask(handler("text-classification"), model, {"inputs": "good", "parameters": {"tpo_k": 2}})


def test_a_task_whose_requests_could_name_addresses_and_files_is_refused_when_the_model_is_loaded(
    handler: Load,
) -> None:
    with pytest.raises(ValueError, match="HF_TASK is document-question-answering; this handler takes text-class"):
        handler("document-question-answering").model_fn(".")


def test_the_tasks_of_new_are_those_of_the_handler(handler: Load) -> None:
    inference = handler("text-classification")
    own = {kind.task for kind in kinds._OWN}
    assert {*inference.TEXTS, *inference.READERS} == set(kinds.TASKS) - own


@pytest.mark.parametrize("address", ["https://a/b.png", "file:///etc/passwd"])
@pytest.mark.parametrize("task", ["image-classification", "automatic-speech-recognition"])
def test_a_file_is_never_fetched_or_opened_by_name(handler: Load, task: str, address: str) -> None:
    with pytest.raises(ValueError, match="addresses are not fetched"):
        ask(handler(task), None, {"inputs": address})
    with pytest.raises(ValueError, match="neither base64 nor a data URL"):
        ask(handler(task), None, {"inputs": "/etc/passwd.conf"})


def test_for_a_task_on_pictures_the_inputs_are_decoded(handler: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    inference = handler("image-classification")
    monkeypatch.setitem(inference.READERS, "image-classification", lambda value, name: f"{name} {len(value)}")
    assert ask(inference, lambda still: still, {"inputs": PICTURE}) == f"inputs {len(PICTURE)}"
    body = base64.b64decode(PICTURE)
    assert inference.transform_fn(lambda still: still, body, "image/png", JSON) == b'"inputs 8"'


def test_a_file_for_a_task_on_text_is_refused(handler: Load) -> None:
    with pytest.raises(ValueError, match="the body is a file, and fill-mask takes text"):
        handler("fill-mask").transform_fn(None, b"RIFF", "audio/wav", JSON)


def wav(channels: int, width: int, frames: bytes) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(16_000)
        file.writeframes(frames)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [b"OggS123", b"RIFF\0\0\0\0WAVE", wav(1, 3, bytes(6)), wav(1, 2, b"").replace(b"\x01\x00", b"\x03\x00", 1)],
)
def test_what_python_does_not_decode_is_left_to_ffmpeg(content: bytes) -> None:
    assert load("pipeline", "handler_audio").recording(content, "inputs") == content


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"pooling": "max"}, "pooling is 'max'; it must be mean, cls or none"),
        ({"pooling": "none", "normalize": True}, "normalize is for one vector a text"),
        ({"batch_size": 8}, "the padding would be in the mean"),
    ],
)
def test_an_embedding_that_would_be_wrong_is_refused(
    handler: Load, parameters: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        ask(handler("feature-extraction"), None, {"inputs": "a", "parameters": parameters})
