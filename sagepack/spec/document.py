"""A spec merged with its overlays: its data, where each value was written, and the `Spec` that it makes."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from sagepack.decoding import Value
from sagepack.digest import Digest, fingerprint
from sagepack.errors import KeyPath, UserError
from sagepack.spec.keys import build
from sagepack.spec.model import KEYS, Spec

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagepack.spec.yaml_nodes import Node, Place

_FILES = 2  # sources that are files: the spec and the overlay


class Document(Value, frozen=True, dict=True):
    """A merged spec, not validated yet.

    Attributes:
        root: the merged tree.
        env: name of the environment.
        sources: names of the files and settings that were merged, in order: the spec, the overlay, each `--set`.
    """

    root: Node
    env: str
    sources: tuple[str, ...]

    @cached_property
    def data(self) -> dict[str, Any]:
        """The merged data, without null entries."""
        data: dict[str, Any] = self.root.plain()
        return data

    @cached_property
    def digest(self) -> Digest:
        """SHA-256 of the environment's name and the merged data."""
        return fingerprint({"env": self.env, "data": self.data})

    def node(self, path: KeyPath) -> Node | None:
        """The node at `path`, which may hold a null; None if no layer has it."""
        node: Node | None = self.root
        for step in path:
            value = node.value if node else None
            if isinstance(value, dict):
                node = value.get(step)
            elif isinstance(value, list) and isinstance(step, int) and step < len(value):
                node = value[step]
            else:
                return None
        return node

    def place(self, path: KeyPath) -> Place:
        """Where the value at `path` was written; if it is absent, where the key of the nearest map around it was."""
        node = self.node(path)
        if node:
            return node.place
        parent = self.node(path[:-1])
        return parent.key if parent else self.place(path[:-1])

    def where(self, path: KeyPath) -> str:
        """`place` as messages print it: `file:line:column`, or the name of a setting."""
        return str(self.place(path))

    def set_keys(self, *sections: KeyPath) -> tuple[str, ...]:
        """The keys in some sections, or those keys themselves, that `--set` gave or removed."""
        paths = [key.path for key in KEYS if any(key.path[: len(section)] == section for section in sections)]
        return tuple(".".join(path) for path in paths if (node := self.node(path)) and node.place.source >= _FILES)

    def spec(self) -> Spec:
        """The document as values, with defaults filled in.

        Raises:
            UserError: the document is not a valid spec. `validate.check` reports what is wrong with it.
        """
        try:
            return build(Spec, _with_defaults(self.data), env=self.env)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(
                f"the spec is not valid ({error})",
                where=self.sources[0],
                fix="run `invoke validate` to see what is wrong",
            ) from error


def lookup(data: Any, path: Sequence[str]) -> Any:
    """The value at `path` in nested maps; None if it is absent or something on the way is no map."""
    for key in path:
        data = data.get(key) if isinstance(data, dict) else None
    return data


def derived_defaults(data: dict[str, Any]) -> dict[tuple[str, ...], str]:
    """The defaults that depend on other keys (`Facts.default`), by path; none of them while those keys are missing.

    `{bucket}` is the bucket of `artifact.target`, `{endpoint}` is `endpoint.name`.
    """
    target, endpoint = lookup(data, ("artifact", "target")), lookup(data, ("endpoint", "name"))
    if not (isinstance(target, str) and isinstance(endpoint, str)):
        return {}
    bucket = target.removeprefix("s3://").partition("/")[0]
    return {key.path: key.facts.default.format(bucket=bucket, endpoint=endpoint) for key in KEYS if key.facts.default}


def _with_defaults(data: dict[str, Any]) -> dict[str, Any]:
    """`data` with the derived defaults of the keys that are absent."""
    for path, default in derived_defaults(data).items():
        if lookup(data, path) is None:
            data = _with(data, path, default)
    return data


def _with(data: dict[str, Any], path: Sequence[str], value: Any) -> dict[str, Any]:
    """A copy of `data` with `value` at `path`."""
    key, *below = path
    return {**data, key: _with(data.get(key, {}), below, value) if below else value}
