"""Parses the names of weight files: variant, format, and whether the file is a shard or an index of shards."""

from __future__ import annotations

import re
from dataclasses import dataclass

_SHARD = re.compile(r"-(\d{5})-of-(\d{5})")
# Formats of PyTorch weights, best first: safetensors cannot run code, and loads fastest.
TORCH = ("safetensors", "bin", "pt", "pth", "ckpt")
_FOREIGN = ("h5", "msgpack", "onnx", "onnx_data", "pb", "tflite", "gguf", "ggml", "mlmodel", "mlpackage", "ot", "npz")
# Files of other runtimes whose extension is that of PyTorch weights or of a configuration.
_FOREIGN_NAME = re.compile(r"(openvino_.*\.(bin|xml)|flax_.*|tf_model.*|rust_model.*|model\.onnx.*)")
# Files of a training run with the extension of weights; no pipeline loads them.
_TRAINING = re.compile(r"(training_args|optimizer|scheduler|scaler|random_states.*|rng_state.*)\.(bin|pt|pth|pkl)")


@dataclass(frozen=True)
class Weight:
    """The parts of a weight file's name.

    Attributes:
        folder: folder of the file, empty at the top.
        stem: name without variant, shard and format, as in `diffusion_pytorch_model`.
        variant: such as `fp16`; None for weights without a variant.
        format: extension, such as `safetensors`; `foreign` for other frameworks, `training` for files of a training run.
        shard: whether the file is one of several shards.
        index: whether the file is the JSON index of shards.
    """

    folder: str
    stem: str
    variant: str | None
    format: str
    shard: bool = False
    index: bool = False

    @classmethod
    def of(cls, path: str) -> Weight | None:
        """Parse a path; None if it is not a weight file but, for example, a configuration or a tokenizer.

        The names are those of diffusers and transformers: `stem[.variant][-i-of-n].format`, `stem[-i-of-n][.variant].format`,
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
