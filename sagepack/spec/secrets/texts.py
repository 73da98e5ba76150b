"""Secrets in the text of a file: by their form in every line, and by the names that values stand under.

A file with a null byte in its beginning is no text: there, only tokens that have a prefix of their own are looked for.
"""

from __future__ import annotations

import codecs
import re
from bisect import bisect_right
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NamedTuple

from sagepack.spec.secrets import names, programs, values

if TYPE_CHECKING:
    from collections.abc import Iterator

EXCUSE = "sagepack: not a secret"
_BEGINNING = 8192  # bytes
# Here a value needs no quotes: `password: hunter22`, `export DB_PASSWORD=hunter22`.
_SETTINGS = {
    *(".cfg", ".conf", ".config", ".env", ".ini", ".ipynb", ".json", ".jsonl", ".properties", ".tf", ".tfvars"),
    *(".toml", ".yaml", ".yml", ".sh", ".bash", ".zsh", ".ps1", ".bat", ".cmd"),
}
_SETTING_FILES = {"dockerfile", "makefile"}
_PAIR = re.compile(
    r"""(?<![\w.$-])-{0,2}([A-Za-z_][\w.-]{2,63})\\?["']?\]?[ \t]{0,8}(?:=>|:=|[=:])[ \t]{0,8}"""
    r"""(?:[rbf]?\\?"([^"\\\n]{1,512})|[rbf]?'([^'\n]{1,512})|([^\s"',;&)}\]]{1,512}))"""
)
_SUSPICIOUS = re.compile(r"(?i)(?<![\w-])[\w-]{0,64}(?:secret|pass|key|token|cred|pwd)[\w-]{0,64}")
# The public half of a pair of keys. Its last line may have 40 characters, as an AWS secret key has.
_PUBLIC_BLOCK = re.compile(
    r"-----BEGIN ([A-Z0-9 ]{0,20}CERTIFICATE(?: REQUEST)?|X509 CRL|(?:[A-Z]{2,4} )?PUBLIC KEY|PGP PUBLIC KEY BLOCK"
    r"|(?:DH|EC) PARAMETERS|PKCS7)-----[^-]*-----END \1-----"
)
_NO_PREFIX = {values.PRIVATE_KEY, values.RANDOM_KEY, values.ADDRESS, values.CONNECTION, values.BEARER, values.LOGIN}


class Found(NamedTuple):
    """A secret in a file.

    Attributes:
        line: 1-based; 0 in a file that has no lines.
        kind: what it is, with its article.
    """

    line: int
    kind: str


def search(name: str, data: bytes) -> list[Found]:
    """What looks like a secret in a file, one a line, without the lines that excuse themselves.

    Args:
        name: the file's name: its suffix says what it is.
        data: its first bytes, `secrets.LIMIT` at most.
    """
    text = _decoded(data)
    if text is None:
        kinds = {kind for _begin, _end, kind in values.found(data.decode("latin-1"))}
        return [Found(0, kind) for kind in sorted(kinds - _NO_PREFIX)]
    public = _PUBLIC_BLOCK.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text) if "-----BEGIN" in text else text
    starts = [0, *(match.end() for match in re.finditer("\n", text))]
    found: dict[int, str] = {}
    for begin, _end, kind in values.found(public, names.is_harmless):
        found.setdefault(bisect_right(starts, begin), kind)
    path = PurePosixPath(name.lower())
    named = _in_program(public) if path.suffix in (".py", ".pyi") else None
    if named is None:
        bare = path.suffix in _SETTINGS or path.name in _SETTING_FILES
        named = [(bisect_right(starts, at), kind) for at, kind in settings(public, bare=bare)]
    for line, kind in named:
        found.setdefault(line, kind)
    ends = [*starts[1:], len(text)]
    return [
        Found(line, kind)
        for line, kind in sorted(found.items())
        if EXCUSE not in text[starts[line - 1] : ends[line - 1]].lower()
    ]


def settings(text: str, *, bare: bool) -> Iterator[tuple[int, str]]:
    """Where in `text` something like `password = "..."` gives a secret a name; what stands there.

    Args:
        text: lines of settings, a connection string, an object of JSON.
        bare: whether values without quotes count.
    """
    for match in _PAIR.finditer(text):
        value = match[2] or match[3] or (match[4] if bare else None)
        if value and names.is_written(match[1], value):
            yield match.start(), _by_name(match[1])


def is_public(data: bytes) -> bool:
    """Whether a file of keys holds nothing but certificates and public keys."""
    rest, count = _PUBLIC_BLOCK.subn("", data.decode("latin-1"))
    return count > 0 and "-----BEGIN" not in rest


def _by_name(name: str) -> str:
    """What is a secret because of its name, which is told if it is one that people give."""
    is_plain = re.fullmatch(r"[\w.-]{1,64}", name, re.ASCII) and not values.kind_of(name)
    return f"a secret, by its name {name}" if is_plain else "a secret, by its name"


def _in_program(text: str) -> list[tuple[int, str]] | None:
    """Literals of a program under a name that says secret, by line; None if it cannot be parsed."""
    if not any(map(names.sense, set(_SUSPICIOUS.findall(text)))):
        return []  # parsing takes most of the time, and many programs name no secret
    literals = programs.literals(text, names.sense)
    if literals is None:
        return None
    found = [(one.line, _by_name(one.name)) for one in literals if one.name and names.is_written(one.name, one.text)]
    # A connection string stands on one line; what has more is a text.
    lines = [one for one in literals if one.name is None and "=" in one.text and "\n" not in one.text]
    return found + [(one.line, kind) for one in lines for _at, kind in settings(one.text, bare=True)]


def _decoded(data: bytes) -> str | None:
    """The text of a file; None if it is none. Editors of Windows write UTF-16, with its mark before it."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace")
    return None if b"\0" in data[:_BEGINNING] else data.decode("utf-8-sig", "replace")
