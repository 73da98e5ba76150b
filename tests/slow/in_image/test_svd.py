"""The handler of Stable Video Diffusion on its miniature, with torch: what it loads, that it repeats, and what it leaves."""

from __future__ import annotations

import base64
import gc
import io
import json
import os
import socket
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers.handlers import load
from tests.helpers.paths import ROOT

if TYPE_CHECKING:
    from types import ModuleType

torch = pytest.importorskip("torch", reason="torch is not installed")
Image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
JSON = "application/json"
SMALL = {"num_frames": 4, "num_inference_steps": 2, "width": 128, "height": 64}
PICTURE: str = json.loads((ROOT / "config" / "samples" / "svd.json").read_text(encoding="utf-8"))["inputs"]


@pytest.fixture(scope="module")
def svd() -> ModuleType:
    return load("svd")


@pytest.fixture(scope="module")
def pipeline(svd: ModuleType) -> Any:
    """The pipeline, loaded where any connection is an error."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the model was looked for in the network")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", refuse)
        patch.setattr(socket, "getaddrinfo", refuse)
        return svd.model_fn(str(Path(os.environ["MODELS"], "stabilityai")))


def answer(svd: ModuleType, pipeline: Any, accept: str = JSON, **parameters: object) -> bytes:
    request = {"inputs": PICTURE, "parameters": {**SMALL, **parameters}}
    body: bytes = svd.transform_fn(pipeline, json.dumps(request).encode(), JSON, accept)
    return body


def test_the_model_comes_from_the_package_in_the_precision_of_the_processor(pipeline: Any) -> None:
    assert pipeline.unet.dtype == pipeline.vae.dtype == torch.float32


def test_a_package_that_lacks_weights_is_an_error_and_not_a_download(svd: ModuleType, tmp_path: Path) -> None:
    source = Path(os.environ["MODELS"], "stabilityai")
    for path in source.rglob("*.json"):
        target = tmp_path / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    with pytest.raises(OSError, match="no file named"):
        svd.model_fn(str(tmp_path))


def test_the_same_seed_gives_the_same_frames_and_another_gives_others(svd: ModuleType, pipeline: Any) -> None:
    one, two, other = (answer(svd, pipeline, seed=seed) for seed in (7, 7, 8))
    assert one == two
    assert one != other


def test_a_body_that_is_the_picture_gives_what_the_same_picture_in_json_gives(
    svd: ModuleType, pipeline: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = tuple(
        number if number.name not in SMALL else type(number)(**{**vars(number), "default": SMALL[number.name]})
        for number in svd.DECLARED.numbers
    )
    monkeypatch.setattr(svd, "DECLARED", svd.DECLARED._replace(numbers=numbers))  # a CPU does not finish the defaults
    raw = svd.transform_fn(pipeline, bytearray(base64.b64decode(PICTURE)), "image/png", JSON)
    assert raw == answer(svd, pipeline)
    url = json.dumps({"inputs": f"data:image/png;base64,{PICTURE}"}).encode()
    assert svd.transform_fn(pipeline, url, JSON, JSON) == raw


@pytest.mark.parametrize(("accept", "form"), [("image/gif", "GIF"), ("image/png", "PNG")])
def test_the_answer_is_what_accept_names(svd: ModuleType, pipeline: Any, accept: str, form: str) -> None:
    with Image.open(io.BytesIO(answer(svd, pipeline, accept))) as image:
        assert image.format == form


def tensors() -> int:
    gc.collect()
    return sum(1 for each in gc.get_objects() if type(each) is torch.Tensor)


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_of_a_request_is_left_for_the_next_one(
    svd: ModuleType, pipeline: Any, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    left: list[weakref.ref[Any]] = []
    decode = type(pipeline).decode_latents

    def observed(self: Any, latents: Any, *rest: Any) -> Any:
        left.append(weakref.ref(latents))
        frames = decode(self, latents, *rest)
        left.append(weakref.ref(frames))
        if fails:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
        return frames

    freed: list[bool] = []
    monkeypatch.setattr(type(pipeline), "decode_latents", observed)
    monkeypatch.setattr(type(pipeline), "maybe_free_model_hooks", lambda _: freed.append(True))
    before = tensors()
    if fails:
        with pytest.raises(ValueError, match=r"not enough GPU memory: .* Lower decode_chunk_size"):
            answer(svd, pipeline)
    else:
        answer(svd, pipeline)
    gc.collect()
    assert len(left) == 2
    assert [each() for each in left] == [None, None]
    assert freed
    assert tensors() <= before + 1
