"""Which handler, sample, image and instance type fit a model."""

from __future__ import annotations

import re

import pytest

from sagepack.errors import UserError
from sagepack.scaffold import kinds
from sagepack.scaffold.kinds import kind_of, task_of
from sagepack.spec import images
from tests.helpers.paths import ROOT


@pytest.mark.parametrize(
    ("class_name", "tag", "task"),
    [
        ("StableVideoDiffusionPipeline", "image-to-video", "image-to-video"),
        ("LlavaForConditionalGeneration", "image-text-to-text", "image-text-to-text"),
        ("DistilBertForSequenceClassification", None, "text-classification"),
        ("BertForMaskedLM", "fill-mask", "fill-mask"),
        ("LlamaForCausalLM", None, "text-generation"),
        ("GPT2LMHeadModel", "text-generation", "text-generation"),
        ("BertModel", "feature-extraction", "feature-extraction"),
        ("BertForSequenceClassification", "zero-shot-classification", "zero-shot-classification"),
        ("WhisperForConditionalGeneration", "automatic-speech-recognition", "automatic-speech-recognition"),
        ("Wav2Vec2ForCTC", None, "automatic-speech-recognition"),
        ("CLIPModel", None, "zero-shot-image-classification"),
        (None, "text-classification", "text-classification"),
        (None, None, None),
    ],
)
def test_the_class_of_a_model_or_its_tag_on_the_hub_says_its_task(
    class_name: str | None, tag: str | None, task: str | None
) -> None:
    assert task_of(class_name, tag) == task


@pytest.mark.parametrize(
    ("class_name", "tag", "library", "task"),
    [
        ("StableDiffusionXLPipeline", "text-to-image", "diffusers", "text-to-image"),
        ("FluxPipeline", None, None, "text-to-image"),
        ("StableDiffusionInpaintPipeline", "text-to-image", "diffusers", kinds.OTHER),
        ("Qwen2VLForConditionalGeneration", "image-text-to-text", "transformers", kinds.OTHER),
        (None, "image-to-video", None, kinds.OTHER),
        ("ParlerTTSForConditionalGeneration", "text-to-speech", None, kinds.OTHER),
        ("BertModel", "sentence-similarity", "sentence-transformers", "feature-extraction"),
        (None, "text-generation", "gguf", kinds.OTHER),
        (None, "image-classification", "timm", kinds.OTHER),
    ],
)
def test_the_library_decides_which_handler_loads_a_model(
    class_name: str | None, tag: str | None, library: str | None, task: str
) -> None:
    assert task_of(class_name, tag, library) == task


def test_a_mistyped_task_gets_a_proposal() -> None:
    with pytest.raises(UserError, match="did you mean 'text-classification'"):
        kind_of("text-clasification")


@pytest.mark.parametrize("task", kinds.TASKS)
def test_every_kind_gets_the_newest_image_of_the_version_that_its_handler_is_tried_under(task: str) -> None:
    kind = kind_of(task)
    facts = images.parse_tag(kind.image_tag(None))
    assert facts is not None
    assert images.packages(kind.image_tag(None))
    assert facts.device == ("gpu" if kind.gpu else "cpu")
    stack = re.findall(r"^transformers==(.*)$", (ROOT / "requirements-serve.txt").read_text(), re.MULTILINE)
    assert [facts.transformers] == stack


@pytest.mark.parametrize(
    ("saved", "transformers"),
    [("4.40.0", "4.51.3"), ("4.51.3", "4.51.3"), ("4.57.1", "5.5.3"), ("5.0.0.dev0", "5.5.3"), ("nonsense", "4.51.3")],
)
def test_a_model_that_was_saved_with_a_later_version_gets_the_newest_image(saved: str, transformers: str) -> None:
    facts = images.parse_tag(kind_of("text-classification").image_tag(saved))
    assert facts is not None
    assert (facts.transformers, facts.device) == (transformers, "cpu")
    assert "-transformers4.51.3-" in kind_of("question-answering").image_tag(saved)
