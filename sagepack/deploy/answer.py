"""An answer on disk: as it came, or its frames as pictures."""

from __future__ import annotations

import base64
import binascii
import json
import os
from typing import TYPE_CHECKING, Any

from sagepack.errors import RemoteError, UserError

if TYPE_CHECKING:
    from pathlib import Path


def save_answer(answer: bytes, output: Path) -> list[Path]:
    """Write `answer` to `output` and return the files.

    An `output` with a suffix is a file and gets the bytes as they are. Any other is a folder: `{"frames": [base64, ...]}`
    becomes `frame-000.jpg` and so on there, and any other answer the file `answer.json` or `answer.bin`.

    Raises:
        UserError: the place cannot be written to.
        RemoteError: the frames are not base64.
    """
    if output.suffix and not output.is_dir():
        return [_write(output, answer)]
    document = _json(answer)
    frames = document.get("frames") if isinstance(document, dict) else None
    if not isinstance(frames, list):
        return [_write(output / ("answer.bin" if document is None else "answer.json"), answer)]
    pictures = [_decoded(frame, number) for number, frame in enumerate(frames)]
    digits = max(3, len(str(len(pictures))))
    return [_write(output / f"frame-{number:0{digits}d}.jpg", picture) for number, picture in enumerate(pictures)]


def _json(answer: bytes) -> Any:
    try:
        return json.loads(answer)
    except ValueError:
        return None


def _decoded(frame: Any, number: int) -> bytes:
    try:
        return base64.b64decode(frame, validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise RemoteError(
            f"frame {number} of the answer is not base64", fix="save it as a .json file and look"
        ) from error


def _write(path: Path, content: bytes) -> Path:
    """Write beside the place, then rename: a reader never sees half a file."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        part.write_bytes(content)
        part.replace(path)
    except OSError as error:
        raise UserError(f"the answer cannot be written: {error.strerror}", where=str(path)) from error
    return path
