"""The response formats of models that make videos and pictures: a JSON object with pictures in base64.

    {"frames": ["<base64 JPEG>", ...]}
    {"images": ["<base64 PNG>", ...]}

`docs/inference.md` describes them for callers of an endpoint. A JSON object in which `frames` is missing or not a list has
another format; so has one whose `images` are not all such pictures, since other programs answer with addresses there.
"""

from __future__ import annotations

import base64

import msgspec

from sagepack.decoding import MalformedError, decode_json
from sagepack.errors import RemoteError

MAX_FRAMES = 10_000
_PNG_START = b"\x89PNG\r\n\x1a\n"  # PNG specification, 5.2
_JPEG_START = b"\xff\xd8"  # marker SOI (JPEG standard, ITU-T T.81, B.1.1.3)


class _Response(msgspec.Struct):
    frames: msgspec.Raw = msgspec.Raw()


class _Images(msgspec.Struct):
    images: list[str]


def decode_base64_frames(body: bytes, *, limit: int) -> list[bytes] | None:
    """The JPEG pictures of a response in this format; None for a JSON object in another one.

    Args:
        body: a JSON object.
        limit: most bytes that are decoded.

    Raises:
        MalformedError: `body` is not JSON.
        RemoteError: a frame is not base64 or not a JPEG picture, or there are more than `MAX_FRAMES`.
    """
    frames = bytes(decode_json(body, _Response, limit=limit).frames)
    if not frames.startswith(b"["):
        return None
    if frames.count(b",") >= MAX_FRAMES:  # checked before a list with millions of empty texts is made
        raise RemoteError(f"the response has more than {MAX_FRAMES:,} frames")
    try:
        texts = decode_json(frames, list[str], limit=limit)
    except MalformedError as error:
        raise RemoteError(f"the frames of the response are not texts: {error}") from error
    return [_decode_frame(text, number) for number, text in enumerate(texts)]


def _decode_frame(text: str, number: int) -> bytes:
    try:
        picture = base64.b64decode(text, validate=True)
    except ValueError as error:
        raise RemoteError(f"frame {number} of the response is not base64") from error
    if not picture.startswith(_JPEG_START):
        raise RemoteError(f"frame {number} of the response is not a JPEG picture")
    return picture


def decode_base64_images(body: bytes, *, limit: int) -> list[bytes] | None:
    """The PNG pictures of a response in this format; None for one in another.

    Args:
        body: a JSON object.
        limit: most bytes that are decoded.
    """
    try:
        texts = decode_json(body, _Images, limit=limit).images
        pictures = [base64.b64decode(text, validate=True) for text in texts]
    except (MalformedError, ValueError):
        return None
    return pictures if pictures and all(picture.startswith(_PNG_START) for picture in pictures) else None
