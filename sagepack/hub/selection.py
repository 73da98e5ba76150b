"""Selects the files of a repository that a package takes. Pure: no request and no file is read."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Protocol

from sagepack.errors import UserError
from sagepack.hub.weight_names import TORCH, Weight
from sagepack.text import counted, format_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_PICTURES = ("png", "jpg", "jpeg", "gif", "webp", "svg", "bmp", "mp4", "mov", "webm", "avi", "mp3", "wav", "pdf")
_PROSE = ("md", "rst")
_LEGAL = re.compile(r"(licen[cs]e|notice|copying|copyright|use[_-]policy|acceptable[_-]use)", re.IGNORECASE)
# Folders with the same weights for other runtimes, or from before their conversion.
_OTHER_RUNTIMES = {"onnx", "openvino", "coreml", "original", "gguf", "tflite", "tf", "flax", "runs", "logs"}
_ADAPTER = "adapter_config.json"  # of PEFT, which lies beside the weights of an adapter
_CANONICAL = {"model", "pytorch_model", "diffusion_pytorch_model", "adapter_model"}


class SizedFile(Protocol):
    """What the selection uses of a file; `responses.RepoFile` has it."""

    @property
    def path(self) -> str:
        """Path in the repository."""

    @property
    def size(self) -> int:
        """Bytes."""


@dataclass(frozen=True)
class Selection:
    """The files that a package takes.

    Attributes:
        chosen: their paths, sorted.
        size: their bytes.
        excluded: number and bytes of the other files.
        reason: one sentence for the user: what decided, and how much it saves.
    """

    chosen: tuple[str, ...]
    size: int
    excluded: tuple[int, int]
    reason: str


def choose(
    files: Sequence[SizedFile],
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    variant: str | None = None,
    model_index: Mapping[str, Any] | None = None,
) -> Selection:
    """Select the files of a package.

    Patterns are those of huggingface_hub: shell globs over the whole path, where `*` also matches `/`, and `folder/` means
    everything under it. Without `include` the layout of the repository decides. For a diffusers pipeline these are the folders
    in `model_index.json`, for a transformers model or an adapter of PEFT the files that `from_pretrained` loads, both with one
    variant and one format of the weights; for any other repository, and one whose weights are none of PyTorch's, all files but
    documentation and those of a training run.

    Args:
        files: every file of the repository.
        include: patterns of paths to take, instead of the default.
        exclude: patterns of paths to exclude, from the default too.
        variant: weight variant such as `fp16`; None takes fp16 if every component of a diffusers pipeline has it.
        model_index: content of `model_index.json`, if the repository has one.

    Raises:
        UserError: a pattern matches no file, no component has the variant, or no file is selected.
    """
    paths = [file.path for file in files]
    for key, patterns in (("include", include), ("exclude", exclude)):
        for pattern in patterns:
            _must_match(pattern, paths, f"model.{key}")
    if include:
        selected, why = {path for path in paths if _any_match(path, include)}, "patterns of the spec"
    else:
        selected, why = _default(paths, variant, model_index)
    chosen = [file for file in files if file.path in selected and not _any_match(file.path, exclude)]
    if not chosen:
        raise UserError("no file is selected", where="model", fix="widen model.include or narrow model.exclude")
    size, everything = sum(file.size for file in chosen), sum(file.size for file in files)
    excluded = (len(files) - len(chosen), everything - size)
    saved = f"; excluding {counted(excluded[0], 'other')} saves {format_bytes(excluded[1])}" if excluded[0] else ""
    reason = f"{why}: {counted(len(chosen), 'file')}, {format_bytes(size)} of {format_bytes(everything)}{saved}"
    return Selection(tuple(sorted(file.path for file in chosen)), size, excluded, reason)


def _any_match(path: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(path, pattern + "*" if pattern.endswith("/") else pattern) for pattern in patterns)


def _must_match(pattern: str, paths: Sequence[str], where: str) -> None:
    if any(_any_match(path, (pattern,)) for path in paths):
        return
    # Finding similar texts is slow, and a listing may have many and long ones: the hint is based on some short ones.
    some = [path for path in paths if len(path) <= 200][:2000]
    folders = {"/".join(path.split("/")[:depth]) + "/" for path in some for depth in range(1, path.count("/") + 1)}
    names = {path.rpartition("/")[2]: path for path in some}
    near = get_close_matches(pattern, [*some, *folders], n=3, cutoff=0.5)
    near += [
        names[name] for name in get_close_matches(pattern, list(names), n=3, cutoff=0.5) if names[name] not in near
    ]
    hint = f"did you mean {', '.join(near[:3])}?" if near else f"the repository has {_listed(sorted(some))}"
    raise UserError(f"the pattern {pattern!r} matches no file of the repository", where=where, fix=hint)


def _listed(names: Sequence[str]) -> str:
    """Some names of the repository, shortened, for a message."""
    return ", ".join([name[:100] for name in names[:10]] + ["..."] * (len(names) > 10))


def _default(paths: Sequence[str], variant: str | None, index: Mapping[str, Any] | None) -> tuple[set[str], str]:
    if "model_index.json" in paths:
        return _diffusers(paths, variant, index)
    if "config.json" in paths or _ADAPTER in paths:
        return _transformers(paths, variant)
    return _everything(paths), "no known layout, so everything but documentation"


def _everything(paths: Iterable[str]) -> set[str]:
    """All files but documentation, and what only a training run needs."""
    weights = {path: Weight.of(path) for path in paths if not _is_documentation(path)}
    return {path for path, weight in weights.items() if weight is None or weight.format != "training"}


def _diffusers(paths: Sequence[str], variant: str | None, index: Mapping[str, Any] | None) -> tuple[set[str], str]:
    folders = _components(paths, index)
    inside = [path for path in paths if path.partition("/")[0] in folders and "/" in path]
    taken, label = _one_variant_and_format(inside, variant, prefer="fp16")
    top = {path for path in paths if "/" not in path and _belongs_at_top(path)}
    return taken | top, f"diffusers layout, {label} of {_listed(sorted(folders))}"


def _components(paths: Sequence[str], index: Mapping[str, Any] | None) -> set[str]:
    """The folders in model_index.json, whose values are [library, class]; both are null for an unused component."""
    present = {path.partition("/")[0] for path in paths if "/" in path}
    if index is None:
        return present
    named = {key for key, value in index.items() if isinstance(value, list) and any(value) and not key.startswith("_")}
    return named & present


def _belongs_at_top(path: str) -> bool:
    # A pipeline may have code of its own next to the index; single-file checkpoints repeat the weights of the folders.
    return path == "model_index.json" or path.endswith(".py") or _LEGAL.match(path) is not None


def _transformers(paths: Sequence[str], variant: str | None) -> tuple[set[str], str]:
    kept = [path for path in paths if not _is_documentation(path) and not _other_runtime(path)]
    if not any(weight.format in TORCH for path in kept if (weight := Weight.of(path))):
        return _everything(paths), "no weights of PyTorch, so everything but documentation"
    taken, label = _one_variant_and_format(kept, variant, prefer=None)
    return taken, f"transformers layout, {label}"


def _other_runtime(path: str) -> bool:
    folders = [folder.lower() for folder in path.split("/")[:-1]]
    return any(folder in _OTHER_RUNTIMES or folder.startswith("checkpoint-") for folder in folders)


def _is_documentation(path: str) -> bool:
    name = path.rpartition("/")[2]
    if _LEGAL.match(name):
        return False
    return name.startswith(".git") or name.rpartition(".")[2].lower() in (*_PICTURES, *_PROSE)


def _one_variant_and_format(paths: Iterable[str], variant: str | None, prefer: str | None) -> tuple[set[str], str]:
    """One variant in one format of the weights of each folder, and every other file; with a label for messages."""
    weights: dict[str, dict[str, Weight]] = {}
    taken = set()
    for path in paths:
        weight = Weight.of(path)
        if weight is not None:
            weights.setdefault(weight.folder, {})[path] = weight
        elif not _is_documentation(path):
            taken.add(path)
    best = {folder: files for folder, found in weights.items() if (files := _best_format(found))}
    chosen = _choose_variant([set(files.values()) for files in best.values()], variant, prefer)
    for files in best.values():
        taken |= _one_variant(files, chosen)
    formats = sorted({weight.format for files in best.values() for weight in files.values()}, key=TORCH.index)
    return taken, f"{chosen or 'plain'} {'/'.join(formats) or 'no'} weights"


def _best_format(found: Mapping[str, Weight]) -> dict[str, Weight]:
    """The weights of a folder in the best of its formats; an index alone does not count as a format."""
    formats = {weight.format for weight in found.values() if not weight.index}
    best = next((name for name in TORCH if name in formats), None)
    return {path: weight for path, weight in found.items() if weight.format == best}


def _choose_variant(components: Sequence[set[Weight]], variant: str | None, prefer: str | None) -> str | None:
    """The requested variant, else the preferred one if all components have it; None for weights without a variant."""
    available = [{weight.variant for weight in component} for component in components]
    if variant is not None:
        if not any(variant in variants for variants in available):
            known = sorted({name for variants in available for name in variants if name})
            hint = f"available: {_listed(known)}" if known else "remove model.variant: the weights have no variant"
            raise UserError(f"no weights of variant {variant!r}", where="model.variant", fix=hint)
        return variant
    return prefer if prefer and available and all(prefer in variants for variants in available) else None


def _one_variant(files: Mapping[str, Weight], variant: str | None) -> set[str]:
    """The files of one variant: the given one, else the weights without a variant, else the first by name."""
    variants = {weight.variant for weight in files.values()}
    chosen = next((name for name in (variant, None) if name in variants), min(variants, key=str))
    same = {path: weight for path, weight in files.items() if weight.variant == chosen}
    canonical = any(weight.stem in _CANONICAL for weight in same.values())
    whole = {weight.stem for weight in same.values() if not weight.shard and not weight.index}
    return {
        path
        for path, weight in same.items()
        # Shards repeat the file of the same name that is not sharded; `consolidated` repeats the canonical file.
        if not ((weight.shard or weight.index) and weight.stem in whole)
        and not (canonical and weight.stem.startswith("consolidated"))
    }
