"""The merged data of a spec as rules read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sagepack.spec.document import derived_defaults, lookup
from sagepack.spec.model import KEYS

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class SpecView:
    """The merged data of a spec, read without trusting its shape: what is absent or of another kind is not there.

    Attributes:
        data: merged data.
        root: the project's folder.
        branch_allowed: whether a branch or tag may stand for a commit (`lock` alone).
        contents: whether the files of the code and the sample are read as well.
    """

    data: dict[str, Any]
    root: Path
    branch_allowed: bool = False
    contents: bool = True

    def get(self, *path: str) -> Any:
        """The value at `path`; None if it is absent."""
        return lookup(self.data, path)

    def text(self, *path: str) -> str | None:
        """The text at `path`; None for anything else."""
        value = self.get(*path)
        return value if isinstance(value, str) else None

    def number(self, *path: str) -> int | float | None:
        """The number at `path`; None for anything else."""
        value = self.get(*path)
        return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None

    def texts(self, *path: str) -> list[str]:
        """The list of texts at `path`; entries of another kind become empty, so that positions stay."""
        value = self.get(*path)
        return [item if isinstance(item, str) else "" for item in value] if isinstance(value, list) else []

    def text_map(self, *path: str) -> dict[str, str]:
        """The texts of the map at `path`."""
        value = self.get(*path)
        items = value.items() if isinstance(value, dict) else ()
        return {key: item for key, item in items if isinstance(item, str)}

    def integer_text(self, *path: str) -> int | None:
        """The integer that the text at `path` spells; None for anything else."""
        value = self.text(*path)
        return int(value) if value and value.isascii() and value.isdigit() and len(value) < 20 else None

    def result_paths(self) -> dict[tuple[str, ...], str]:
        """Where results and failures go, by the path of the key: what is written there, or else the default."""
        defaults = derived_defaults(self.data)
        paths = (key.path for key in KEYS if key.facts.default)
        return {path: uri for path in paths if (uri := self.text(*path) or defaults.get(path))}
