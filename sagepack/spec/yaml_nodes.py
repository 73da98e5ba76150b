"""Reads untrusted YAML: plain data only, every value with its place in the file.

Built on the events of PyYAML's parser instead of its loader, because the loader drops the places and the spelling of
values, accepts duplicate keys, and expands aliases without limit. Scalars follow the core schema of YAML 1.2, as in most
editors: `no` and `on` are text, only `true` and `false` are booleans.
"""

from __future__ import annotations

import math
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from sagepack.errors import Diagnostic
from sagepack.spec.secrets import values

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_BYTES = 1_000_000
MAX_DEPTH = 32
MAX_NODES = 20_000  # counted with aliases expanded
_SHOWN = 60  # characters of a key in a message

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_PLAIN_TAGS = {"!", "tag:yaml.org,2002:str", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"}
_BOOLEANS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_NULLS = ("", "~", "null", "Null", "NULL")
_NUMBER = re.compile(r"[-+]?(\d+)|(0o[0-7]+|0x[0-9a-fA-F]+)|[-+]?(?:\.\d+|\d+(?:\.\d*)?)(?:[eE][-+]?\d+)?", re.ASCII)
_CONFLICT = re.compile(r"^<{7} ", re.MULTILINE)
_ALIAS = "while scanning an alias"
_FLOW = {"while parsing a flow sequence": "list", "while parsing a flow mapping": "map"}
_QUOTED = "while scanning a quoted scalar"  # in the words of libyaml, where the end of the file came first
_DIGITS = 400  # of an integer; Python refuses to convert more than 4,300


class Place(NamedTuple):
    """A position in a file or a setting. Places sort by the order of merging, then by line and column.

    Attributes:
        source: number of the file or setting in the order of merging, from 0.
        line: 1-based; 0 for a setting (`--set`), which has no lines.
        column: 1-based; 0 for a setting.
        name: the file or setting as messages name it.
    """

    source: int
    line: int
    column: int
    name: str

    def __str__(self) -> str:
        return f"{self.name}:{self.line}:{self.column}" if self.line else self.name


class Node(NamedTuple):
    """A value and where it was written.

    Attributes:
        value: `dict[str, Node]`, `list[Node]`, or a scalar of JSON.
        place: where the value begins.
        key: where its key begins; the place of the value itself if it has no key.
        text: a scalar as it was written, without quotes; None for maps and lists.
    """

    value: Any
    place: Place
    key: Place
    text: str | None = None

    def plain(self) -> Any:
        """The value as JSON data, without the null entries of maps: null means not set."""
        if isinstance(self.value, dict):
            return {name: node.plain() for name, node in self.value.items() if node.value is not None}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value


def scalar(text: str) -> Any:
    """The value of an unquoted scalar, by the core schema of YAML 1.2.

    Infinities, NaN and integers of more than 400 digits stay text, since JSON cannot express the first two.
    """
    if text in _NULLS:
        return None
    if text in _BOOLEANS:
        return _BOOLEANS[text]
    match = _NUMBER.fullmatch(text)
    if match is None:
        return text
    if match[1] or match[2]:
        return text if len(text) > _DIGITS else int(text, 10 if match[1] else 0)
    number = float(text)
    return number if math.isfinite(number) else text


class Reader:
    """Reads one YAML document into nodes and collects its mistakes.

    Args:
        at: makes a `Place` from a 0-based line and column.
        most: how many values the document may hold, aliases expanded.

    Attributes:
        diagnostics: the mistakes that were found.
    """

    def __init__(self, at: Callable[[int, int], Place], most: int = MAX_NODES) -> None:
        self.diagnostics: list[Diagnostic] = []
        self._at = at
        self._most = most
        self._anchors: dict[str, Node] = {}
        self._nodes = 0

    def read(self, text: str) -> Node | None:
        """The root node of `text`; None if it is empty or cannot be read (then `diagnostics` says why)."""
        try:
            return self._document(yaml.parse(text, Loader=_Loader))
        except _LimitError as error:
            self._problem(error.place, str(error), error.fix)
        except yaml.reader.ReaderError as error:
            self._problem(
                self._offset(text, error.position), f"the character {chr(error.character)!r} is not allowed in YAML"
            )
        except yaml.MarkedYAMLError as error:
            self._syntax(text, error)
        except ValueError as error:  # a lone surrogate, or an escape beyond Unicode
            self._problem(self._at(0, 0), f"invalid Unicode: {error}")
        return None

    def _document(self, events: Iterator[Any]) -> Node | None:
        root = None
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    self._problem(self._start(event), "a second document begins here; only one is allowed")
                    return root
                root = self._node(next(events), events, 0)
        return root

    def _node(self, event: Any, events: Iterator[Any], depth: int, key: Place | None = None) -> Node:
        place = self._start(event)
        self._count(place, depth)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, place, key or place, depth)
        self._check_tag(event, place)
        if isinstance(event, yaml.MappingStartEvent):
            node = Node(self._mapping(events, depth), place, key or place)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = Node(self._sequence(events, depth), place, key or place)
        else:
            plain = event.implicit[0] and event.tag is None
            event.value.encode()  # PyYAML's parser in Python accepts lone surrogates
            node = Node(scalar(event.value) if plain else event.value, place, key or place, event.value)
        if event.anchor:
            self._anchors[event.anchor] = node
        return node

    def _mapping(self, events: Iterator[Any], depth: int) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        for event in events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            place = self._start(event)
            name = self._node(event, events, depth + 1).text
            node = self._node(next(events), events, depth + 1, place)
            if name is None:
                self._problem(place, "this key is a map or a list; keys are plain text")
            elif name in entries:
                self._problem(
                    place, f"duplicate key {_short(name)!r}, first at {entries[name].key}", "remove one of them"
                )
            elif name == "<<":
                self._problem(
                    place, "merge keys are not supported", "write the values out, or put them into an overlay"
                )
            else:
                entries[name] = node
        return entries

    def _sequence(self, events: Iterator[Any], depth: int) -> list[Node]:
        items: list[Node] = []
        for event in events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            items.append(self._node(event, events, depth + 1))
        return items

    def _alias(self, event: Any, place: Place, key: Place, depth: int) -> Node:
        target = self._anchors.get(event.anchor)
        if target is None:  # unknown, or inside the value that it names
            message = f"unknown alias *{_short(event.anchor)}: no anchor before it has this name"
            self._problem(place, message, _how_to_quote(f"*{event.anchor}"))
            return Node(None, place, key)
        self._expand(target, place, depth)
        return Node(target.value, place, key, target.text)

    def _expand(self, target: Node, place: Place, depth: int) -> None:
        """Count the values that an alias repeats, so that a small file cannot become millions of values."""
        children = target.value.values() if isinstance(target.value, dict) else target.value
        for child in children if isinstance(target.value, (dict, list)) else ():
            self._count(place, depth + 1)
            self._expand(child, place, depth + 1)

    def _count(self, place: Place, depth: int) -> None:
        self._nodes += 1
        if self._nodes > self._most:
            raise _LimitError(f"more than {self._most:,} values", place, "each use of an alias counts")
        if depth > MAX_DEPTH:
            raise _LimitError(f"nested deeper than {MAX_DEPTH} levels", place, "a spec needs about five")

    def _check_tag(self, event: Any, place: Place) -> None:
        if event.tag is not None and event.tag not in _PLAIN_TAGS:
            name = event.tag.replace("tag:yaml.org,2002:", "!!")
            self._problem(place, f"the tag {_short(name)} is not allowed, only plain data is", "remove the tag")

    def _syntax(self, text: str, error: yaml.MarkedYAMLError) -> None:
        if conflict := _CONFLICT.search(text):
            place = self._at(text.count("\n", 0, conflict.start()), 0)
            fix = "keep one side of it, and remove its lines of <<<<<<<, ======= and >>>>>>>"
            self._problem(place, "a merge conflict", fix)
        elif (opening := error.context_mark if error.context == _QUOTED else _long_quote(text, error)) is not None:
            place = self._at(opening.line, opening.column)
            self._problem(place, "the quote that opens here is not closed", "close it with the same sign")
        elif error.context in _FLOW and (opening := error.context_mark):
            place = self._at(opening.line, opening.column)
            message = f"the {_FLOW[error.context]} that opens here is not closed, or misses a comma"
            if error.problem_mark and place.line:
                message += f" before line {error.problem_mark.line + 1}"
            self._problem(place, message)
        else:
            mark = error.problem_mark or error.context_mark
            line, column = (mark.line, mark.column) if mark else (0, 0)
            if error.context == _ALIAS and (opening := error.context_mark):
                place = self._at(opening.line, opening.column)
                word = _word(text, opening.line, opening.column)
                self._problem(place, f"{_short(word)} would be an alias of YAML", _how_to_quote(word))
                return
            context = f" {error.context}" if error.context else ""
            rest = (text.splitlines()[line : line + 1] or [""])[0][column:]
            tab = "indent with spaces: YAML forbids tabs" if rest.startswith("\t") else None
            self._problem(self._at(line, column), f"invalid YAML: {error.problem}{context}", tab)

    def _offset(self, text: str, offset: int) -> Place:
        before = text[:offset]
        return self._at(before.count("\n"), offset - (before.rfind("\n") + 1))

    def _start(self, event: Any) -> Place:
        return self._at(event.start_mark.line, event.start_mark.column)

    def _problem(self, place: Place, message: str, fix: str | None = None) -> None:
        self.diagnostics.append(Diagnostic((), message, fix, location=str(place)))


def _long_quote(text: str, error: yaml.MarkedYAMLError) -> Any:
    """Where a quoted text begins that takes several lines and ends just before the mistake: a quote after it closed it."""
    mark, found = error.problem_mark, None
    if mark is None:
        return None
    with suppress(yaml.YAMLError):
        for token in yaml.scan(text, Loader=yaml.SafeLoader):
            if token.start_mark.line > mark.line:
                break
            if isinstance(token, yaml.ScalarToken) and not token.plain and token.style in ("'", '"'):
                found = token
    is_long = found is not None and found.start_mark.line < found.end_mark.line == mark.line
    return found.start_mark if found is not None and is_long else None


def _word(text: str, line: int, column: int) -> str:
    """What is written at a place, up to a space or a sign that ends it within brackets."""
    rest = (text.splitlines()[line : line + 1] or [""])[0][column:]
    return re.split(r"[\s,\]}]", rest, maxsplit=1)[0]


def _how_to_quote(word: str) -> str:
    return f'put it in quotes: ["{_short(word)}"] for a list, "{_short(word)}" for a text'


def _short(name: str) -> str:
    name = values.redacted(name)
    return name if len(name) <= _SHOWN else f"{name[:_SHOWN]}…"


class _LimitError(Exception):
    """The document exceeds a limit; reading stops."""

    def __init__(self, message: str, place: Place, fix: str) -> None:
        super().__init__(message)
        self.place = place
        self.fix = fix
