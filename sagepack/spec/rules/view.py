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
    """Read access to the data of a merged spec that may be invalid: a value of another type counts as absent.

    Attributes:
        data: the merged data.
        root: folder of the project.
        branch_allowed: whether `model.revision` may be a branch or tag, as for `lock`.
        contents: whether rules also read the files of the code and the sample.
        installed: the modules that the requirements bring, as the lock says; None if it does not.
    """

    data: dict[str, Any]
    root: Path
    branch_allowed: bool = False
    contents: bool = True
    installed: tuple[str, ...] | None = None

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
        """The list of texts at `path`; entries of another type become empty, so that positions stay the same."""
        value = self.get(*path)
        return [item if isinstance(item, str) else "" for item in value] if isinstance(value, list) else []

    def maps(self, *path: str) -> list[dict[str, Any]]:
        """The list of maps at `path`; entries of another type become empty, so that positions stay the same."""
        value = self.get(*path)
        return [item if isinstance(item, dict) else {} for item in value] if isinstance(value, list) else []

    def instance_types(self) -> dict[tuple[str | int, ...], str]:
        """The instance types of the endpoint, by the path of the key: the one of all instances, or those of its pools."""
        single = self.text("endpoint", "instance_type")
        if single is not None:
            return {("endpoint", "instance_type"): single}
        pools = enumerate(self.maps("endpoint", "instance_pools"))
        kinds = {
            ("endpoint", "instance_pools", number, "instance_type"): pool.get("instance_type") for number, pool in pools
        }
        return {path: kind for path, kind in kinds.items() if isinstance(kind, str)}

    def text_map(self, *path: str) -> dict[str, str]:
        """The map at `path` without the values that are not text; empty for anything else."""
        value = self.get(*path)
        items = value.items() if isinstance(value, dict) else ()
        return {key: item for key, item in items if isinstance(item, str)}

    def integer_text(self, *path: str) -> int | None:
        """The integer of at most 19 digits that the text at `path` spells; None for anything else."""
        value = self.text(*path)
        return int(value) if value and value.isascii() and value.isdigit() and len(value) < 20 else None

    def result_paths(self) -> dict[tuple[str, ...], str]:
        """Where results and failures go, by the path of the key: the value in the spec, or else the default."""
        defaults = derived_defaults(self.data)
        paths = (key.path for key in KEYS if key.facts.default)
        return {path: uri for path in paths if (uri := self.text(*path) or defaults.get(path))}
