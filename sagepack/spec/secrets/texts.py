"""Searches the content of a file for secrets: by their form anywhere, and by the names of values.

A file with a null byte near its beginning is binary. It is searched only for tokens with a known prefix.
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

ALLOW_COMMENT = "sagepack: not a secret"
_PROBED = 8192  # bytes that are searched for a null byte
# In these files a value needs no quotes: `password: hunter22`, `export DB_PASSWORD=hunter22`.
_SETTING_SUFFIXES = {
    *(".cfg", ".conf", ".config", ".env", ".ini", ".ipynb", ".json", ".jsonl", ".properties", ".tf", ".tfvars"),
    *(".toml", ".yaml", ".yml", ".sh", ".bash", ".zsh", ".ps1", ".bat", ".cmd"),
}
_SETTING_FILES = {"dockerfile", "makefile"}
_PAIR = re.compile(
    r"""(?<![\w.$-])-{0,2}([A-Za-z_][\w.-]{2,63})\\?["']?\]?[ \t]{0,8}(?:=>|:=|[=:])[ \t]{0,8}"""
    r"""(?:[rbf]?\\?"([^"\\\n]{1,512})|[rbf]?'([^'\n]{1,512})|([^\s"',;&)}\]]{1,512}))"""
)
_SUSPICIOUS = re.compile(r"(?i)(?<![\w-])[\w-]{0,64}(?:secret|pass|key|token|cred|pwd)[\w-]{0,64}")
# Public keys and certificates. Their last line may have 40 characters, like an AWS secret key.
_PUBLIC_BLOCK = re.compile(
    r"-----BEGIN ([A-Z0-9 ]{0,20}CERTIFICATE(?: REQUEST)?|X509 CRL|(?:[A-Z]{2,4} )?PUBLIC KEY|PGP PUBLIC KEY BLOCK"
    r"|(?:DH|EC) PARAMETERS|PKCS7)-----[^-]*-----END \1-----"
)
_WITHOUT_PREFIX = {
    values.PRIVATE_KEY,
    values.RANDOM_KEY,
    values.ADDRESS,
    values.CONNECTION,
    values.BEARER,
    values.LOGIN,
}


class Occurrence(NamedTuple):
    """A secret in a file.

    Attributes:
        line: 1-based; 0 in a binary file.
        kind: its name in messages, with an article.
    """

    line: int
    kind: str


def search(name: str, data: bytes) -> list[Occurrence]:
    """What looks like a secret in a file: at most one per line, and none in a line with the comment `ALLOW_COMMENT`.

    Args:
        name: name of the file; its suffix decides how it is searched.
        data: the first bytes of the file, at most `secrets.LIMIT`.
    """
    text = _decoded(data)
    if text is None:
        kinds = {kind for _begin, _end, kind in values.find(data.decode("latin-1"))}
        return [Occurrence(0, kind) for kind in sorted(kinds - _WITHOUT_PREFIX)]
    public = _PUBLIC_BLOCK.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text) if "-----BEGIN" in text else text
    starts = [0, *(match.end() for match in re.finditer("\n", text))]
    found: dict[int, str] = {}
    for begin, _end, kind in values.find(public, names.is_placeholder):
        found.setdefault(bisect_right(starts, begin), kind)
    path = PurePosixPath(name.lower())
    named = _program_literals(public) if path.suffix in (".py", ".pyi") else None
    if named is None:
        bare = path.suffix in _SETTING_SUFFIXES or path.name in _SETTING_FILES
        named = [(bisect_right(starts, at), kind) for at, kind in find_settings(public, bare=bare)]
    for line, kind in named:
        found.setdefault(line, kind)
    ends = [*starts[1:], len(text)]
    return [
        Occurrence(line, kind)
        for line, kind in sorted(found.items())
        if ALLOW_COMMENT not in text[starts[line - 1] : ends[line - 1]].lower()
    ]


def find_settings(text: str, *, bare: bool) -> Iterator[tuple[int, str]]:
    """Settings such as `password = "..."` whose name says that the value is a secret: position in `text`, and kind.

    Args:
        text: lines of settings, a connection string, an object of JSON.
        bare: whether values without quotes count.
    """
    for match in _PAIR.finditer(text):
        value = match[2] or match[3] or (match[4] if bare else None)
        if value and names.is_secret_literal(match[1], value):
            yield match.start(), _kind_by_name(match[1])


def is_public(data: bytes) -> bool:
    """Whether a key file contains only certificates and public keys."""
    rest, count = _PUBLIC_BLOCK.subn("", data.decode("latin-1"))
    return count > 0 and "-----BEGIN" not in rest


def _kind_by_name(name: str) -> str:
    """The kind of a secret that was found by its name. The name is repeated only if it cannot be a secret itself."""
    is_plain = re.fullmatch(r"[\w.-]{1,64}", name, re.ASCII) and not values.kind_of(name)
    return f"a secret, by its name {name}" if is_plain else "a secret, by its name"


def _program_literals(text: str) -> list[tuple[int, str]] | None:
    """Line and kind of the literals that a program gives the name of a secret; None if it cannot be parsed."""
    if not any(map(names.confidence, set(_SUSPICIOUS.findall(text)))):
        return []  # parsing takes most of the time, and most programs have no such name
    literals = programs.literals(text, names.confidence)
    if literals is None:
        return None
    found = [
        (one.line, _kind_by_name(one.name))
        for one in literals
        if one.name and names.is_secret_literal(one.name, one.text)
    ]
    # Settings inside a literal: a connection string has one line, longer literals are prose.
    lines = [one for one in literals if one.name is None and "=" in one.text and "\n" not in one.text]
    return found + [(one.line, kind) for one in lines for _at, kind in find_settings(one.text, bare=True)]


def _decoded(data: bytes) -> str | None:
    """The text of a file; None for a binary file. Text may be UTF-8, or UTF-16 with a byte order mark, as Windows writes it."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace")
    return None if b"\0" in data[:_PROBED] else data.decode("utf-8-sig", "replace")
