"""The handler of Stable Video Diffusion without torch: requests, and how it loads, runs and cleans up, on fakes."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, BinaryIO

import pytest

from tests.helpers.handlers import load
from tests.helpers.paths import ROOT

PICTURE = base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()


class Frame:
    """A frame whose JPEG is of a given size."""

    def __init__(self, size: int = 3) -> None:
        self.size = size

    def save(self, file: BinaryIO, **_: object) -> None:
        file.write(bytes(self.size))


class OutOfMemoryError(RuntimeError):
    """As torch.cuda's."""


class Gpu:
    """A stand-in for torch, diffusers and the pipeline, which notes what is asked of it."""

    def __init__(self, cuda: bool) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.fails: Exception | None = None
        self.cuda = SimpleNamespace(
            is_available=lambda: cuda,
            empty_cache=lambda: self.calls.append(("empty_cache", None)),
            OutOfMemoryError=OutOfMemoryError,
        )

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **options: self.calls.append((name, options or args))

    def __call__(self, image: object, **options: object) -> SimpleNamespace:
        self.calls.append(("run", {"image": image, **options}))
        if self.fails:
            raise self.fails
        return SimpleNamespace(frames=[[Frame(), Frame()]])

    def from_pretrained(self, folder: str, **options: object) -> Gpu:
        self.calls.append(("load", {"folder": folder, **options}))
        return self

    def names(self) -> list[str]:
        return [name for name, _ in self.calls]


@pytest.fixture
def svd() -> ModuleType:
    return load("svd")


def fake(monkeypatch: pytest.MonkeyPatch, cuda: bool) -> Gpu:
    gpu = Gpu(cuda)
    generator = SimpleNamespace(manual_seed=lambda seed: ("generator", seed))
    torch = SimpleNamespace(cuda=gpu.cuda, float16="half", float32="single", Generator=lambda **_: generator)
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "diffusers", SimpleNamespace(StableVideoDiffusionPipeline=gpu))
    return gpu


def package(folder: Path, variants: tuple[str, ...]) -> str:
    (folder / "model_index.json").write_text("{}", encoding="utf-8")
    for component in ("unet", "vae", "image_encoder"):
        (folder / component).mkdir()
        (folder / component / "config.json").write_text("{}", encoding="utf-8")
    for component in variants:
        (folder / component / "diffusion_pytorch_model.fp16.safetensors").write_bytes(b"")
    return str(folder)


def test_defaults_are_those_of_the_model(svd: ModuleType) -> None:
    image, options = svd.read({"inputs": PICTURE})
    assert image == base64.b64decode(PICTURE)
    assert options == {
        "width": 1024,
        "height": 576,
        "num_frames": 25,
        "num_inference_steps": 25,
        "decode_chunk_size": 8,
        "fps": 7,
        "motion_bucket_id": 127,
        "noise_aug_strength": 0.02,
        "min_guidance_scale": 1.0,
        "max_guidance_scale": 3.0,
        "seed": 42,
    }


def test_parameters_at_the_top_and_under_parameters_mean_the_same(svd: ModuleType) -> None:
    wish = {"num_frames": 4, "width": 64, "seed": 0}
    assert svd.read({"inputs": PICTURE, **wish}) == svd.read({"inputs": PICTURE, "parameters": wish})


def test_no_more_frames_are_decoded_at_once_than_there_are(svd: ModuleType) -> None:
    assert svd.read({"inputs": PICTURE, "num_frames": 4})[1]["decode_chunk_size"] == 4


def test_everything_wrong_with_the_parameters_is_reported_at_once(svd: ModuleType) -> None:
    with pytest.raises(ValueError, match=r"unknown field 'sed': did you mean seed\?; width is 100; .*; fps is True; "):
        svd.read({"inputs": PICTURE, "width": 100, "fps": True, "sed": 1})


def test_guidance_must_not_fall(svd: ModuleType) -> None:
    with pytest.raises(ValueError, match=r"min_guidance_scale is 4, more than max_guidance_scale, which is 3\.0"):
        svd.read({"inputs": PICTURE, "min_guidance_scale": 4})


def test_on_a_gpu_the_model_loads_in_half_precision_and_offloads(
    svd: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gpu = fake(monkeypatch, cuda=True)
    folder = package(tmp_path, ("unet", "vae", "image_encoder"))
    svd.model_fn(folder, SimpleNamespace(system_properties={"gpu_id": 3}))
    options = {"folder": folder, "torch_dtype": "half", "variant": "fp16", "local_files_only": True}
    assert ("load", options) in gpu.calls
    assert ("enable_model_cpu_offload", {"gpu_id": 3}) in gpu.calls


@pytest.mark.parametrize("variants", [(), ("unet", "vae")])
def test_on_a_cpu_it_loads_in_single_precision_and_a_half_set_of_variants_is_no_variant(
    svd: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variants: tuple[str, ...]
) -> None:
    gpu = fake(monkeypatch, cuda=False)
    folder = package(tmp_path, variants)
    svd.model_fn(folder)
    assert ("load", {"folder": folder, "torch_dtype": "single", "variant": None, "local_files_only": True}) in gpu.calls
    assert "enable_model_cpu_offload" not in gpu.names()


def test_a_package_without_a_pipeline_is_refused(
    svd: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fake(monkeypatch, cuda=False)
    with pytest.raises(ValueError, match=r"holds no model_index\.json"):
        svd.model_fn(str(tmp_path))


def test_the_seed_becomes_a_generator_and_the_rest_goes_to_the_pipeline(
    svd: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = fake(monkeypatch, cuda=False)
    assert len(svd.generate(gpu, "image", {"seed": 7, "fps": 5, "decode_chunk_size": 2})) == 2
    wish = {"image": "image", "generator": ("generator", 7), "output_type": "pil", "fps": 5, "decode_chunk_size": 2}
    assert gpu.calls[0] == ("run", wish)


@pytest.mark.parametrize("error", [None, OutOfMemoryError("CUDA out of memory."), RuntimeError("other")])
def test_the_gpu_is_freed_for_the_next_request_however_this_one_ends(
    svd: ModuleType, monkeypatch: pytest.MonkeyPatch, error: Exception | None
) -> None:
    gpu = fake(monkeypatch, cuda=True)
    gpu.fails = error
    if error is None:
        svd.generate(gpu, "image", {"seed": 7, "decode_chunk_size": 8})
    else:
        wanted, match = (ValueError, "Lower decode_chunk_size") if "CUDA" in str(error) else (RuntimeError, "other")
        with pytest.raises(wanted, match=match):
            svd.generate(gpu, "image", {"seed": 7, "decode_chunk_size": 8})
    assert gpu.names() == ["run", "maybe_free_model_hooks", "empty_cache"]


def test_the_sample_request_of_the_spec_is_taken(svd: ModuleType) -> None:
    sample = ROOT / "config" / "samples" / "svd.json"
    svd.read(json.loads(sample.read_text(encoding="utf-8")))


def test_a_film_that_cannot_be_written_is_refused_before_the_work_begins(
    svd: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ValueError, match=r"add av==\S+ to code.requirements in the spec, or ask for image/gif"):
        svd.transform_fn(None, b"no picture", "image/png", "video/mp4")
    with pytest.raises(ValueError, match="it must be one of application/json, video/mp4, image/gif, image/png, or"):
        svd.transform_fn(None, b"no picture", "image/png", "image/jpeg")
