"""Reading a spec: the YAML file, the overlay of its environment, then `--set`, merged into one document.

Light on purpose: a run with nothing to do reads the spec and no more, so neither the schema nor AWS's service model is
loaded here. Judging the document is `check`'s.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sagepack.errors import Diagnostic, SpecError, UserError
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
_SEGMENT = re.compile(r'"([^"]+)"|([^".=\s]+)')


def load(config: Path, env: str, sets: Sequence[str], root: Path) -> Document:
    """Read a spec and lay its overlays upon it.

    Args:
        config: the spec's file.
        env: environment, the name of a file in the folder `env` beside the spec (or in `config/` of the project).
        sets: `a.b=value` overlays, applied last; the value is YAML, and nothing or null removes the key.
        root: the project's folder; messages name files relative to it.

    Raises:
        SpecError: what is there cannot be read as YAML maps; every problem at once.
        UserError: the spec or the environment does not exist.
    """
    files = (_existing(config, root), _overlay(config, env, root))
    diagnostics: list[Diagnostic] = []
    layers = [_file(path, number, root, diagnostics) for number, path in enumerate(files)]
    layers += [_setting(text, number, diagnostics) for number, text in enumerate(sets, start=len(files))]
    if diagnostics:
        raise SpecError(diagnostics)
    merged = layers[0]
    for layer in layers[1:]:
        merged = merge(merged, layer)
    for path in _TEXT_MAPS:
        merged = _as_written(merged, path)
    return Document(merged, env, (*(_name(path, root) for path in files), *(_set_name(text) for text in sets)))


def _existing(config: Path, root: Path) -> Path:
    if config.is_file():
        return config
    known = sorted(_name(path, root) for path in config.parent.glob("*.yaml"))
    close = did_you_mean(_name(config, root), known)
    raise UserError(
        "there is no such spec",
        where=_name(config, root),
        fix=close or (known and f"there are: {one_of(known)}") or None,
    )


def _overlay(config: Path, env: str, root: Path) -> Path:
    folder = config.parent / "env"
    if not folder.is_dir():
        folder = root / "config" / "env"
    known = {path.stem: path for path in sorted(folder.glob("*.yaml"))}
    if env not in known:
        close = did_you_mean(env, known)
        have = f"environments are: {one_of(known)}" if known else "no environment exists yet"
        raise UserError(
            f"unknown environment {env!r}; {have}",
            where=_name(folder, root),
            fix=close or f"to add it, write {_name(folder / 'NAME.yaml', root)}",
        )
    return known[env]


def _file(path: Path, number: int, root: Path, diagnostics: list[Diagnostic]) -> Node:
    """The root node of a file; an overlay may be empty, the spec (number 0) may not."""
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
                Diagnostic((), "the spec is empty", "copy config/svd.yaml to start from", location=str(at(0, 0)))
            )
        return empty
    if not isinstance(node.value, dict):
        diagnostics.append(
            Diagnostic((), f"this is {kind(node.value)}, not a map of keys and values", location=str(node.place))
        )
    return node


def _text(path: Path, name: str, diagnostics: list[Diagnostic]) -> str | None:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            diagnostics.append(
                Diagnostic((), f"the file is larger than {MAX_BYTES:,} bytes; a spec is a page of text", location=name)
            )
            return None
        return data.decode("utf-8-sig")
    except OSError as error:
        diagnostics.append(Diagnostic((), f"cannot be read: {error.strerror}", location=name))
    except UnicodeDecodeError as error:
        before = error.object[: error.start]
        line, column = before.count(b"\n") + 1, error.start - before.rfind(b"\n")
        diagnostics.append(
            Diagnostic((), "the file is not UTF-8 text", "save it as UTF-8", location=f"{name}:{line}:{column}")
        )
    return None


def _setting(text: str, number: int, diagnostics: list[Diagnostic]) -> Node:
    """The tree of one `--set a.b=value`."""
    name = _set_name(text)
    place = Place(number, 0, 0, name)
    key, equals, value = _split_quoted(text)
    if (
        not text.isascii() and text.encode(errors="replace").decode() != text
    ):  # bytes of the command line that are no UTF-8
        diagnostics.append(Diagnostic((), "this is not Unicode text", "write it in UTF-8", location=name))
        return Node({}, place, place)
    path = _key_path(key)
    if not equals or not path:
        fix = 'write key=value, such as endpoint.instance_type=ml.g5.xlarge; quote a key that holds a dot: tags."a.b"=c'
        diagnostics.append(Diagnostic((), "this is not a setting", fix, location=name))
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
    """Split at the first `=` outside of quotes."""
    match = re.match(r'((?:"[^"]*"|[^"=])*)(=?)(.*)', text, re.DOTALL)
    return (match[1], match[2], match[3]) if match else (text, "", "")


def _key_path(key: str) -> tuple[str, ...]:
    """The segments of a dotted key; empty if it is not one."""
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
    """How messages call a setting: without its value, which may be a secret, or a key that is one."""
    return f"--set {values.redacted(_split_quoted(text)[0].strip())}"


def _as_written(node: Node, path: tuple[str, ...]) -> Node:
    """`node` with the scalars of the map at `path` replaced by their text."""
    if not isinstance(node.value, dict):
        return node
    if path:
        child = node.value.get(path[0])
        return node._replace(value={**node.value, path[0]: _as_written(child, path[1:])}) if child else node
    return node._replace(value={name: _scalar_text(child) for name, child in node.value.items()})


def _scalar_text(node: Node) -> Node:
    return node._replace(value=node.text) if node.text is not None and node.value is not None else node


def _name(path: Path, root: Path) -> str:
    """`path` as messages name it: relative to the project where it lies within."""
    full, base = path.absolute(), root.absolute()
    return full.relative_to(base).as_posix() if full.is_relative_to(base) else str(path)
