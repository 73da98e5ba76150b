"""Media types of requests and answers: what bytes tell of theirs, and which suffix of a file stands for which."""

from __future__ import annotations

import mimetypes
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import PurePath

JSON, TEXT = "application/json", "text/plain"
UNKNOWN = "application/octet-stream"
# Media type -> what its bytes begin with, one of several; a pair is at an offset (file formats' own specifications).
_SIGNATURES: dict[str, tuple[bytes | tuple[int, bytes], ...]] = {
    "application/pdf": (b"%PDF-",),
    "application/x-npy": (b"\x93NUMPY",),
    "application/zip": (b"PK\x03\x04", b"PK\x05\x06"),
    "audio/flac": (b"fLaC",),
    "audio/mpeg": (b"ID3", b"\xff\xfb", b"\xff\xf3", b"\xff\xf2"),
    "audio/ogg": (b"OggS",),
    "audio/wav": ((8, b"WAVE"),),
    "image/gif": (b"GIF87a", b"GIF89a"),
    "image/jpeg": (b"\xff\xd8",),
    "image/png": (b"\x89PNG\r\n\x1a\n",),
    "image/webp": ((8, b"WEBP"),),
    "video/mp4": ((4, b"ftyp"),),
    "video/webm": (b"\x1aE\xdf\xa3",),
}
HEAD = 16
"""Bytes from the beginning of a file that tell its type."""
KNOWN = frozenset({JSON, TEXT, *_SIGNATURES})
"""The media types that bytes tell."""
# What mimetypes says otherwise on some systems, or not at all.
_SUFFIXES = {".json": JSON, ".txt": TEXT, ".npy": "application/x-npy", ".wav": "audio/wav", ".webp": "image/webp"}
_NAMES = {"image/jpeg": ".jpg", **{media_type: suffix for suffix, media_type in _SUFFIXES.items()}}


def told_by(head: bytes) -> str | None:
    """The media type that the first `HEAD` bytes of a file tell; None for JSON, text, and whatever is not known."""
    return next((media_type for media_type in _SIGNATURES if is_of(head, media_type)), None)


def is_of(body: bytes, media_type: str) -> bool:
    """Whether bytes begin as those of a media type do; of types without such a beginning, every one does."""
    signatures = _SIGNATURES.get(media_type)
    return signatures is None or any(_begins(body, signature) for signature in signatures)


def of_name(path: PurePath) -> str | None:
    """The media type that the suffix of a file's name stands for; None if it stands for none."""
    return _SUFFIXES.get(path.suffix.lower()) or mimetypes.guess_type(path.name)[0]


def suffix_of(media_type: str) -> str:
    """The suffix of files of a media type."""
    return _NAMES.get(media_type) or mimetypes.guess_extension(media_type) or ".bin"


def _begins(body: bytes, signature: bytes | tuple[int, bytes]) -> bool:
    offset, mark = (0, signature) if isinstance(signature, bytes) else signature
    return body.startswith(mark, offset)
