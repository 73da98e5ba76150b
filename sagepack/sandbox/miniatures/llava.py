"""A miniature of llava-hf/llava-1.5-7b-hf: the same layout, with small weights and a tokenizer of single bytes.

The real `LlavaForConditionalGeneration` and `AutoProcessor` load it. It differs from the real configuration in sizes only:
two layers of 32 channels in both towers, images of 56x56 pixels, and a vocabulary of bytes, which can encode any text.
`tokenizer.model` of the real repository, which only the slow tokenizer reads, is not included.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sagepack.sandbox.miniatures import shapes, weights

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagepack.sandbox.miniatures.shapes import Named

_WIDTH, _MIDDLE, _LAYERS = 32, 64, 2
_PIXELS, _PATCH = 56, 14
_IMAGE_TOKEN, _PAD_TOKEN, _VOCABULARY = 259, 260, 264
_SPECIAL = {"<unk>": 0, "<s>": 1, "</s>": 2, "<image>": _IMAGE_TOKEN, "<pad>": _PAD_TOKEN}
_VERSION = "4.51.3"

_CHAT = (
    "{% for message in messages %}{{ message['role'].upper() + ': ' }}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\\n' }}{% endfor %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}{{ content['text'] + ' ' }}{% endfor %}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)

_README = """---
pipeline_tag: image-text-to-text
---

# LLaVA 1.5, a miniature

The paths of the real repository with tiny weights of no meaning, made by sagepack's sandbox for tests.
"""


def _config() -> dict[str, Any]:
    text = {
        "architectures": ["LlamaForCausalLM"],
        "head_dim": _WIDTH // 4,
        "hidden_size": _WIDTH,
        "intermediate_size": _MIDDLE,
        "max_position_embeddings": 4096,
        "model_type": "llama",
        "num_attention_heads": 4,
        "num_hidden_layers": _LAYERS,
        "num_key_value_heads": 4,
        "rms_norm_eps": 1e-05,
        "torch_dtype": "float16",
        "vocab_size": _VOCABULARY,
    }
    vision = {
        "hidden_size": _WIDTH,
        "image_size": _PIXELS,
        "intermediate_size": _MIDDLE,
        "model_type": "clip_vision_model",
        "num_attention_heads": 4,
        "num_hidden_layers": _LAYERS,
        "patch_size": _PATCH,
        "projection_dim": _WIDTH,
        "vocab_size": _VOCABULARY,
    }
    return {
        "architectures": ["LlavaForConditionalGeneration"],
        "ignore_index": -100,
        "image_seq_length": (_PIXELS // _PATCH) ** 2,
        "image_token_index": _IMAGE_TOKEN,
        "model_type": "llava",
        "multimodal_projector_bias": True,
        "pad_token_id": _PAD_TOKEN,
        "projector_hidden_act": "gelu",
        "text_config": text,
        "tie_word_embeddings": False,
        "torch_dtype": "float16",
        "transformers_version": _VERSION,
        "vision_config": vision,
        "vision_feature_layer": -2,
        "vision_feature_select_strategy": "default",
    }


def _preprocessor() -> dict[str, Any]:
    return {
        "crop_size": {"height": _PIXELS, "width": _PIXELS},
        "do_center_crop": True,
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_processor_type": "CLIPImageProcessor",
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "processor_class": "LlavaProcessor",
        "resample": 3,
        "rescale_factor": 0.00392156862745098,
        "size": {"shortest_edge": _PIXELS},
    }


def _processor() -> dict[str, Any]:
    return {
        "image_token": "<image>",
        "num_additional_image_tokens": 1,
        "patch_size": _PATCH,
        "processor_class": "LlavaProcessor",
        "vision_feature_select_strategy": "default",
    }


def _added(content: str) -> dict[str, Any]:
    flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
    return {"content": content, **flags}


def _tokenizer() -> dict[str, Any]:
    """Byte-pair encoding without merges: every character is encoded as its bytes."""
    bytes_of = {f"<0x{byte:02X}>": 3 + byte for byte in range(256)}
    begin = {"SpecialToken": {"id": "<s>", "type_id": 0}}
    sequence = {"Sequence": {"id": "A", "type_id": 0}}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": number, **_added(content)} for content, number in _SPECIAL.items()],
        "normalizer": None,
        "pre_tokenizer": None,
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [begin, sequence],
            "pair": [begin, sequence, begin, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}},
        },
        "decoder": {"type": "Sequence", "decoders": [{"type": "ByteFallback"}, {"type": "Fuse"}]},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": "<unk>",
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": True,
            "ignore_merges": False,
            "vocab": {"<unk>": 0, "<s>": 1, "</s>": 2, **bytes_of},
            "merges": [],
        },
    }


def _tokenizer_config() -> dict[str, Any]:
    return {
        "added_tokens_decoder": {str(number): _added(content) for content, number in _SPECIAL.items()},
        "bos_token": "<s>",
        "clean_up_tokenization_spaces": False,
        "eos_token": "</s>",
        "extra_special_tokens": {"image_token": "<image>"},
        "image_token": "<image>",
        "model_max_length": 4096,
        "pad_token": "<pad>",
        "padding_side": "left",
        "processor_class": "LlavaProcessor",
        "tokenizer_class": "LlamaTokenizer",
        "unk_token": "<unk>",
    }


def _tensors() -> Named:
    yield from shapes.under("language_model", shapes.llama(_WIDTH, _MIDDLE, _LAYERS, _VOCABULARY))
    yield from shapes.linear("multi_modal_projector.linear_1", _WIDTH, _WIDTH)
    yield from shapes.linear("multi_modal_projector.linear_2", _WIDTH, _WIDTH)
    positions = (_PIXELS // _PATCH) ** 2 + 1
    tower = shapes.clip_vision(_WIDTH, _MIDDLE, _PATCH, positions, _LAYERS)
    yield from shapes.under("vision_tower", tower)


def _shards() -> Iterator[tuple[str, bytes]]:
    """The weights in three files, as in the real repository, and their index."""
    named = sorted(_tensors())
    size = -(-len(named) // 3)
    shards = {f"model-{n + 1:05}-of-00003.safetensors": named[n * size : (n + 1) * size] for n in range(3)}
    made = {path: weights.tensors(part) for path, part in shards.items()}
    total = sum(len(data) for part in made.values() for _, data in part.values())
    index = {
        "metadata": {"total_size": total},
        "weight_map": {name: path for path, part in made.items() for name in part},
    }
    yield "model.safetensors.index.json", (json.dumps(index, indent=2, sort_keys=True) + "\n").encode()
    for path, part in made.items():
        yield path, weights.safetensors(part, "F16")


def files() -> Iterator[tuple[str, bytes]]:
    """Path and content of every file, in no particular order."""
    yield ".gitattributes", b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"
    yield "README.md", _README.encode()
    generation = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": _PAD_TOKEN, "transformers_version": _VERSION}
    configs = {
        "added_tokens.json": {"<image>": _IMAGE_TOKEN, "<pad>": _PAD_TOKEN},
        "chat_template.json": {"chat_template": _CHAT},
        "config.json": _config(),
        "generation_config.json": {"_from_model_config": True, **generation},
        "preprocessor_config.json": _preprocessor(),
        "processor_config.json": _processor(),
        "special_tokens_map.json": {
            "bos_token": "<s>",
            "eos_token": "</s>",
            "pad_token": "<pad>",
            "unk_token": "<unk>",
        },
        "tokenizer.json": _tokenizer(),
        "tokenizer_config.json": _tokenizer_config(),
    }
    for path, document in configs.items():
        yield path, (json.dumps(document, indent=2) + "\n").encode()
    yield from _shards()
