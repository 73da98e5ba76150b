"""The handler for any pipeline of transformers, without torch: requests, and what JSON gets of an answer."""

from __future__ import annotations

import base64
import importlib
import json
import re
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

FOLDERS = [ROOT / "inference_code" / name for name in ("pipeline", "shared")]
PICTURE = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()


@pytest.fixture
def handler(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """The handler for a task, imported as the toolkit does it: by name, with its folder first on the path."""
    for folder in FOLDERS:
        monkeypatch.syspath_prepend(str(folder))

    def load(task: str) -> ModuleType:
        monkeypatch.setenv("HF_TASK", task)
        for name in ("inference", "handler_images", "handler_request"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        return importlib.import_module("inference")

    return load


class Array:
    """As NumPy's."""

    def tolist(self) -> float:
        return 0.5


def test_inputs_and_parameters_go_to_the_pipeline_and_its_answer_is_json(handler: Callable[[str], ModuleType]) -> None:
    def model(inputs: Any, **parameters: Any) -> Any:
        return [{"label": inputs, "score": Array(), "given": parameters}]

    answer = handler("text-classification").predict_fn({"inputs": "good", "parameters": {"top_k": 2}}, model)
    assert json.loads(json.dumps(answer)) == [{"label": "good", "score": 0.5, "given": {"top_k": 2}}]


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
def test_a_wrong_request_is_refused_with_what_is_wrong(
    handler: Callable[[str], ModuleType], request_: object, message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        handler("text-classification").predict_fn(request_, None)


def test_what_the_pipeline_does_not_take_is_a_mistake_of_the_request(handler: Callable[[str], ModuleType]) -> None:
    def model(_inputs: Any, *, top_k: int = 1) -> Any:
        return top_k

    with pytest.raises(ValueError, match="unexpected keyword argument 'tpo_k'"):
        handler("text-classification").predict_fn({"inputs": "good", "parameters": {"tpo_k": 2}}, model)


def test_for_a_task_on_pictures_the_inputs_are_decoded(
    handler: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    inference = handler("image-classification")
    assert inference.read({"inputs": PICTURE})[0] == base64.b64decode(PICTURE)
    monkeypatch.setattr(inference, "picture", lambda content, name: (name, content))
    assert inference.predict_fn({"inputs": PICTURE}, lambda still: still) == ["inputs", base64.b64decode(PICTURE)]
    with pytest.raises(ValueError, match="inputs is 3; it must be a picture"):
        inference.predict_fn({"inputs": 3}, None)
