"""The handler of LLaVA on its miniature, with torch."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers.handlers import load
from tests.helpers.paths import ROOT

if TYPE_CHECKING:
    from types import ModuleType

torch = pytest.importorskip("torch", reason="torch is not installed")
JSON, TEXT = "application/json", "text/plain"
PICTURE: str = json.loads((ROOT / "config" / "samples" / "svd.json").read_text(encoding="utf-8"))["inputs"]


@pytest.fixture(scope="module")
def llava() -> ModuleType:
    return load("llava")


@pytest.fixture(scope="module")
def model(llava: ModuleType) -> Any:
    """Processor and model, loaded where any connection is an error."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the model was looked for in the network")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", refuse)
        patch.setattr(socket, "getaddrinfo", refuse)
        return llava.model_fn(str(Path(os.environ["MODELS"], "llava-hf")))


def answer(llava: ModuleType, model: Any, accept: str = JSON, **fields: object) -> bytes:
    request = {"image": PICTURE, "question": "What is this?", "max_new_tokens": 8, **fields}
    body: bytes = llava.transform_fn(model, json.dumps(request).encode(), JSON, accept)
    return body


def test_text_is_the_answer_of_json_alone(llava: ModuleType, model: Any) -> None:
    whole = json.loads(answer(llava, model))
    assert whole.keys() == {"answer"}
    assert answer(llava, model, TEXT).decode() == whole["answer"]


def test_the_same_seed_gives_the_same_words_and_without_temperature_every_seed_does(
    llava: ModuleType, model: Any
) -> None:
    one, two = (answer(llava, model, temperature=1, seed=7) for _ in range(2))
    assert one == two
    assert answer(llava, model, seed=1) == answer(llava, model, seed=2)


def test_more_than_the_model_has_positions_is_refused_before_it_works(llava: ModuleType, model: Any) -> None:
    with pytest.raises(ValueError, match="more than the 4,096 that the model takes"):
        answer(llava, model, question="€" * 8000, max_new_tokens=2048)
