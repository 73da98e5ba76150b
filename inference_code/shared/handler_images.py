"""Pictures in a request: from base64, data URL, bytes or PIL.Image to an RGB picture of known size.

What can be judged without an image library is judged first, in plain Python; PIL is imported only to decode. In a package
this file lies beside the handler that uses it.
"""

from __future__ import annotations

import base64
import binascii
import io
import re
from typing import TYPE_CHECKING, Any

from handler_request import shown

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_BYTES = 32 * 2**20  # of the encoded picture; the server's own limit on requests is lower unless it is raised
MAX_PIXELS = 50_000_000  # of the decoded picture, 150 MB as RGB: more than any camera sends, less than a bomb
ACCEPTED = "PNG, JPEG, WebP, GIF or BMP"

_ADDRESS = re.compile(r"\s*([a-z][a-z0-9+.-]{1,20})://", re.IGNORECASE)
_DATA_URL = re.compile(r"data:(?P<type>[\w.+-]+/[\w.+-]+)?(?P<options>(?:;[\w.+-]+(?:=[^;,]*)?)*),", re.IGNORECASE)
_SPACE = re.compile(r"\s+")
_FORMATS = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
)


def encoded(value: object, name: str) -> bytes:
    """The bytes of the picture file that a field of the request holds.

    Args:
        value: base64 text, a data URL, or bytes.
        name: the field, for messages.

    Raises:
        ValueError: missing, an address, not base64, too large.
    """
    if isinstance(value, (bytes, bytearray, memoryview)):
        content = bytes(value)
    elif isinstance(value, str) and value.strip():
        content = _decoded(value, name)
    elif value is None or value == "":
        raise ValueError(f"{name} is missing: send the picture itself, as base64, as a data URL or as the body")
    else:
        raise ValueError(f"{name} is {shown(value)}; it must be a picture as base64, as a data URL or as bytes")
    if len(content) > MAX_BYTES:
        raise ValueError(f"{name} holds {len(content):,} bytes; at most {MAX_BYTES:,} are taken")
    return content


def _decoded(text: str, name: str) -> bytes:
    """The bytes that base64 text or a data URL stands for."""
    address = _ADDRESS.match(text)
    if address:
        raise ValueError(
            f"{name} is an address ({address[1].lower()}://), and addresses are not fetched from inside the container: "
            "it would let any caller read whatever the endpoint's network and role can reach. "
            "Send the picture itself, as base64 or as a data URL"
        )
    if len(text) > MAX_BYTES * 3 // 2:  # base64 adds a third, line breaks a little
        raise ValueError(f"{name} holds {len(text):,} characters; pictures of at most {MAX_BYTES:,} bytes are taken")
    text = _SPACE.sub("", text)
    if text[:5].lower() == "data:":
        text = _of_data_url(text, name)
    text = text.rstrip("=").replace("-", "+").replace("_", "/")  # the URL-safe alphabet means the same
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"{name} is neither base64 nor a data URL: {shown(text)}") from None


def _of_data_url(text: str, name: str) -> str:
    """The base64 text in a data URL (RFC 2397)."""
    head = _DATA_URL.match(text)
    if not head or "base64" not in head["options"].lower().split(";"):
        raise ValueError(f"{name} is not a data URL of the form data:image/png;base64,...: {shown(text)}")
    if head["type"] and not head["type"].lower().startswith("image/"):
        raise ValueError(f"{name} is a data URL of type {head['type']}; it must be image/...")
    return text[head.end() :]


def kind(content: bytes) -> str | None:
    """The format of a picture file by its first bytes, as PIL names it; None if it is none of the accepted ones."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "WEBP"
    return next((name for magic, name in _FORMATS if content.startswith(magic)), None)


def picture(value: object, name: str) -> Image:
    """The picture of a field, upright, in RGB, transparency on white.

    The server decodes bodies of type image/... itself, so a PIL.Image is taken as well.

    Raises:
        ValueError: whatever keeps it from being such a picture, in words for the sender.
    """
    from PIL import Image, ImageOps

    if isinstance(value, Image.Image):
        image = value
    else:
        content = encoded(value, name)
        form = kind(content)
        if form is None:
            raise ValueError(f"{name} is not a picture: it begins with {content[:8]!r}; {ACCEPTED} is taken")
        try:
            image = Image.open(io.BytesIO(content), formats=[form])  # no other decoder of PIL's sees the bytes
        except (
            OSError,
            ValueError,
            SyntaxError,
            Image.DecompressionBombError,
            Image.DecompressionBombWarning,
        ) as error:
            raise ValueError(f"{name} cannot be read as {form}: {error}") from None
    if image.width * image.height > MAX_PIXELS:  # known from the header: nothing was decompressed yet
        raise ValueError(f"{name} has {image.width:,} x {image.height:,} pixels; at most {MAX_PIXELS:,} are taken")
    try:
        return _flat(ImageOps.exif_transpose(image))
    except (OSError, ValueError, SyntaxError) as error:
        raise ValueError(f"{name} is broken: {error}") from None


def _flat(image: Any) -> Image:
    """In RGB; what is transparent becomes white, as a browser shows it."""
    from PIL import Image

    if image.mode.startswith("I"):  # 16 bits of grey, which `convert` would clip at 255
        image = image.point(lambda value: value * (1 / 256)).convert("L")
    if image.mode in {"RGBA", "LA", "PA", "La", "RGBa"} or "transparency" in image.info:
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, "white")
        ground.alpha_composite(image)
        image = ground
    return image.convert("RGB")
