"""Reads a spec: the YAML file, the overlay of the environment, then `--set`, merged into one document.

Every run does this, also one with nothing to do. So neither the schema nor AWS's service model is loaded here; `validate`
checks the document.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sagepack.errors import Diagnostic, SpecError, UserError
from sagepack.files import unreadable
from sagepack.spec.document import Document
from sagepack.spec.merge import merge
from sagepack.spec.model import KEYS
from sagepack.spec.secrets import values
from sagepack.spec.yaml_nodes import MAX_BYTES, Node, Place, Reader
from sagepack.text import did_you_mean, kind, one_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# Maps whose values are text: `PORT: 8080` and `DEBUG: true` mean what was written, not a number and a boolean.
_TEXT_MAPS = tuple(key.path for key in KEYS if key.value_type == dict[str, str])
# The shell takes the quotes off a value of `--set`, so that these keys take it as text whatever it looks like.
_TEXT_KEYS = {key.path for key in KEYS if key.value_type is str}
_INDICATORS = tuple("*&!%@`")  # at the beginning of a value, YAML reads them as signs of its own
_SEGMENT = re.compile(r'"([^"]+)"|([^".=\s]+)')


def load(config: Path, env: str, sets: Sequence[str], root: Path) -> Document:
    """Read a spec and merge its overlays into it.

    Args:
        config: file of the spec.
        env: the environment: name of a file, without `.yaml`, in the folder `env` next to the spec, or else in `config/env`
            of the project.
        sets: `a.b=value` settings, applied last, in this order. The value is YAML; null, or nothing, removes the key.
        root: folder of the project; messages name files relative to it.

    Raises:
        SpecError: a file or a setting is not a YAML map. It holds every mistake that was found.
        UserError: the spec or the environment does not exist.
    """
    files = files_of(config, env, root)
    diagnostics: list[Diagnostic] = []
    layers = [_read_file(path, number, root, diagnostics) for number, path in enumerate(files)]
    layers += [_read_setting(text, number, diagnostics) for number, text in enumerate(sets, start=len(files))]
    if diagnostics:
        raise SpecError(diagnostics)
    merged = layers[0]
    for layer in layers[1:]:
        merged = merge(merged, layer)
    for path in _TEXT_MAPS:
        merged = _as_written(merged, path)
    return Document(merged, env, (*(_name(path, root) for path in files), *(_set_name(text) for text in sets)))


def files_of(config: Path, env: str, root: Path) -> tuple[Path, Path]:
    """The files that are merged: the spec and its overlay; arguments are those of `load`.

    Raises:
        UserError: the spec or the environment does not exist.
    """
    return _existing_spec(config, root), _existing_overlay(config, env, root)


def _existing_spec(config: Path, root: Path) -> Path:
    if config.is_file():
        return config
    folders = (config.parent, root / "config")
    known = list(dict.fromkeys(_name(path, root) for folder in folders for path in sorted(folder.glob("*.yaml"))))
    close = did_you_mean(_name(config, root), known)
    raise UserError(
        "there is no such file",
        where=_name(config, root),
        fix=close or (known and f"specs there are: {one_of(known)}") or "name the file of a spec with --config",
    )


def _existing_overlay(config: Path, env: str, root: Path) -> Path:
    folder = config.parent / "env"
    if not folder.is_dir():
        folder = root / "config" / "env"
    known = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    if env not in known:
        close = did_you_mean(env, known)
        available = f"available: {one_of(known)}" if known else "none exists yet"
        raise UserError(
            f"unknown environment {env!r}; {available}",
            where=_name(folder, root),
            fix=close or f"to add an environment, create {_name(folder / 'NAME.yaml', root)}",
        )
    return known[env]


def _read_file(path: Path, number: int, root: Path, diagnostics: list[Diagnostic]) -> Node:
    """The root node of the file that is merged as number `number`; an empty overlay is a map, an empty spec an error."""
    name = _name(path, root)

    def at(line: int, column: int) -> Place:
        return Place(number, line + 1, column + 1, name)

    text = _text(path, name, diagnostics)
    reader = Reader(at)
    node = reader.read(text) if text is not None else None
    diagnostics.extend(reader.diagnostics)
    empty = Node({}, at(0, 0), at(0, 0))
    if text is None or reader.diagnostics:
        return empty
    if node is None or node.value is None:
        if number == 0:
            diagnostics.append(
                Diagnostic(
                    (), "the spec is empty", "`sagepack new NAME` writes one to start from", location=str(at(0, 0))
                )
            )
        return empty
    if not isinstance(node.value, dict):
        diagnostics.append(
            Diagnostic((), f"this is {kind(node.value)}, expected a map of keys and values", location=str(node.place))
        )
    return node


def _text(path: Path, name: str, diagnostics: list[Diagnostic]) -> str | None:
    """The text of a file; None, and a diagnostic, where it cannot be read."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            diagnostics.append(Diagnostic((), f"the file is larger than {MAX_BYTES:,} bytes", location=name))
            return None
        return data.decode("utf-8-sig")
    except OSError as error:
        diagnostics.append(Diagnostic((), *unreadable(error), location=name))
    except UnicodeDecodeError as error:
        before = error.object[: error.start]
        line, column = before.count(b"\n") + 1, error.start - before.rfind(b"\n")
        diagnostics.append(
            Diagnostic((), "the file is not UTF-8 text", "save it as UTF-8", location=f"{name}:{line}:{column}")
        )
    return None


def _read_setting(text: str, number: int, diagnostics: list[Diagnostic]) -> Node:
    """The nested maps of one `--set a.b=value`."""
    name = _set_name(text)
    place = Place(number, 0, 0, name)
    key, equals, value = _split_quoted(text)
    # Bytes of the command line that are not UTF-8 arrive as lone surrogates.
    if not text.isascii() and text.encode(errors="replace").decode() != text:
        diagnostics.append(Diagnostic((), "this is not UTF-8 text", "type it in a UTF-8 terminal", location=name))
        return Node({}, place, place)
    path = _key_path(key)
    if not equals or not path:
        fix = 'write key=value, such as endpoint.instance_type=ml.g5.xlarge; quote a key with a dot in it: tags."a.b"=c'
        diagnostics.append(Diagnostic((), "expected key=value", fix, location=name))
        return Node({}, place, place)
    if value.lstrip()[:1] in _INDICATORS:
        fix = """quote it, such as --set 'model.include=["*.json"]' or --set 'name="@a"'"""
        message = f"in YAML a text that begins with {value.lstrip()[0]} stands in quotes"
        diagnostics.append(Diagnostic((), message, fix, location=name))
        return Node({}, place, place)
    reader = Reader(lambda _line, _column: place)
    node = reader.read(value) or Node(None, place, place)
    diagnostics.extend(reader.diagnostics)
    if path in _TEXT_KEYS:
        node = _scalar_text(node)
    for segment in reversed(path):
        node = Node({segment: node}, place, place)
    return node


def _split_quoted(text: str) -> tuple[str, str, str]:
    """Key, `=` and value: `text` split at the first `=` that is not in quotes."""
    match = re.match(r'((?:"[^"]*"|[^"=])*)(=?)(.*)', text, re.DOTALL)
    return (match[1], match[2], match[3]) if match else (text, "", "")


def _key_path(key: str) -> tuple[str, ...]:
    """The segments of a dotted key; empty if `key` is not a dotted key."""
    segments, rest = [], key.strip()
    while match := _SEGMENT.match(rest):
        segments.append(match[1] or match[2])
        rest = rest[match.end() :]
        if not rest:
            return tuple(segments)
        if not rest.startswith("."):
            return ()
        rest = rest[1:]
    return ()


def _set_name(text: str) -> str:
    """A setting as messages name it: without its value and without anything in its key that looks like a secret."""
    return f"--set {values.redacted(_split_quoted(text)[0].strip())}"


def _as_written(node: Node, path: tuple[str, ...]) -> Node:
    """`node`, with each scalar of the map at `path` replaced by its text."""
    if not isinstance(node.value, dict):
        return node
    if path:
        child = node.value.get(path[0])
        return node._replace(value={**node.value, path[0]: _as_written(child, path[1:])}) if child else node
    return node._replace(value={name: _scalar_text(child) for name, child in node.value.items()})


def _scalar_text(node: Node) -> Node:
    """A scalar as the text that was written; a map, a list and a null stay as they are."""
    return node._replace(value=node.text) if node.text is not None and node.value is not None else node


def _name(path: Path, root: Path) -> str:
    """`path` as messages name it: relative to the project if it is inside."""
    full, base = path.absolute(), root.absolute()
    return full.relative_to(base).as_posix() if full.is_relative_to(base) else str(path)
