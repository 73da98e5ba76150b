"""Pictures in a request: from base64, data URL or bytes to an RGB picture of known size.

What can be judged without an image library is judged first, in plain Python; PIL is imported only to decode. In a package
this file lies beside the handler that uses it.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from handler_files import encoded

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS = 50_000_000  # of the decoded picture, 150 MB as RGB: more than any camera sends, less than a bomb
ACCEPTED = "PNG, JPEG, WebP, GIF or BMP"

_FORMATS = (
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
)


def kind(content: bytes) -> str | None:
    """The format of a picture file by its first bytes, as PIL names it; None if it is none of the accepted ones."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "WEBP"
    return next((name for magic, name in _FORMATS if content.startswith(magic)), None)


def picture(value: object, name: str) -> Image:
    """The picture of a field, upright, in RGB, transparency on white.

    Raises:
        ValueError: whatever keeps it from being such a picture, in words for the sender.
    """
    content = encoded(value, name, "picture")
    form = kind(content)
    if form is None:
        raise ValueError(f"{name} is not a picture: it begins with {content[:8]!r}; {ACCEPTED} is taken")
    from PIL import Image, ImageOps

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
