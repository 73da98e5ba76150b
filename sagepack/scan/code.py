"""Python files of a model that its configurations make a loader run.

Which files that are follows from the configurations alone; whether they are in the package is judged later, since a file that
is not there is not run.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Any

from sagepack.decoding import MalformedError, decode_json
from sagepack.scan.finding import Finding, Kind, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMIT = 1 << 20
"""Bytes of a configuration that is read."""
_INDEX_OF_SHARDS = (".safetensors.index.json", ".bin.index.json")
_LIBRARIES = ("diffusers", "transformers", "sentence_transformers")


def is_configuration(path: str) -> bool:
    """Whether a file is one that may name code."""
    name = path.rpartition("/")[2].lower()
    return name.endswith(("config.json", "index.json", "modules.json")) and not name.endswith(_INDEX_OF_SHARDS)


def findings(path: str, data: bytes) -> Iterator[Finding]:
    """The code that a configuration names.

    Args:
        path: of the configuration; code lies beside it, or at the top.
        data: its content, or the first `LIMIT` bytes and one of it.
    """
    try:
        document = decode_json(data, Any, limit=LIMIT)
    except MalformedError:
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
        yield Finding(path, Kind.CODE, f"makes a loader run {', '.join(shown(name) for name in names[:5])}", "", files)


def _references(document: Any) -> Iterator[str]:
    """What `auto_map` and `custom_pipelines` of transformers name: `module.Class`, or `owner/name--module.Class`."""
    if not isinstance(document, dict):
        return
    maps = [document.get("auto_map"), *_values(document.get("custom_pipelines"))]
    for value in (value for found in maps for value in _values(found)):
        for reference in value if isinstance(value, list) else [value]:
            if isinstance(reference, str):
                yield reference


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
