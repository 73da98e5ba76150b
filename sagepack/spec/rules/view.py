"""The merged data of a spec as rules read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sagepack.spec.document import async_paths

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
        value: Any = self.data
        for step in path:
            value = value.get(step) if isinstance(value, dict) else None
        return value

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

    def result_paths(self) -> dict[str, str]:
        """Where results and failures go, by key: as written, else the default beside the target."""
        target, name = self.text("artifact", "target"), self.text("endpoint", "name")
        keys = ("s3_output_path", "s3_failure_path")
        default = dict(zip(keys, async_paths(target, name), strict=True)) if target and name else {}
        return {key: path for key in keys if (path := self.text("endpoint", "async", key) or default.get(key))}
