"""What the name of a weight file says: its variant, its format, whether it is a shard or an index of shards."""

from __future__ import annotations

import re
from dataclasses import dataclass

_SHARD = re.compile(r"-(\d{5})-of-(\d{5})")
# Formats of weights, best first: safetensors cannot run code and loads fastest; the rest of the first row is PyTorch's.
TORCH = ("safetensors", "bin", "pt", "pth", "ckpt")
_FOREIGN = ("h5", "msgpack", "onnx", "onnx_data", "pb", "tflite", "gguf", "ggml", "mlmodel", "mlpackage", "ot", "npz")
# Other runtimes' files that end like PyTorch's or like a configuration.
_FOREIGN_NAME = re.compile(r"(openvino_.*\.(bin|xml)|flax_.*|tf_model.*|rust_model.*|model\.onnx.*)")
# Files of a training run; they end like weights and no pipeline reads them.
_TRAINING = re.compile(r"(training_args|optimizer|scheduler|scaler|random_states.*|rng_state.*)\.(bin|pt|pth|pkl)")


@dataclass(frozen=True)
class Weight:
    """The parts of a weight file's name.

    Attributes:
        folder: folder of the file, empty at the top.
        stem: name without variant, shard and format, as in `diffusion_pytorch_model`.
        variant: as in `fp16`; None for the plain weights.
        format: extension, as in `safetensors`; `foreign` for other frameworks, `training` for leftovers of training.
        shard: whether it is one of several.
        index: whether it is the JSON file that lists the shards.
    """

    folder: str
    stem: str
    variant: str | None
    format: str
    shard: bool = False
    index: bool = False

    @classmethod
    def of(cls, path: str) -> Weight | None:
        """The weight file at `path`; None if it is something else, such as a configuration or a tokenizer.

        Names follow diffusers and transformers: `stem[.variant][-i-of-n].format`, `stem[-i-of-n][.variant].format`,
        `stem[.variant].format.index[.variant].json`.
        """
        folder, _, name = path.rpartition("/")
        for pattern, kind in ((_TRAINING, "training"), (_FOREIGN_NAME, "foreign")):
            if pattern.fullmatch(name):
                return cls(folder, name, None, kind)
        shard = _SHARD.search(name) is not None
        stem, *parts = _SHARD.sub("", name).split(".")
        ending = parts[-1] if parts else ""
        if ending == "json":
            return cls._index(folder, stem, parts)
        if ending in _FOREIGN:
            return cls(folder, stem, None, "foreign", shard)
        return cls(folder, stem, ".".join(parts[:-1]) or None, ending, shard) if ending in TORCH else None

    @classmethod
    def _index(cls, folder: str, stem: str, parts: list[str]) -> Weight | None:
        if "index" not in parts:
            return None
        formats = [part for part in parts if part in TORCH or part in _FOREIGN]
        if not formats:
            return None
        variant = [part for part in parts[:-1] if part != "index" and part not in formats]
        kind = formats[0] if formats[0] in TORCH else "foreign"
        return cls(folder, stem, ".".join(variant) or None, kind, index=True)
