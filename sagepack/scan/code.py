"""Python files of a model that its configurations make a loader run.

Which files that are follows from the configurations alone; whether they are in the package is judged later, since a file that
is not there is not run.
"""

from __future__ import annotations

import json
import posixpath
from typing import TYPE_CHECKING, Any

from sagepack.scan import formats, keras
from sagepack.scan.finding import Finding, Kind, RefusedError, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagepack.scan.ranges import Ranges

LIMIT = 4 << 20
"""Bytes of the largest configuration that is judged."""
# Of a preset of Keras Hub, beside its config.json; tokenizer.json is mostly one of another library, of many MB.
_OF_KERAS_HUB = ("task.json", "preprocessor.json", "image_converter.json", "audio_converter.json")
_INDEX_LIMIT = 16 << 20  # of an index of shards, which names each tensor
_OTHER_SHARDS = (".h5", ".msgpack")  # of TensorFlow and Flax, which unpickle nothing
_LIBRARIES = ("diffusers", "transformers", "sentence_transformers")
_SHOWN = 5


def is_configuration(path: str) -> bool:
    """Whether a file is one that may name code, or the files that hold weights."""
    name = path.rpartition("/")[2].lower()
    # `config.4.0.0.json` is for one version of transformers, `model.safetensors.index.fp16.json` for one variant.
    return (
        name.endswith(("config.json", "index.json", "modules.json"))
        or name in _OF_KERAS_HUB
        or (name.endswith(".json") and (name.startswith("config") or ".index." in name))
    )


def findings(path: str, file: Ranges) -> Iterator[Finding]:
    """The code that a configuration names, and weights in files that are not looked into.

    Args:
        path: of the configuration; what it names lies beside it, or at the top.
        file: its bytes.

    Raises:
        RefusedError: it is too large to judge.
    """
    if file.size > (_INDEX_LIMIT if ".index." in path.rpartition("/")[2].lower() else LIMIT):
        raise RefusedError(Kind.UNREADABLE, f"is a configuration of {file.size:,} bytes, too large to judge")
    try:
        # As its loaders do, so that both see the same: with NaN, half characters, and the last of two equal names.
        document = json.loads(file.head(file.size).decode())
    except (ValueError, RecursionError):
        return  # its loader cannot read it either
    own = dict.fromkeys(_own_modules(path, document))
    foreign = []
    for reference in _references(document):
        repository, _, place = reference.rpartition("--")
        module = place.rpartition(".")[0]
        if repository:
            foreign.append((repository, place))
        elif module:
            own[module] = None
    for repository, place in foreign[:1]:
        what = f"takes {shown(place)} from the repository {shown(repository)}, which no lock pins"
        yield Finding(path, Kind.FOREIGN_CODE, what, "auto_map")
    if own:
        names = [f"{module.replace('.', '/')}.py" for module in own]
        files = tuple(place for name in names for place in _places(path, name))
        yield Finding(
            path, Kind.CODE, f"makes a loader run {', '.join(shown(name) for name in names[:_SHOWN])}", "", files
        )
    shards = dict.fromkeys(_shards(document))
    if outside := next((name for name in shards if _leads_out(path, name)), None):
        yield Finding(path, Kind.UNREADABLE, f"takes weights from {shown(outside)}, outside of the model", "weight_map")
    elif other := next((name for name in shards if not _is_judged_as_weights(path, name)), None):
        what = (
            f"takes weights from {shown(other)}, which is not judged as weights, so nobody can say what loading it does"
        )
        yield Finding(path, Kind.UNREADABLE, what, "weight_map")
    yield from keras.of_object(path, document)


def _leads_out(path: str, name: str) -> bool:
    """Whether a shard that an index at `path` names is no file of the model."""
    place = posixpath.normpath(posixpath.join(posixpath.dirname(path), name))
    return place.startswith(("..", "/")) or "\\" in name


def _is_judged_as_weights(path: str, name: str) -> bool:
    """Whether a shard is judged as what its loader takes it for: by its suffix, or that of the index if no pickle is meant."""
    suffix = posixpath.splitext(name.lower())[1]
    return suffix in (".safetensors", *formats.PICKLES) or (
        suffix in _OTHER_SHARDS and f"{suffix}.index." in posixpath.basename(path).lower()
    )


def _shards(document: Any) -> Iterator[str]:
    """The files from which an index of shards takes tensors; its loader takes them for weights, whatever their names."""
    for name in _values(document.get("weight_map")) if isinstance(document, dict) else ():
        if isinstance(name, str):
            yield name


def _references(document: Any) -> Iterator[str]:
    """What `auto_map` and `custom_pipelines` of transformers name: `module.Class`, or `owner/name--module.Class`.

    A configuration may hold those of its parts, such as `text_config`, which are loaded in the same way.
    """
    for part in _parts(document):
        maps = [part.get("auto_map"), *_values(part.get("custom_pipelines"))]
        for value in (value for found in maps for value in _values(found)):
            for reference in value if isinstance(value, list) else [value]:
                if isinstance(reference, str):
                    yield reference


def _parts(document: Any) -> Iterator[dict[str, Any]]:
    """A document and all within it that has keys."""
    pending = [document]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            yield value
        pending += _values(value) or (value if isinstance(value, list) else [])


def _own_modules(path: str, document: Any) -> Iterator[str]:
    """The modules of a pipeline of diffusers, or of sentence-transformers, that are files and no library."""
    name = path.rpartition("/")[2].lower()
    if name == "modules.json":
        for entry in document if isinstance(document, list) else []:
            kind = entry.get("type") if isinstance(entry, dict) else None
            if isinstance(kind, str) and kind.partition(".")[0] not in _LIBRARIES:
                yield kind.rpartition(".")[0]
    elif name.endswith("model_index.json") and isinstance(document, dict):
        for key, value in document.items():
            module = value[0] if isinstance(value, list) and value else None
            if isinstance(module, str) and module and module not in _LIBRARIES:
                # `"unet": ["my_unet", "MyUNet"]` is unet/my_unet.py; the pipeline's own class is at the top.
                yield module if key.startswith("_") else f"{key}.{module}"
                yield module


def _places(path: str, name: str) -> tuple[str, ...]:
    """Where a file that a configuration names may lie."""
    beside = posixpath.join(posixpath.dirname(path), name)
    return (beside,) if beside == name else (beside, name)


def _values(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else []
