"""The handler of pictures from text without torch: requests, how it loads, and what it answers, on fakes."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, BinaryIO

import pytest

from tests.helpers.handlers import load

JSON = "application/json"


class Picture:
    """A picture whose PNG is four bytes."""

    def save(self, file: BinaryIO, _format: str) -> None:
        file.write(b"\x89PNG")


class Pipeline:
    """A stand-in for a pipeline, which notes what is asked of it, and which knows no negative prompt."""

    def __init__(self) -> None:
        self.asked: dict[str, Any] = {}

    def __call__(
        self,
        *,
        prompt: str,
        generator: object,
        output_type: str,
        num_images_per_prompt: int = 1,
        width: int = 512,
        num_inference_steps: int = 50,
    ) -> SimpleNamespace:
        assert (generator, output_type) == (("generator", 42), "pil")
        self.asked = {"prompt": prompt, "width": width, "num_inference_steps": num_inference_steps}
        return SimpleNamespace(images=[Picture()] * num_images_per_prompt)

    def maybe_free_model_hooks(self) -> None: ...


@pytest.fixture
def handler(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    generator = SimpleNamespace(manual_seed=lambda seed: ("generator", seed))
    cuda = SimpleNamespace(is_available=lambda: False, OutOfMemoryError=MemoryError)
    torch = SimpleNamespace(
        cuda=cuda, float16="half", bfloat16="wide", float32="single", Generator=lambda **_: generator
    )
    monkeypatch.setitem(sys.modules, "torch", torch)
    return load("text_to_image")


def answered(handler: ModuleType, request: object, accept: str = JSON, pipeline: Pipeline | None = None) -> bytes:
    answer: bytes = handler.transform_fn(pipeline or Pipeline(), json.dumps(request).encode(), JSON, accept)
    return answer


def test_a_text_becomes_as_many_pictures_as_are_asked_for(handler: ModuleType) -> None:
    pipeline = Pipeline()
    request = {"inputs": "a cat", "parameters": {"num_images_per_prompt": 2, "width": 64}}
    answer = json.loads(answered(handler, request, pipeline=pipeline))
    assert [base64.b64decode(picture) for picture in answer["images"]] == [b"\x89PNG"] * 2
    assert pipeline.asked == {"prompt": "a cat", "width": 64, "num_inference_steps": 50}  # as the pipeline has it


def test_one_picture_may_be_the_whole_answer(handler: ModuleType) -> None:
    assert answered(handler, {"inputs": "a cat"}, "image/png") == b"\x89PNG"
    with pytest.raises(ValueError, match="image/png is one picture"):
        answered(handler, {"inputs": "a cat", "num_images_per_prompt": 2}, "image/png")


@pytest.mark.parametrize(
    ("request_", "told"),
    [
        ({"inputs": " "}, "inputs is ' '; it must be text"),
        ({}, "inputs is None"),
        ({"inputs": "a" * 5000}, "inputs has 5,000 characters"),
        ({"inputs": "a", "width": 65, "seed": -1}, "seed is -1.*width is 65"),
        ({"inputs": "a", "widht": 64}, "did you mean width"),
        ({"inputs": "a", "negative_prompt": "dog"}, "this model has no parameter negative_prompt"),
        ({"inputs": "a", "negative_prompt": 3}, "negative_prompt is 3"),
    ],
)
def test_a_wrong_request_is_refused_in_words(handler: ModuleType, request_: object, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        answered(handler, request_)


@pytest.mark.parametrize(
    ("cuda", "folder", "dtype"), [(False, "unet", "single"), (True, "unet", "half"), (True, "transformer", "wide")]
)
def test_it_loads_from_the_package_alone_in_the_precision_that_fits(
    handler: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cuda: bool, folder: str, dtype: str
) -> None:
    calls: list[tuple[str, Any]] = []
    pipeline = SimpleNamespace(
        set_progress_bar_config=lambda **_: None,
        enable_model_cpu_offload=lambda gpu_id: calls.append(("offload", gpu_id)),
    )

    def from_pretrained(folder: str, **options: object) -> SimpleNamespace:
        calls.append((folder, options))
        return pipeline

    diffusers = SimpleNamespace(DiffusionPipeline=SimpleNamespace(from_pretrained=from_pretrained))
    monkeypatch.setitem(sys.modules, "diffusers", diffusers)
    monkeypatch.setattr(sys.modules["torch"].cuda, "is_available", lambda: cuda)
    with pytest.raises(ValueError, match=r"model_index\.json"):
        handler.model_fn(str(tmp_path))
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "model.fp16.safetensors").touch()
    (tmp_path / "model_index.json").touch()
    handler.model_fn(str(tmp_path))
    assert calls[0] == (str(tmp_path), {"torch_dtype": dtype, "variant": "fp16", "local_files_only": True})
    assert calls[1:] == ([("offload", 0)] if cuda else [])
