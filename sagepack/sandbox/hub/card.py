"""The model card: the YAML at the beginning of `README.md`, from which the Hub takes task, library and licence."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sagepack.sandbox.hub.repositories import RepoFile

_FRONT = re.compile(rb"\A---\r?\n(.*?)\r?\n---\r?\n", re.DOTALL)
_LONGEST = 64 << 10  # bytes
# What the Hub takes a repository for whose card names no library, by a file that only models of it have.
_SIGNS = {
    "modules.json": "sentence-transformers",
    "model_index.json": "diffusers",
    "adapter_config.json": "peft",
    "config.json": "transformers",
}


def read(files: Iterable[RepoFile]) -> dict[str, Any]:
    """What the model info of the Hub has from the card of a repository: `cardData`, `pipeline_tag` and `library_name`."""
    contents = {file.path: file.content for file in files}
    card: dict[str, Any] = {}
    if path := contents.get("README.md"):
        with path.open("rb") as file:
            front = _FRONT.match(file.read(_LONGEST))
        try:
            found = yaml.safe_load(front[1]) if front else None
        except yaml.YAMLError:
            found = None
        card = found if isinstance(found, dict) else {}
    library = card.get("library_name") or next((name for sign, name in _SIGNS.items() if sign in contents), None)
    if library is None and any(name.endswith(".gguf") for name in contents):
        library = "gguf"
    known = {"cardData": card or None, "pipeline_tag": card.get("pipeline_tag"), "library_name": library}
    return {name: value for name, value in known.items() if value is not None}
