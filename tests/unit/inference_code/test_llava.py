"""The handler of LLaVA without torch: requests, prompts, and what it asks of the model, on fakes."""

from __future__ import annotations

import base64
import contextlib
import json
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.helpers.handlers import load
from tests.helpers.paths import ROOT

PICTURE = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()


class OutOfMemoryError(RuntimeError):
    """As torch.cuda's."""


class Inputs(dict[str, Any]):
    """What a processor returns."""

    def to(self, *_: object) -> Inputs:
        return self


class Model:
    """A model that adds two tokens to its prompt, or fails."""

    device, dtype = "cpu", "single"

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.options: dict[str, object] = {}

    def generate(self, input_ids: Any, **options: object) -> list[list[int]]:
        self.options = options
        if self.error:
            raise self.error
        return [[*input_ids.tokens, 8, 9]]


@pytest.fixture
def llava() -> ModuleType:
    return load("llava")


def answer(llava: ModuleType, monkeypatch: pytest.MonkeyPatch, model: Model, **options: object) -> str:
    """What `generate` answers to a prompt of three tokens."""
    cuda = SimpleNamespace(is_available=lambda: False, OutOfMemoryError=OutOfMemoryError)
    torch = SimpleNamespace(cuda=cuda, manual_seed=lambda _: None, inference_mode=contextlib.nullcontext)
    monkeypatch.setitem(sys.modules, "torch", torch)
    processor = SimpleNamespace(decode=lambda tokens, **_: f" {tokens} ")
    inputs = Inputs(input_ids=SimpleNamespace(shape=(1, 3), tokens=[1, 2, 3]))
    request = llava.read({"image": PICTURE, "question": "q", **options})
    return str(llava.generate(processor, model, inputs, request))


def test_fields_may_be_nested_or_at_the_top(llava: ModuleType) -> None:
    flat = llava.read({"image": PICTURE, "question": " What? ", "max_new_tokens": 5})
    nested = {"inputs": {"image": PICTURE, "question": "What?"}, "parameters": {"max_new_tokens": 5}}
    assert flat == llava.read(nested)
    assert (flat.question, flat.max_new_tokens, flat.temperature, flat.top_p) == ("What?", 5, 0, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"question": None}, "question is None; it must be text"),
        ({"question": " "}, "question is ' '; it must be text"),
        ({"question": ["a"]}, "it must be text"),
        ({"question": "x" * 8001}, "question has 8,001 characters; at most 8,000"),
        ({"question": "a <image> b"}, "question contains <image>"),
        ({"image": None}, "image is missing"),
        ({"image": "https://a/b.png"}, "image is an address"),
        ({"max_new_tokens": 0}, "max_new_tokens is 0; it must be an integer from 1 to 2,048"),
        ({"max_new_token": 5}, "did you mean max_new_tokens"),
        ({"inputs": PICTURE}, "inputs is .*; it must be an object"),
    ],
)
def test_a_wrong_request_is_refused_in_words(llava: ModuleType, change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        llava.read({"image": PICTURE, "question": "What?", **change})


def test_the_packages_own_chat_template_makes_the_prompt(llava: ModuleType) -> None:
    processor = SimpleNamespace(
        chat_template="x",
        apply_chat_template=lambda turns, **options: (
            f"{turns[0]['content'][1]['text']} {options['add_generation_prompt']}"
        ),
    )
    assert llava.prompt(processor, "What?") == "What? True"
    assert llava.prompt(SimpleNamespace(chat_template=None), "What?") == "USER: <image>\nWhat? ASSISTANT:"


def test_the_answer_is_without_the_prompt(llava: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    assert answer(llava, monkeypatch, Model()) == "[8, 9]"


def test_temperature_alone_makes_it_sample(llava: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Model()
    answer(llava, monkeypatch, model)
    assert model.options == {"max_new_tokens": 200, "do_sample": False}
    answer(llava, monkeypatch, model, temperature=0.5, top_p=0.9)
    assert model.options == {"max_new_tokens": 200, "do_sample": True, "temperature": 0.5, "top_p": 0.9}


def test_too_little_gpu_memory_says_what_to_lower(llava: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="not enough GPU memory: full Lower max_new_tokens"):
        answer(llava, monkeypatch, Model(OutOfMemoryError("full")))
    with pytest.raises(RuntimeError, match="other"):
        answer(llava, monkeypatch, Model(RuntimeError("other")))


def test_the_sample_request_of_the_spec_is_taken(llava: ModuleType) -> None:
    sample = ROOT / "config" / "samples" / "llava.json"
    llava.read(json.loads(sample.read_text(encoding="utf-8")))


def test_more_tokens_than_the_model_has_positions_are_refused(llava: ModuleType) -> None:
    config = SimpleNamespace(text_config=SimpleNamespace(max_position_embeddings=4096))
    llava.check_length(3896, 200, config)
    with pytest.raises(
        ValueError, match=r"have 3,897 tokens, and with max_new_tokens 200 they are more than the 4,096"
    ):
        llava.check_length(3897, 200, config)
