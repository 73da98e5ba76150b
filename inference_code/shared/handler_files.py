"""Files in a request, pictures and recordings: from base64, data URL or bytes to the bytes of the file. Plain Python, no package of the image.

In a package this file lies beside the handler that uses it.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Literal

from handler_request import shown

MAX_BYTES = 32 * 2**20  # of a file; the server's own limit on requests is lower unless it is raised
MEDIA_TYPES = {"picture": "image/", "recording": "audio/"}

What = Literal["picture", "recording"]

_ADDRESS = re.compile(r"\s*([a-z][a-z0-9+.-]{1,20})://", re.IGNORECASE)
_DATA_URL = re.compile(r"data:(?P<type>[\w.+-]+/[\w.+-]+)?(?P<options>(?:;[\w.+-]+(?:=[^;,]*)?)*),", re.IGNORECASE)
_SPACE = re.compile(r"\s+")


def encoded(value: object, name: str, what: What) -> bytes:
    """The bytes of the file that a field of the request holds.

    Args:
        value: base64 text, a data URL, or bytes.
        name: the field, for messages.
        what: what the file should be; nothing is decoded here.

    Raises:
        ValueError: missing, an address, not base64, too large.
    """
    if isinstance(value, (bytes, bytearray, memoryview)):
        content = bytes(value)
    elif isinstance(value, str) and value.strip():
        content = _decoded(value, name, what)
    elif value is None or value == "":
        raise ValueError(f"{name} is missing: send the {what} itself, as base64, as a data URL or as the body")
    else:
        raise ValueError(f"{name} is {shown(value)}; it must be a {what} as base64, as a data URL or as bytes")
    if len(content) > MAX_BYTES:
        raise ValueError(f"{name} holds {len(content):,} bytes; at most {MAX_BYTES:,} are taken")
    return content


def _decoded(text: str, name: str, what: What) -> bytes:
    """The bytes that base64 text or a data URL stands for."""
    address = _ADDRESS.match(text)
    if address:
        raise ValueError(
            f"{name} is an address ({address[1].lower()}://), and addresses are not fetched from inside the container: "
            "it would let any caller read whatever the endpoint's network and role can reach. "
            f"Send the {what} itself, as base64 or as a data URL"
        )
    if len(text) > MAX_BYTES * 3 // 2:  # base64 adds a third, line breaks a little
        raise ValueError(f"{name} holds {len(text):,} characters; a {what} of at most {MAX_BYTES:,} bytes is taken")
    text = _SPACE.sub("", text)
    if text[:5].lower() == "data:":
        text = _of_data_url(text, name, MEDIA_TYPES[what])
    text = text.rstrip("=").replace("-", "+").replace("_", "/")  # the URL-safe alphabet means the same
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"{name} is neither base64 nor a data URL: {shown(text)}") from None


def _of_data_url(text: str, name: str, media_type: str) -> str:
    """The base64 text in a data URL (RFC 2397)."""
    head = _DATA_URL.match(text)
    if not head or "base64" not in head["options"].lower().split(";"):
        raise ValueError(f"{name} is not a data URL of the form data:{media_type}...;base64,...: {shown(text)}")
    if head["type"] and not head["type"].lower().startswith(media_type):
        raise ValueError(f"{name} is a data URL of type {head['type']}; it must be {media_type}...")
    return text[head.end() :]
