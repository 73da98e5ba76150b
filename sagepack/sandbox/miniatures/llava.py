"""A miniature of llava-hf/llava-1.5-7b-hf: the same layout, with small weights made by hand and a tokenizer of single bytes.

The real `LlavaForConditionalGeneration` and `AutoProcessor` load it, and answer whatever the question is with the colours of the
picture: "The picture is light blue above and green below." `llava_weights` says how. It differs from the real configuration in
sizes: two layers of 32 channels in both towers, images of 56x56 pixels, a vocabulary of bytes, which can encode any
text, and of the phrases of that sentence; and its positions rotate slower.
`tokenizer.model` of the real repository, which only the slow tokenizer reads, is not included.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sagepack.sandbox.miniatures import llava_weights, weights

if TYPE_CHECKING:
    from collections.abc import Iterator

_SPECIAL = {
    "<unk>": 0,
    "<s>": 1,
    "</s>": llava_weights.END,
    "<image>": llava_weights.IMAGE,
    "<pad>": llava_weights.PADDING,
}
_VERSION = "4.51.3"

_CHAT = (
    "{% for message in messages %}{{ message['role'].upper() + ': ' }}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\\n' }}{% endfor %}"
    "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}{{ content['text'] + ' ' }}{% endfor %}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)

_README = """---
license: llama2
pipeline_tag: image-text-to-text
---

# LLaVA 1.5, a miniature

The paths of the real repository with tiny weights, made by sagepack's sandbox for tests. Whatever the question, the answer
names the colours of the picture.
"""


def _config() -> dict[str, Any]:
    text = {
        "architectures": ["LlamaForCausalLM"],
        "head_dim": llava_weights.WIDTH // llava_weights.HEADS,
        "hidden_size": llava_weights.WIDTH,
        "intermediate_size": llava_weights.MIDDLE,
        "max_position_embeddings": 4096,
        "model_type": "llama",
        "num_attention_heads": llava_weights.HEADS,
        "num_hidden_layers": llava_weights.LAYERS,
        "num_key_value_heads": llava_weights.HEADS,
        "rms_norm_eps": 1e-05,
        "rope_theta": llava_weights.ROTATION,
        "torch_dtype": "float16",
        "vocab_size": llava_weights.VOCABULARY,
    }
    vision = {
        "hidden_size": llava_weights.WIDTH,
        "image_size": llava_weights.PIXELS,
        "intermediate_size": llava_weights.MIDDLE,
        "model_type": "clip_vision_model",
        "num_attention_heads": llava_weights.HEADS,
        "num_hidden_layers": llava_weights.LAYERS,
        "patch_size": llava_weights.PATCH,
        "projection_dim": llava_weights.WIDTH,
        "vocab_size": llava_weights.VOCABULARY,
    }
    return {
        "architectures": ["LlavaForConditionalGeneration"],
        "ignore_index": -100,
        "image_seq_length": (llava_weights.PIXELS // llava_weights.PATCH) ** 2,
        "image_token_index": llava_weights.IMAGE,
        "model_type": "llava",
        "multimodal_projector_bias": True,
        "pad_token_id": llava_weights.PADDING,
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
        "crop_size": {"height": llava_weights.PIXELS, "width": llava_weights.PIXELS},
        "do_center_crop": True,
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": list(llava_weights.MEANS),
        "image_processor_type": "CLIPImageProcessor",
        "image_std": list(llava_weights.DEVIATIONS),
        "processor_class": "LlavaProcessor",
        "resample": 3,
        "rescale_factor": 0.00392156862745098,
        "size": {"shortest_edge": llava_weights.PIXELS},
    }


def _processor() -> dict[str, Any]:
    return {
        "image_token": "<image>",
        "num_additional_image_tokens": 1,
        "patch_size": llava_weights.PATCH,
        "processor_class": "LlavaProcessor",
        "vision_feature_select_strategy": "default",
    }


def _added(content: str) -> dict[str, Any]:
    flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
    return {"content": content, **flags}


def _tokenizer() -> dict[str, Any]:
    """Byte-pair encoding without merges: every character is encoded as its bytes. Phrases appear in answers alone."""
    bytes_of = {f"<0x{byte:02X}>": llava_weights.FIRST_BYTE + byte for byte in range(256)}
    phrases = {phrase: number for number, phrase in enumerate(llava_weights.PHRASES, llava_weights.FIRST_PHRASE)}
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
            "vocab": {"<unk>": 0, "<s>": 1, "</s>": llava_weights.END, **bytes_of, **phrases},
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


def _shards() -> Iterator[tuple[str, bytes]]:
    """The weights in three files, as in the real repository, and their index."""
    content = sorted(llava_weights.tensors().content().items())
    size = -(-len(content) // 3)
    shards = {f"model-{n + 1:05}-of-00003.safetensors": dict(content[n * size : (n + 1) * size]) for n in range(3)}
    index = {
        "metadata": {"total_size": sum(len(data) for _, (_, data) in content)},
        "weight_map": {name: path for path, part in shards.items() for name in part},
    }
    yield "model.safetensors.index.json", (json.dumps(index, indent=2, sort_keys=True) + "\n").encode()
    for path, part in shards.items():
        yield path, weights.safetensors(part, "F16")


def files() -> Iterator[tuple[str, bytes]]:
    """Path and content of every file, in no particular order."""
    yield ".gitattributes", b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n"
    yield "README.md", _README.encode()
    generation = {
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": llava_weights.PADDING,
        "transformers_version": _VERSION,
    }
    configs = {
        "added_tokens.json": {"<image>": llava_weights.IMAGE, "<pad>": llava_weights.PADDING},
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
