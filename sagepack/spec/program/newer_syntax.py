"""Syntax that is newer than the image's Python, and which the parser of this Python lets pass whatever it is asked for.

`ast.parse(..., feature_version=...)` refuses most of it (`match`, `except*`, `type X = ...`), but not what is here: found by
comparing Python 3.9 to 3.13.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_Found = tuple[int, int, str]  # line, column, what it is
_ALIAS = re.compile(rb"^([ \t]*)type[ \t]+(\w+)[ \t]*(?:\[[^=\n]*\])?(?=[ \t]*=[^=])", re.MULTILINE)
_GENERIC = re.compile(rb"^[ \t]*(?:async[ \t]+)?(?:def|class)[ \t]+\w+[ \t]*\[", re.MULTILINE)
_LONGEST_TYPES = 1000  # characters between the brackets
_QUOTED = re.compile(r"[a-zA-Z]*(\"\"\"|'''|\"|')")


def find(tree: ast.Module, text: bytes, python: tuple[int, int]) -> _Found | None:
    """The first use of syntax that a version of Python does not know: its line, its column, and the version that does.

    Args:
        tree: the parsed file.
        text: the file.
        python: major and minor version.
    """
    is_judged_by_parser = python >= (3, 11) and sys.version_info < (3, 14)
    found = [] if is_judged_by_parser else list(_in_tree(tree, text.splitlines(), python))
    if python < (3, 12) <= sys.version_info[:2] and any(
        isinstance(node, ast.FormattedValue) for node in ast.walk(tree)
    ):
        found += _in_f_strings(text)
    return min(found, default=None)


def without_types(text: bytes) -> bytes:
    """A text without what Python 3.12 added for types (`def f[T](...)`, `type X = ...`), so that an older parser reads it.

    Lines and columns stay what they are; of `type X = ...`, only those of the name change.
    """
    text = _ALIAS.sub(lambda found: found[1] + found[2] + b" " * (len(found[0]) - len(found[1]) - len(found[2])), text)
    pieces, at = [], 0
    for found in _GENERIC.finditer(text):
        if found.end() > at:  # not within the brackets of the one before
            end = _closing(text, found.end() - 1)
            if b"=" in text[found.end() : end]:
                continue  # a default, which came with Python 3.13
            blank = re.sub(rb"[^\n]", b" ", text[found.end() - 1 : end]).replace(b"\n", b"\\\n")
            pieces += [text[at : found.end() - 1], blank]
            at = end
    return b"".join([*pieces, text[at:]])


def _closing(text: bytes, at: int) -> int:
    """Where the brackets that open at a place are closed; that place itself if they are not."""
    depth = 0
    for number in range(at, min(len(text), at + _LONGEST_TYPES)):
        depth += {b"[": 1, b"]": -1}.get(text[number : number + 1], 0)
        if not depth:
            return number + 1
    return at


def _in_tree(tree: ast.Module, lines: list[bytes], python: tuple[int, int]) -> Iterator[_Found]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript):
            for part in node.slice.elts if isinstance(node.slice, ast.Tuple) and _is_open(node.slice) else [node.slice]:
                if isinstance(part, ast.Starred) and python < (3, 11):
                    yield _at(part, "`x[*y]` came with Python 3.11")
                elif isinstance(part, ast.NamedExpr) and python < (3, 10) and _before(part, lines) in (b"[", b","):
                    yield _at(part, "`x[y := z]` without parentheses came with Python 3.10")
        elif isinstance(node, ast.arg) and isinstance(node.annotation, ast.Starred) and python < (3, 11):
            yield _at(node, "`*args: *Types` came with Python 3.11")
        elif isinstance(node, ast.expr) and type(node).__name__ == "TemplateStr" and python < (3, 14):
            yield _at(node, "t-strings came with Python 3.14")


def _is_open(node: ast.Tuple) -> bool:
    """Whether a tuple has no parentheses: it begins where its first element does."""
    return bool(node.elts) and (node.lineno, node.col_offset) == (node.elts[0].lineno, node.elts[0].col_offset)


def _at(node: ast.expr | ast.arg, what: str) -> _Found:
    return node.lineno, node.col_offset + 1, what


def _before(node: ast.expr, lines: list[bytes]) -> bytes:
    """The last character before a node that is not white space."""
    before = lines[node.lineno - 1][: node.col_offset].rstrip()
    number = node.lineno - 1
    while not before and number:
        number -= 1
        before = lines[number].rstrip()
    return before[-1:]


def _in_f_strings(text: bytes) -> Iterator[_Found]:
    """What Python 3.12 allows within the braces of an f-string: its own quotes, backslashes, comments, and line breaks."""
    open_strings: list[tuple[str, int]] = []  # the quotes of each, and how many braces are open in it
    for token in tokenize.tokenize(io.BytesIO(text).readline):
        kind = tokenize.tok_name[token.type]
        inside = [quotes for quotes, braces in open_strings if braces]
        if inside and kind not in ("FSTRING_MIDDLE", "OP", "FSTRING_END"):
            if "\\" in token.string:
                yield (*_place(token), "a backslash within the braces of an f-string came with Python 3.12")
            if kind == "COMMENT":
                yield (*_place(token), "a comment within the braces of an f-string came with Python 3.12")
            quoted = _QUOTED.match(token.string) if kind in ("STRING", "FSTRING_START") else None
            if quoted and any(quotes in token.string for quotes in inside):
                yield (*_place(token), "the quotes of an f-string within its braces came with Python 3.12")
            if kind == "NL" and any(len(quotes) == 1 for quotes in inside):
                yield (*_place(token), "a line break within the braces of an f-string came with Python 3.12")
        if kind == "FSTRING_START":
            open_strings.append((token.string.lstrip("rRfF"), 0))
        elif kind == "FSTRING_END" and open_strings:
            open_strings.pop()
        elif kind == "OP" and open_strings and token.string in "{}":
            quotes, braces = open_strings[-1]
            open_strings[-1] = (quotes, braces + (1 if token.string == "{" else -1))


def _place(token: tokenize.TokenInfo) -> tuple[int, int]:
    line, column = token.start
    return line, column + 1
