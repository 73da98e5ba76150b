"""A spec merged with its overlays: the data, where each value was written, and the values with defaults filled in."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sagepack.digest import Digest, fingerprint
from sagepack.errors import KeyPath, UserError
from sagepack.spec.model import Artifact, AsyncInference, Aws, Code, Endpoint, Image, ModelSource, Sample, Scaling, Spec

if TYPE_CHECKING:
    from sagepack.spec.yaml_nodes import Node, Place


@dataclass(frozen=True)
class Document:
    """A merged spec, not judged yet.

    Attributes:
        root: the merged tree.
        env: name of the environment.
        sources: names of what was merged, in order: the spec, the overlay, each `--set`.
    """

    root: Node
    env: str
    sources: tuple[str, ...]

    @cached_property
    def data(self) -> dict[str, Any]:
        """The merged data; entries that are null are absent."""
        data: dict[str, Any] = self.root.plain()
        return data

    @cached_property
    def digest(self) -> Digest:
        """SHA-256 of the environment's name and the merged data."""
        return fingerprint({"env": self.env, "data": self.data})

    def node(self, path: KeyPath) -> Node | None:
        """The node at `path`, which may be a null; None if nothing was written there."""
        node: Node | None = self.root
        for step in path:
            node = _child(node, step) if node else None
        return node

    def place(self, path: KeyPath) -> Place:
        """Where the value at `path` was written; for what is absent, the key of the map that lacks it."""
        node = self.node(path)
        if node:
            return node.place
        parent = self.node(path[:-1])
        return parent.key if parent else self.place(path[:-1])

    def where(self, path: KeyPath) -> str:
        """`file:line:column` of the value at `path`."""
        return str(self.place(path))

    def spec(self) -> Spec:
        """The document as values, with defaults filled in.

        Raises:
            UserError: the document is not a valid spec; `check.check` says what is wrong with it.
        """
        try:
            return _spec(self.data, self.env)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise UserError(
                f"the spec is not valid ({error})", where=self.sources[0], fix="`invoke validate` says what is wrong"
            ) from error


def async_paths(target: str, endpoint: str) -> tuple[str, str]:
    """Where results and failures of an endpoint go by default: `s3://<target's bucket>/async/<endpoint>/`.

    Beside the target, never under it: what lies under the target belongs to publishing.
    """
    bucket = "/".join(target.split("/", 3)[:3])
    return f"{bucket}/async/{endpoint}/output/", f"{bucket}/async/{endpoint}/failure/"


def _child(node: Node, step: str | int) -> Node | None:
    if isinstance(node.value, dict):
        child: Node | None = node.value.get(step)
        return child
    if isinstance(node.value, list) and isinstance(step, int) and step < len(node.value):
        item: Node = node.value[step]
        return item
    return None


def _spec(data: dict[str, Any], env: str) -> Spec:
    artifact = _artifact(data["artifact"])
    sample = data.get("sample")
    return Spec(
        name=data["name"],
        env=env,
        model=ModelSource(**_tuples(data["model"])),
        code=Code(**_tuples(data["code"])),
        image=Image(**data["image"]),
        environment=dict(data.get("environment", {})),
        artifact=artifact,
        aws=Aws(**data["aws"]),
        endpoint=_endpoint(data["endpoint"], artifact.target),
        sample=Sample(**sample) if sample else None,
        not_secret=tuple(data.get("not_secret", ())),
        sandbox=data.get("sandbox", False),
    )


def _artifact(data: dict[str, Any]) -> Artifact:
    values = _tuples(data)
    sources = tuple(source.rstrip("/") for source in values.pop("reuse_from", ()))
    return Artifact(**{**values, "target": values["target"].rstrip("/")}, reuse_from=sources)


def _endpoint(data: dict[str, Any], target: str) -> Endpoint:
    values = dict(data)
    scaling = values.pop("scaling", None)
    output, failure = async_paths(target, values["name"])
    settings = {"s3_output_path": output, "s3_failure_path": failure, **values.pop("async", {})}
    return Endpoint(
        **values,
        asynchronous=AsyncInference(**settings),
        scaling=Scaling(**scaling) if scaling is not None else None,
    )


def _tuples(data: dict[str, Any]) -> dict[str, Any]:
    """`data` with its lists as tuples, as frozen values hold them."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in data.items()}
