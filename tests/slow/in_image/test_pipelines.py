"""Each task of the handler for pipelines, on a tiny model with random weights that is made here, with its sample of `new`."""

from __future__ import annotations

import base64
import io
import json
import math
import os
import wave
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers.handlers import load
from tests.helpers.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import ModuleType

torch = pytest.importorskip("torch", reason="torch is not installed")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")
tokenizers = pytest.importorskip("tokenizers", reason="tokenizers is not installed")
JSON = "application/json"
PICTURE = json.loads((ROOT / "config" / "samples" / "svd.json").read_text(encoding="utf-8"))["inputs"]
SAMPLES: dict[str, dict[str, Any]] = json.loads(os.environ.get("SAMPLES", "{}"))
WORDS = "[PAD] [UNK] [CLS] [SEP] [MASK] i like this very much . paris is the of france a city beach praise complaint"
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}


def bert(head: str, folder: Path, **more: object) -> None:
    words = WORDS.split()
    (folder / "vocab.txt").write_text("\n".join(words))
    transformers.BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=512).save_pretrained(folder)
    config = transformers.BertConfig(vocab_size=len(words), **SMALL, **more)
    getattr(transformers, f"Bert{head}")(config).save_pretrained(folder)


def word_level(folder: Path) -> Any:
    """A tokenizer of whole words with the signs that models of text generation have."""
    words = {word: number for number, word in enumerate(["<pad>", "</s>", "<unk>", *WORDS.split()])}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, "<unk>"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_input_names=["input_ids", "attention_mask"],
    )
    made.save_pretrained(folder)
    return made


def gpt2(folder: Path) -> None:
    size = len(word_level(folder))
    config = transformers.GPT2Config(
        vocab_size=size, n_embd=32, n_layer=2, n_head=2, n_positions=64, bos_token_id=1, eos_token_id=1, pad_token_id=0
    )
    transformers.GPT2LMHeadModel(config).save_pretrained(folder)


def t5(folder: Path) -> None:
    size = len(word_level(folder))
    config = transformers.T5Config(
        vocab_size=size, d_model=32, d_kv=16, d_ff=64, num_layers=2, num_heads=2, decoder_start_token_id=0
    )
    transformers.T5ForConditionalGeneration(config).save_pretrained(folder)


def vit(folder: Path) -> None:
    config = transformers.ViTConfig(image_size=32, patch_size=8, **SMALL)
    transformers.ViTForImageClassification(config).save_pretrained(folder)
    transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)


def yolos(folder: Path) -> None:
    config = transformers.YolosConfig(image_size=[64, 64], patch_size=16, num_detection_tokens=5, **SMALL)
    transformers.YolosForObjectDetection(config).save_pretrained(folder)
    transformers.YolosImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder)


def clip(folder: Path) -> None:
    size = len(word_level(folder))
    config = transformers.CLIPConfig(
        text_config={**SMALL, "vocab_size": size, "eos_token_id": 1, "bos_token_id": 1, "pad_token_id": 0},
        vision_config={**SMALL, "image_size": 32, "patch_size": 8},
        projection_dim=16,
    )
    transformers.CLIPModel(config).save_pretrained(folder)
    transformers.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}).save_pretrained(
        folder
    )


SPEECH = {**SMALL, "conv_dim": (16, 16), "conv_kernel": (10, 8), "conv_stride": (5, 4), "num_feat_extract_layers": 2}


def wav2vec2(head: str, folder: Path) -> None:
    letters = {sign: number for number, sign in enumerate(["<pad>", "<s>", "</s>", "<unk>", "|", *"ABCDEFGH"])}
    (folder / "vocab.json").write_text(json.dumps(letters))
    transformers.Wav2Vec2CTCTokenizer(str(folder / "vocab.json")).save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor().save_pretrained(folder)
    config = transformers.Wav2Vec2Config(
        vocab_size=len(letters), num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2, **SPEECH
    )
    getattr(transformers, f"Wav2Vec2{head}")(config).save_pretrained(folder)


ENTAILMENT = {"id2label": {0: "entailment", 1: "neutral"}, "label2id": {"entailment": 0, "neutral": 1}}
MODELS: dict[str, Callable[[Path], None]] = {
    "text-classification": lambda folder: bert("ForSequenceClassification", folder),
    "token-classification": lambda folder: bert("ForTokenClassification", folder),
    "fill-mask": lambda folder: bert("ForMaskedLM", folder),
    "feature-extraction": lambda folder: bert("Model", folder),
    "question-answering": lambda folder: bert("ForQuestionAnswering", folder),
    "zero-shot-classification": lambda folder: bert("ForSequenceClassification", folder, **ENTAILMENT),
    "summarization": t5,
    "translation": t5,
    "text2text-generation": t5,
    "text-generation": gpt2,
    "image-classification": vit,
    "object-detection": yolos,
    "zero-shot-image-classification": clip,
    "automatic-speech-recognition": lambda folder: wav2vec2("ForCTC", folder),
    "audio-classification": lambda folder: wav2vec2("ForSequenceClassification", folder),
}


class Served:
    """The handler for a task with a model."""

    def __init__(self, task: str, folder: Path, patch: pytest.MonkeyPatch) -> None:
        patch.setenv("HF_TASK", task)
        self.inference: ModuleType = load("pipeline")
        torch.manual_seed(0)
        MODELS[task](folder)
        self.model = self.inference.model_fn(str(folder))

    def ask(self, inputs: object, **parameters: object) -> Any:
        return self.send(json.dumps({"inputs": inputs, "parameters": parameters}).encode(), JSON)

    def send(self, body: bytes, content_type: str) -> Any:
        return json.loads(self.inference.transform_fn(self.model, body, content_type, JSON))


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Served]:
    return lambda task: Served(task, tmp_path, monkeypatch)


# What of an answer is the same whatever the weights are.
ANSWERS: dict[str, Callable[[Any], bool]] = {
    "text-classification": lambda found: found[0].keys() == {"label", "score"},
    "token-classification": lambda found: all("entity" in each for each in found),
    "fill-mask": lambda found: len(found) == 5 and "token_str" in found[0],
    "feature-extraction": lambda found: len(found) == 32 and isinstance(found[0], float),
    "question-answering": lambda found: "answer" in found,
    "zero-shot-classification": lambda found: math.isclose(sum(found["scores"]), 1, rel_tol=1e-5),
    "summarization": lambda found: isinstance(found[0]["summary_text"], str),
    "translation": lambda found: isinstance(found[0]["translation_text"], str),
    "text2text-generation": lambda found: isinstance(found[0]["generated_text"], str),
    "text-generation": lambda found: found[0]["generated_text"].startswith("Once upon a time"),
    "image-classification": lambda found: found[0].keys() == {"label", "score"},
    "object-detection": lambda found: isinstance(found, list),
    "zero-shot-image-classification": lambda found: {each["label"] for each in found} == {"a city", "a beach"},
    "automatic-speech-recognition": lambda found: isinstance(found["text"], str),
    "audio-classification": lambda found: found[0].keys() == {"label", "score"},
}


@pytest.mark.parametrize("task", MODELS)
def test_each_task_answers_the_sample_that_new_writes_for_it(served: Callable[[str], Served], task: str) -> None:
    body = json.dumps(SAMPLES[task]).encode()
    handler = served(task)
    answer = handler.send(body, JSON)
    assert ANSWERS[task](answer), answer
    assert handler.send(body, JSON) == answer


def test_no_task_is_left_out() -> None:
    inference = load("pipeline")
    assert MODELS.keys() == ANSWERS.keys() == SAMPLES.keys() == {*inference.TEXTS, *inference.READERS}


def test_an_embedding_is_one_vector_a_text_as_the_request_says(served: Callable[[str], Served]) -> None:
    handler = served("feature-extraction")
    (tokens,) = handler.ask("i like this", pooling="none")
    assert [len(tokens), len(tokens[0])] == [5, 32]  # with the signs for begin and end
    mean = [sum(column) / 5 for column in zip(*tokens, strict=True)]
    assert handler.ask("i like this") == pytest.approx(mean, abs=1e-6)
    assert handler.ask("i like this", pooling="cls") == pytest.approx(tokens[0], abs=1e-6)
    both = handler.ask(["i like this", "this is a city very much"], normalize=True)
    assert [math.hypot(*vector) for vector in both] == pytest.approx([1, 1])
    assert max(len(str(abs(number))) for number in both[0]) <= len("0.00012345678")
    alone = handler.ask("i like this", normalize=True)
    assert both[0] == pytest.approx(alone, abs=1e-6), "the length of another text changes nothing"


def test_a_text_longer_than_the_model_takes_is_told_so_or_cut(served: Callable[[str], Served]) -> None:
    handler = served("text-classification")
    with pytest.raises(ValueError, match=r"the inputs have up to 602 tokens and the model takes 512: .*truncation"):
        handler.ask("like " * 600)
    assert handler.ask("like " * 600, truncation=True)


def test_the_same_seed_draws_the_same_text_and_another_one_another(served: Callable[[str], Served]) -> None:
    handler = served("text-generation")
    one, two, other = (
        handler.ask("paris is", do_sample=True, min_new_tokens=20, max_new_tokens=20, seed=seed) for seed in (1, 1, 2)
    )
    assert one == two
    assert one != other


def recorded(channels: int, rate: int = 16_000) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as writer:
        writer.setnchannels(channels)
        writer.setsampwidth(2)
        writer.setframerate(rate)
        samples = (round(9000 * math.sin(number / 9)) for number in range(4000))
        writer.writeframes(b"".join(sample.to_bytes(2, "little", signed=True) * channels for sample in samples))
    return file.getvalue()


def test_a_recording_is_the_body_in_one_channel_or_two(served: Callable[[str], Served]) -> None:
    handler = served("audio-classification")
    mono, stereo = (handler.send(recorded(channels), "audio/wav") for channels in (1, 2))
    assert mono == stereo


def test_a_picture_is_the_body(served: Callable[[str], Served]) -> None:
    handler = served("image-classification")
    assert handler.send(base64.b64decode(PICTURE), "image/png") == handler.ask(PICTURE)
    with pytest.raises(ValueError, match="inputs is not a picture: it begins with b'RIFF"):
        handler.send(recorded(1), "audio/wav")
