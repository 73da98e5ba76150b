"""An answer on disk: as it came, or its frames as pictures."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import msgspec

from sagepack.decoding import MalformedError, decode_json
from sagepack.errors import RemoteError
from sagepack.files import write_atomically

if TYPE_CHECKING:
    from pathlib import Path

LIMIT = 100_000_000  # bytes of an answer that are fetched; the largest that the handlers' MMS_MAX_RESPONSE_SIZE lets through
_MOST_FRAMES = 10_000
_JPEG = b"\xff\xd8"  # how each begins (JIF, B.1.1.3: SOI)


class _Answer(msgspec.Struct):
    """An answer of a model that makes films; others have no frames, or something else of that name."""

    frames: msgspec.Raw = msgspec.Raw()


def save_answer(answer: bytes, output: Path) -> list[Path]:
    """Write `answer` to `output` and return the files.

    An `output` with a suffix is a file and gets the bytes as they are. Any other is a folder: `{"frames": [base64, ...]}`
    becomes `frame-000.jpg` and so on there, and any other answer the file `answer.json` or `answer.bin`. No name comes from
    the answer.

    Raises:
        UserError: the place cannot be written to.
        RemoteError: the frames are not pictures; nothing was written.
    """
    if output.suffix and not output.is_dir():
        return [_write(output, answer)]
    try:
        frames = _frames(answer)
    except MalformedError:
        return [_write(output / "answer.bin", answer)]
    if frames is None:
        return [_write(output / "answer.json", answer)]
    for number, frame in enumerate(frames):
        _picture(frame, number)
    digits = max(3, len(str(len(frames))))
    return [
        _write(output / f"frame-{number:0{digits}d}.jpg", _picture(frame, number))
        for number, frame in enumerate(frames)
    ]


def _frames(answer: bytes) -> list[str] | None:
    """The frames of an answer; None if it is JSON without a list of frames.

    Raises:
        MalformedError: it is not JSON.
        RemoteError: the frames are no texts, or too many.
    """
    if not answer.lstrip().startswith(b"{"):
        decode_json(answer, msgspec.Raw, limit=LIMIT)
        return None
    frames = bytes(decode_json(answer, _Answer, limit=LIMIT).frames)
    if not frames.startswith(b"["):
        return None
    if frames.count(b",") >= _MOST_FRAMES:  # before millions of empty ones are made
        raise RemoteError(f"the answer has more than {_MOST_FRAMES:,} frames")
    try:
        return decode_json(frames, list[str], limit=LIMIT)
    except MalformedError as error:
        raise RemoteError(f"the frames of the answer are not texts: {error}") from error


def _picture(frame: str, number: int) -> bytes:
    try:
        picture = base64.b64decode(frame, validate=True)
    except ValueError as error:
        raise RemoteError(f"frame {number} of the answer is not base64") from error
    if not picture.startswith(_JPEG):
        raise RemoteError(f"frame {number} of the answer is not a JPEG picture")
    return picture


def _write(path: Path, content: bytes) -> Path:
    write_atomically(path, content)
    return path
