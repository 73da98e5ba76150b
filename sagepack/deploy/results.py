"""Write the result of a request to files, by its content type.

The type is that of the bytes, whatever the container declares: JSON, or else arbitrary bytes. Two JSON formats are known and
written as pictures: those of `base64_frames`.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from sagepack.decoding import MalformedError, decode_json
from sagepack.deploy import media_types
from sagepack.deploy.base64_frames import decode_base64_frames, decode_base64_images
from sagepack.files import write_atomically

if TYPE_CHECKING:
    from pathlib import Path

MAX_SIZE = 100_000_000  # bytes of a result that are fetched; MMS_MAX_RESPONSE_SIZE of the packages in `config/`

_SHOWN_BYTES = 4000


def save_result(body: bytes, output: Path) -> list[Path]:
    """Write a result and return the files.

    If `output` has a suffix and is no folder, it becomes a file with the bytes of the result, unchanged. Otherwise it becomes
    a folder, which gets

    - `frame-000.jpg`, `frame-001.jpg` and so on, or `image-000.png` and so on, for a JSON object in a format of `base64_frames`,
    - `answer.json` for any other JSON,
    - `answer.mp4`, `answer.png` and so on for what its first bytes tell, `answer.txt` for text, `answer.bin` for anything else.

    No file name is taken from the result.

    Raises:
        UserError: a file cannot be written.
        RemoteError: the result is in the format of `base64_frames`, but a frame is not a picture; nothing was written.
    """
    if output.suffix and not output.is_dir():
        files = {output: body}
    else:
        files = {output / name: data for name, data in _files(body).items()}
    for path, data in files.items():
        write_atomically(path, data)
    return list(files)


def short_text(body: bytes) -> str | None:
    """A result as text; None if it is none, or too long to be shown."""
    if len(body) > _SHOWN_BYTES:
        return None
    try:
        return body.decode()
    except UnicodeDecodeError:
        return None


def _files(body: bytes) -> dict[str, bytes]:
    try:
        if not body.lstrip().startswith(b"{"):
            decode_json(body, msgspec.Raw, limit=MAX_SIZE)
            return {"answer.json": body}
        if (frames := decode_base64_frames(body, limit=MAX_SIZE)) is not None:
            return _numbered("frame", ".jpg", frames)
    except MalformedError:
        return {f"answer{_suffix(body)}": body}
    images = decode_base64_images(body, limit=MAX_SIZE)
    return {"answer.json": body} if images is None else _numbered("image", ".png", images)


def _numbered(name: str, suffix: str, pictures: list[bytes]) -> dict[str, bytes]:
    digits = max(3, len(str(len(pictures))))
    return {f"{name}-{number:0{digits}d}{suffix}": picture for number, picture in enumerate(pictures)}


def _suffix(body: bytes) -> str:
    """The suffix of a file with bytes that are no JSON."""
    told = media_types.told_by(body[: media_types.HEAD])
    if told is None and b"\0" not in body:
        with suppress(UnicodeDecodeError):
            body.decode()
            told = media_types.TEXT
    return media_types.suffix_of(told or media_types.UNKNOWN)
