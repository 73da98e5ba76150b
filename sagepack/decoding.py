"""Documents from outside as typed values: nothing of one is used before every field of it was checked.

A document from outside is whatever this process did not just compute: a file in `build/` or in S3, a lock of a pull
request, an answer of a service. What it must look like is written as a `msgspec.Struct`: types, patterns, ranges and
lengths are written next to the fields. A rule over several fields goes into `__post_init__` and raises ValueError.

msgspec refuses what `json` lets through (NaN, half a character, a float where an integer belongs). It is slower to
import than `json`, by 6 ms, which a run with nothing to do can afford.
"""

from __future__ import annotations

import hashlib
import threading
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

_Kind = TypeVar("_Kind")

# msgspec searches a pattern anywhere in the text, so that each needs both anchors; `$` would accept a newline at the end.
Sha256Hex = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
DigestText = Annotated[str, Meta(pattern=r"\Asha256:[0-9a-f]{64}\Z")]
Commit = Annotated[str, Meta(pattern=r"\A[0-9a-f]{40}\Z")]
# A commit of any git repository: by SHA-1, as at the Hub, or by SHA-256.
AnyCommit = Annotated[str, Meta(pattern=r"\A(?:[0-9a-f]{40}|[0-9a-f]{64})\Z")]
# A name of a content on the Hub: the SHA-256 of an LFS file, the git SHA-1 of others.
BlobName = Annotated[str, Meta(pattern=r"\A(?:[0-9a-f]{40}|[0-9a-f]{64})\Z")]
# What a model is for, in the Hub's words, such as `text-generation`.
Task = Annotated[str, Meta(max_length=60, pattern=r"\A[a-z0-9]+(?:-[a-z0-9]+)*\Z")]
# What a file system and a tar header can hold; the rules about paths are those of `manifest.check_paths`.
PathText = Annotated[str, Meta(min_length=1, max_length=4096)]
Size = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
Crc32 = Annotated[int, Meta(ge=0, le=0xFFFF_FFFF)]
Text = Annotated[str, Meta(max_length=4096)]

# Far above the largest document of a real package: an index of 100,000 files has 40 MB.
LIMIT = 64 << 20
_SHOWN = 300  # characters of a message
_prepared = set[Any]()
_preparing = threading.Lock()


class Value(msgspec.Struct, frozen=True):
    """A frozen value of this program, for the modules that every run imports.

    It is what a frozen dataclass is, but its class is made in C: a dataclass compiles its methods when its module is
    imported, which takes half a millisecond each, and a run with nothing to do would wait for thirty of them.
    """


class MalformedError(ValueError):
    """A document is not what it should be; the message is one line that says where in the document and how."""


def decode_json(data: bytes, kind: type[_Kind], *, limit: int = LIMIT) -> _Kind:
    """The value of a JSON document.

    Args:
        data: the document, UTF-8.
        kind: what it must be: a `msgspec.Struct`, or any type that msgspec takes.
        limit: most bytes.

    Raises:
        MalformedError: it is not JSON, too large, too deep, or a field is missing or not what `kind` says.
    """
    if len(data) > limit:
        raise MalformedError(f"it has {len(data):,} bytes, at most {limit:,} are read")
    try:
        _prepare(kind)
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise MalformedError(_explained(error)) from error


def convert(document: Any, kind: type[_Kind]) -> _Kind:
    """The value of a document that was parsed already (YAML, an answer of a client library).

    Raises:
        MalformedError: a field is missing or not what `kind` says.
    """
    try:
        _prepare(kind)
        return msgspec.convert(document, type=kind)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise MalformedError(_explained(error)) from error


def _prepare(kind: Any) -> None:
    """Let msgspec work out a type while no other thread does.

    It does that at the first use of a class, evaluates its annotations meanwhile, and a thread that then finds the class half
    done reads through null pointers (msgspec 0.22: the process ends with a segmentation fault).
    """
    if kind not in _prepared:
        with _preparing:
            msgspec.json.Decoder(kind)
            _prepared.add(kind)


def _explained(error: Exception) -> str:
    """The message of msgspec with the place first: `files[3].size: expected `int`, got `str``."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    message, _, place = str(error).partition(" - at `")
    path = place.rstrip("`").removeprefix("$").lstrip(".")
    lowered = message[:1].lower() + message[1:] if not message.startswith("JSON") else message
    text = f"{path}: {lowered}" if path else lowered
    # It may name a key of the document, which may be anything.
    shown = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text[:_SHOWN])
    return shown if len(text) <= _SHOWN else f"{shown}..."


class _Sealed(msgspec.Struct, forbid_unknown_fields=True):
    """A document with the SHA-256 of its own bytes."""

    format: int
    sha256: Sha256Hex
    content: msgspec.Raw


def seal(content: Any, version: int) -> bytes:
    """`content` as a JSON document that holds a digest of itself and the version of its format."""
    text = msgspec.json.encode(content)
    return b'{"format": %d, "sha256": "%b", "content": %b}\n' % (
        version,
        hashlib.sha256(text).hexdigest().encode(),
        text,
    )


def unseal(data: bytes, version: int, kind: type[_Kind]) -> _Kind | None:
    """The content of a document that `seal` made; None for any other, as one with a flipped bit is."""
    try:
        sealed = decode_json(data, _Sealed)
        if sealed.format != version or hashlib.sha256(sealed.content).hexdigest() != sealed.sha256:
            return None
        return decode_json(bytes(sealed.content), kind)
    except MalformedError:
        return None
