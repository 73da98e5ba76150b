"""Writes a commit into a spec in place of the branch that it names, and changes nothing else of the file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from sagepack.errors import UserError
from sagepack.files import write_atomically
from sagepack.spec.yaml_nodes import Place, Reader

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sagepack.spec.document import Document

_REVISION = ("model", "revision")


def write_commit(document: Document, files: Sequence[Path], commit: str) -> str:
    """Write `commit` as `model.revision` into the file that names the branch.

    Args:
        document: the merged spec.
        files: the files that it was merged from, in order.
        commit: 40 hex digits.

    Returns:
        The file, as messages name it.

    Raises:
        UserError: the branch is not written in a file, or in a way that more than its own line would change.
    """
    place = document.place(_REVISION)
    if place.source >= len(files):
        fix = "write the branch into the spec or its overlay, and run `invoke lock --pin` without --set"
        raise UserError("the revision is not written in a file", where=str(place), fix=fix)
    path, name = files[place.source].resolve(), document.sources[place.source]
    before, mode = path.read_bytes().decode(), path.stat().st_mode
    after = with_revision(before, commit)
    if after is None:
        fix = f"write it yourself: revision: {commit}"
        raise UserError("the revision is written in a way that cannot be replaced", where=str(place), fix=fix)
    write_atomically(path, after.encode())
    path.chmod(mode)
    return name


def with_revision(text: str, commit: str) -> str | None:
    """The text of a spec with `commit` in place of its revision; None if that would change more than the one value.

    Anchors, aliases and block texts are such ways to write it.
    """
    expected = _plain(text)
    if not isinstance(expected, dict) or not isinstance(expected.get("model"), dict):
        return None
    expected["model"]["revision"] = commit
    span = _span(text)
    if span is None:
        return None
    start, end = span
    # A commit of digits alone would be a number.
    written = f'"{commit}"' if commit.isdigit() else commit
    after = f"{text[:start]}{written}{text[end:]}"
    return after if _plain(after) == expected else None


def _span(text: str) -> tuple[int, int] | None:
    """Where the value of `model.revision` begins and ends."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)  # the loader in C counts bytes
    except yaml.YAMLError:
        return None
    for key in _REVISION:
        node = next((value for name, value in _pairs(node) if name.value == key), None)
    return (node.start_mark.index, node.end_mark.index) if isinstance(node, yaml.ScalarNode) else None


def _pairs(node: yaml.Node | None) -> Sequence[tuple[yaml.Node, yaml.Node]]:
    return node.value if isinstance(node, yaml.MappingNode) else ()


def _plain(text: str) -> object:
    """The document as data; None if it cannot be read."""
    reader = Reader(lambda line, column: Place(0, line + 1, column + 1, ""))
    node = reader.read(text)
    return None if node is None or reader.diagnostics else node.plain()
