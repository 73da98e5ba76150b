from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagepack.errors import UserError
from sagepack.hub.selection import choose
from sagepack.hub.weight_names import Weight


@dataclass(frozen=True)
class File:
    path: str
    size: int = 100


def files(*paths: str) -> list[File]:
    return [File(path) for path in paths]


SVD_INDEX = {
    "_class_name": "StableVideoDiffusionPipeline",
    "_diffusers_version": "0.24.0",
    "feature_extractor": ["transformers", "CLIPImageProcessor"],
    "image_encoder": ["transformers", "CLIPVisionModelWithProjection"],
    "scheduler": ["diffusers", "EulerDiscreteScheduler"],
    "unet": ["diffusers", "UNetSpatioTemporalConditionModel"],
    "vae": ["diffusers", "AutoencoderKLTemporalDecoder"],
    "safety_checker": [None, None],
}
SVD = files(
    ".gitattributes",
    "LICENSE.md",
    "README.md",
    "model_index.json",
    "svd_xt_1_1.safetensors",
    "svd_xt_image_decoder.safetensors",
    "picture.png",
    "feature_extractor/preprocessor_config.json",
    "image_encoder/config.json",
    "image_encoder/model.safetensors",
    "image_encoder/model.fp16.safetensors",
    "scheduler/scheduler_config.json",
    "unet/config.json",
    "unet/diffusion_pytorch_model.safetensors",
    "unet/diffusion_pytorch_model.fp16.safetensors",
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
    "vae/diffusion_pytorch_model.fp16.safetensors",
    "safety_checker/config.json",
    "elsewhere/model.safetensors",
)


def test_a_diffusers_pipeline_takes_the_folders_its_index_names_in_fp16() -> None:
    assert choose(SVD, model_index=SVD_INDEX).chosen == (
        "LICENSE.md",
        "feature_extractor/preprocessor_config.json",
        "image_encoder/config.json",
        "image_encoder/model.fp16.safetensors",
        "model_index.json",
        "scheduler/scheduler_config.json",
        "unet/config.json",
        "unet/diffusion_pytorch_model.fp16.safetensors",
        "vae/config.json",
        "vae/diffusion_pytorch_model.fp16.safetensors",
    )


def test_what_is_left_out_is_counted_and_listed() -> None:
    selection = choose(SVD, model_index=SVD_INDEX)
    assert (selection.size, selection.excluded) == (1000, (10, 1000))
    assert selection.reason == (
        "diffusers layout, fp16 safetensors weights of feature_extractor, image_encoder, scheduler, unet, vae: "
        "10 files, 1000 B of 2.0 KiB; excluding 10 others saves 1000 B"
    )


def test_plain_weights_are_taken_when_one_component_has_no_fp16() -> None:
    without = [file for file in SVD if file.path != "vae/diffusion_pytorch_model.fp16.safetensors"]
    chosen = choose(without, model_index=SVD_INDEX).chosen
    assert "unet/diffusion_pytorch_model.safetensors" in chosen
    assert not any("fp16" in path for path in chosen)


def test_a_requested_variant_is_taken_where_it_is_and_plain_weights_elsewhere() -> None:
    without = [file for file in SVD if file.path != "vae/diffusion_pytorch_model.fp16.safetensors"]
    chosen = choose(without, variant="fp16", model_index=SVD_INDEX).chosen
    assert "unet/diffusion_pytorch_model.fp16.safetensors" in chosen
    assert "vae/diffusion_pytorch_model.safetensors" in chosen
    assert "unet/diffusion_pytorch_model.safetensors" not in chosen


def test_an_unknown_variant_names_those_there_are() -> None:
    with pytest.raises(UserError, match=r"'fp8'.*\n.*available: fp16"):
        choose(SVD, variant="fp8", model_index=SVD_INDEX)


def test_shards_of_a_variant_come_with_their_index_and_without_the_others() -> None:
    listing = files(
        "model_index.json",
        "te/config.json",
        "te/model-00001-of-00002.safetensors",
        "te/model-00002-of-00002.safetensors",
        "te/model.fp16-00001-of-00002.safetensors",
        "te/model.fp16-00002-of-00002.safetensors",
        "te/model.safetensors.index.fp16.json",
        "te/model.safetensors.index.json",
        "te/pytorch_model.bin",
        "tr/diffusion_pytorch_model-00001-of-00002.fp16.safetensors",
        "tr/diffusion_pytorch_model-00001-of-00002.safetensors",
        "tr/diffusion_pytorch_model.safetensors.index.fp16.json",
        "tr/diffusion_pytorch_model.safetensors.index.json",
    )
    index = {"te": ["transformers", "T5EncoderModel"], "tr": ["diffusers", "Transformer"]}
    assert choose(listing, model_index=index).chosen == (
        "model_index.json",
        "te/config.json",
        "te/model.fp16-00001-of-00002.safetensors",
        "te/model.fp16-00002-of-00002.safetensors",
        "te/model.safetensors.index.fp16.json",
        "tr/diffusion_pytorch_model-00001-of-00002.fp16.safetensors",
        "tr/diffusion_pytorch_model.safetensors.index.fp16.json",
    )


def test_other_formats_and_weights_of_training_are_left_out_of_a_component() -> None:
    listing = files(
        "model_index.json",
        "unet/config.json",
        "unet/diffusion_flax_model.msgpack",
        "unet/diffusion_pytorch_model.bin",
        "unet/diffusion_pytorch_model.non_ema.safetensors",
        "unet/diffusion_pytorch_model.safetensors",
        "unet/model.onnx",
        "unet/openvino_model.bin",
        "unet/openvino_model.xml",
    )
    chosen = choose(listing, model_index={"unet": ["diffusers", "UNet"]}).chosen
    assert chosen == ("model_index.json", "unet/config.json", "unet/diffusion_pytorch_model.safetensors")


def test_an_adapter_is_taken_as_its_loader_takes_it() -> None:
    listing = files(
        "README.md",
        "adapter_config.json",
        "adapter_model.bin",
        "adapter_model.safetensors",
        "checkpoint-500/adapter_model.safetensors",
        "optimizer.pt",
        "tokenizer.json",
        "training_args.bin",
    )
    assert choose(listing).chosen == ("adapter_config.json", "adapter_model.safetensors", "tokenizer.json")


def test_what_only_a_training_run_needs_is_left_out_of_any_layout() -> None:
    chosen = choose(files("lora.safetensors", "README.md", "training_args.bin", "out/rng_state_0.pth")).chosen
    assert chosen == ("lora.safetensors",)


@pytest.mark.parametrize("weights", ["model.weights.h5", "model-Q4_K_M.gguf", "saved_model.pb", "model.msgpack"])
def test_a_model_whose_weights_are_none_of_pytorch_is_taken_with_them(weights: str) -> None:
    selection = choose(files("config.json", "README.md", weights))
    assert selection.chosen == ("config.json", weights)
    assert selection.reason.startswith("no weights of PyTorch, so everything but documentation: 2 files")


def test_pickled_weights_are_taken_when_there_are_no_safetensors() -> None:
    listing = files("model_index.json", "unet/diffusion_pytorch_model.bin", "unet/openvino_model.bin")
    chosen = choose(listing, model_index={"unet": ["diffusers", "UNet"]}).chosen
    assert chosen == ("model_index.json", "unet/diffusion_pytorch_model.bin")


LLAVA = files(
    ".gitattributes",
    "README.md",
    "added_tokens.json",
    "chat_template.json",
    "config.json",
    "generation_config.json",
    "model-00001-of-00003.safetensors",
    "model-00002-of-00003.safetensors",
    "model-00003-of-00003.safetensors",
    "model.safetensors.index.json",
    "onnx/decoder.onnx",
    "preprocessor_config.json",
    "processor_config.json",
    "pytorch_model-00001-of-00003.bin",
    "pytorch_model.bin.index.json",
    "special_tokens_map.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
)


def test_a_transformers_model_takes_safetensors_and_every_small_file() -> None:
    gone = {
        ".gitattributes",
        "README.md",
        "onnx/decoder.onnx",
        "pytorch_model-00001-of-00003.bin",
        "pytorch_model.bin.index.json",
    }
    assert set(choose(LLAVA).chosen) == {file.path for file in LLAVA} - gone


def test_weights_that_repeat_the_canonical_ones_are_left_out() -> None:
    listing = files(
        "config.json",
        "consolidated.safetensors",
        "model-00001-of-00001.safetensors",
        "model.safetensors.index.json",
        "optimizer.pt",
        "original/consolidated.00.pth",
        "checkpoint-500/model.safetensors",
        "2_Dense/model.safetensors",
    )
    assert choose(listing).chosen == (
        "2_Dense/model.safetensors",
        "config.json",
        "model-00001-of-00001.safetensors",
        "model.safetensors.index.json",
    )


def test_an_unknown_layout_takes_all_but_documentation_and_keeps_licences() -> None:
    listing = files(
        ".gitattributes", "LICENSE", "README.md", "USE_POLICY.md", "demo.png", "weights/a.pth", "LICENSE.md"
    )
    assert choose(listing).chosen == ("LICENSE", "LICENSE.md", "USE_POLICY.md", "weights/a.pth")


def test_patterns_replace_the_default_and_cross_folders() -> None:
    assert choose(SVD, include=["unet/", "*.png"], exclude=["*fp16*"]).chosen == (
        "picture.png",
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors",
    )


@pytest.mark.parametrize(
    ("include", "exclude", "message"),
    [
        (["unt/*"], [], r"model\.include.*'unt/\*' matches no file.*\n.*unet/"),
        (["diffusion_pytorch_model.safetensor"], [], r"did you mean .*diffusion_pytorch_model\.safetensors"),
        ([], ["READNE.md"], r"model\.exclude.*\n.*did you mean README\.md"),
        (["zzz"], [], r"the repository has \.gitattributes"),
        (["*.png"], ["picture.png"], r"no file is selected"),
    ],
)
def test_a_pattern_that_does_nothing_is_an_error(include: list[str], exclude: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        choose(SVD, include, exclude, model_index=SVD_INDEX)


@pytest.mark.parametrize(
    ("path", "weight"),
    [
        ("a/model.safetensors", Weight("a", "model", None, "safetensors")),
        ("model.fp16-00001-of-00002.safetensors", Weight("", "model", "fp16", "safetensors", shard=True)),
        ("model-00001-of-00002.fp16.safetensors", Weight("", "model", "fp16", "safetensors", shard=True)),
        ("m.safetensors.index.fp16.json", Weight("", "m", "fp16", "safetensors", index=True)),
        ("m.fp16.safetensors.index.json", Weight("", "m", "fp16", "safetensors", index=True)),
        ("pytorch_model.bin.index.json", Weight("", "pytorch_model", None, "bin", index=True)),
        ("training_args.bin", Weight("", "training_args.bin", None, "training")),
        ("tokenizer.model", None),
        ("model_index.json", None),
        ("LICENSE", None),
    ],
)
def test_a_name_says_what_the_file_is(path: str, weight: Weight | None) -> None:
    assert Weight.of(path) == weight


@given(st.lists(st.sampled_from([file.path for file in SVD + LLAVA]), unique=True, min_size=1), st.booleans())
def test_what_is_chosen_and_what_is_left_out_are_everything(paths: list[str], with_index: bool) -> None:
    listing = files(*paths)
    try:
        selection = choose(listing, model_index=SVD_INDEX if with_index else None)
    except UserError:
        return
    assert set(selection.chosen) <= set(paths)
    assert len(selection.chosen) + selection.excluded[0] == len(listing)
    assert selection.size + selection.excluded[1] == sum(file.size for file in listing)


def test_what_is_reported_stays_short_however_many_and_long_the_names_are() -> None:
    index = {f"{number}{'n' * 1000}": ["a", "b"] for number in range(300)}
    many = [*files(*(f"{folder}/model.bin" for folder in index)), File("model_index.json")]
    assert len(choose(many, model_index=index).reason) < 2000
    # Each has 2,000 folders whose names take 4 MB together.
    deep = files(*(f"{number}/{'d/' * 2000}file" for number in range(20)))
    variants = files("config.json", *(f"model.{number}{'v' * 1000}.safetensors" for number in range(300)))
    for listing, include, variant in ((deep, ["*.bin"], None), (variants, [], "fp16")):
        with pytest.raises(UserError) as caught:
            choose(listing, include, variant=variant)
        assert len(str(caught.value)) < 2000
