"""What can be known of a request before it is sent: that it can be read, its size, its media type, and that it is JSON."""

from __future__ import annotations

import hashlib
import mimetypes
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from sagepack.decoding import LIMIT, MalformedError, decode_json
from sagepack.errors import UserError
from sagepack.files import unreadable

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_REQUEST_SIZE = 1_000_000_000  # bytes (SageMaker developer guide, "Asynchronous inference": up to 1 GB)
SERVER_REQUEST_SIZE = 6_553_500  # bytes: the limit of the image's server, measured with multi-model-server 1.1.11
_PIECE = 1 << 20
JSON = "application/json"
_PLACE = re.compile(r"(?:JSON is malformed: )?(?P<reason>.*?)(?: \(byte (?P<byte>\d+)\))?", re.DOTALL)


def size_limit(environment: Mapping[str, str]) -> int:
    """Most bytes of a request that the container takes, by its environment variables."""
    declared = environment.get("MMS_MAX_REQUEST_SIZE")
    if declared is not None and declared.isdecimal():
        return min(int(declared), MAX_REQUEST_SIZE)
    # The toolkit sets the server's limit from this one, in its own way: the container decides.
    return MAX_REQUEST_SIZE if "SAGEMAKER_MAX_PAYLOAD_IN_MB" in environment else SERVER_REQUEST_SIZE


def check(
    request: bytes | Path, content_type: str | None, largest: int = MAX_REQUEST_SIZE, where: str = "the request"
) -> str:
    """Check what can be checked before a request is sent, and return its content type.

    Args:
        request: the body, or the file that holds it.
        content_type: None means that of the file's suffix, or `application/json` for bytes.
        largest: most bytes.
        where: what messages call a body that is no file of its own.

    Raises:
        UserError: the file cannot be read, or it is empty, too large, or named as JSON and none.
    """
    if isinstance(request, bytes):
        content_type = content_type or JSON
        _check_size(len(request), largest, where)
        if content_type == JSON and len(request) <= LIMIT:
            _check_json(request, where, in_file=False)
        return content_type
    content_type = content_type or mimetypes.guess_type(request.name)[0] or "application/octet-stream"
    where = str(request)
    try:
        status = request.stat()
        if not stat.S_ISREG(status.st_mode):
            raise UserError("the request is not a file", where=where, fix="name a JSON file or a picture")
        _check_size(status.st_size, largest, where)
        with request.open("rb") as file:
            text = file.read() if content_type == JSON and status.st_size <= LIMIT else None
    except OSError as error:
        message, fix = unreadable(error)
        raise UserError(message, where=where, fix=fix) from error
    if text is not None:
        _check_json(text, where, in_file=True)
    return content_type


def digest(request: bytes | Path, content_type: str, accept: str) -> str:
    """SHA-256, in hex, of a request and the media types that it has and wants."""
    hasher = hashlib.sha256(f"{content_type}\n{accept}\n".encode())
    if isinstance(request, Path):
        with request.open("rb") as file:
            while piece := file.read(_PIECE):
                hasher.update(piece)
    else:
        hasher.update(request)
    return hasher.hexdigest()


def _check_size(size: int, largest: int, where: str) -> None:
    if size == 0:
        raise UserError("the request is empty", where=where, fix="write what the handler expects, such as {}")
    if size > largest:
        fix = "send less in one request"
        if largest < MAX_REQUEST_SIZE:
            fix += ", or raise environment.MMS_MAX_REQUEST_SIZE in the spec and deploy"
        raise UserError(f"the request has {size:,} bytes; the endpoint takes at most {largest:,}", where=where, fix=fix)


def _check_json(data: bytes, where: str, *, in_file: bool) -> None:
    """Refuse what is no JSON, with line and column as editors count them; the column alone if it is no file of its own.

    Raises:
        UserError: it is none.
    """
    try:
        data.decode()
        decode_json(data, msgspec.Raw)
    except UnicodeDecodeError as error:
        reason, offset = "it is not UTF-8", error.start
    except MalformedError as error:
        found = _PLACE.fullmatch(str(error))
        reason = found["reason"] if found else str(error)
        if found and found["byte"]:
            offset = int(found["byte"])
        elif "truncated" in reason:
            reason, offset = "it ends too early", len(data.rstrip())
        else:
            raise UserError(f"the request is not JSON: {reason}", where=where, fix="correct the file") from error
    else:
        return
    before = data[:offset].decode(errors="replace")
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    place = f"{line}:{column}" if in_file else str(column)
    raise UserError(f"the request is not JSON: {reason}", where=f"{where}:{place}", fix="correct the file")
