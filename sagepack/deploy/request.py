"""What can be known of a request before it is sent: size, media type, that it is JSON, and that the handler knows its fields.

A handler declares its fields in `request.schema.json`, a JSON Schema beside its program.
"""

from __future__ import annotations

import hashlib
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from sagepack.decoding import LIMIT, MalformedError, decode_json
from sagepack.deploy import media_types
from sagepack.deploy.media_types import JSON
from sagepack.errors import UserError
from sagepack.files import unreadable
from sagepack.json_schema import Schema
from sagepack.spec.declared import REQUEST_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sagepack.spec.model import Sample, Spec

MAX_REQUEST_SIZE = 1_000_000_000  # bytes (SageMaker developer guide, "Asynchronous inference": up to 1 GB)
MAX_INLINE_SIZE = 128_000  # bytes (API reference, InvokeEndpointAsync, Body)
SERVER_REQUEST_SIZE = 6_553_500  # bytes: the limit of the image's server, measured with multi-model-server 1.1.11
_PIECE = 1 << 20
_SHOWN = 20  # mistakes of a request that are told
_PLACE = re.compile(r"(?:JSON is malformed: )?(?P<reason>.*?)(?: \(byte (?P<byte>\d+)\))?", re.DOTALL)


class Rules(NamedTuple):
    """What an endpoint accepts.

    Attributes:
        largest: most bytes of a request.
        schema: the file with the JSON Schema of its requests; None if the handler declares none.
        schema_name: that file as messages name it.
    """

    largest: int = MAX_REQUEST_SIZE
    schema: Path | None = None
    schema_name: str = REQUEST_SCHEMA

    @classmethod
    def of(cls, spec: Spec, root: Path) -> Rules:
        """The rules of the endpoint of a spec, whose paths are relative to `root`."""
        name = f"{spec.code.path}/{REQUEST_SCHEMA}"
        schema = root / name
        return cls(size_limit(spec.environment), schema if schema.is_file() else None, name)


ANYTHING = Rules()
"""What every endpoint accepts."""


def size_limit(environment: Mapping[str, str]) -> int:
    """Most bytes of a request that the container takes, by its environment variables."""
    declared = environment.get("MMS_MAX_REQUEST_SIZE")
    if declared is not None and declared.isdecimal():
        return min(int(declared), MAX_REQUEST_SIZE)
    # The toolkit sets the server's limit from this one, in its own way: the container decides.
    return MAX_REQUEST_SIZE if "SAGEMAKER_MAX_PAYLOAD_IN_MB" in environment else SERVER_REQUEST_SIZE


def check(request: bytes | Path, content_type: str | None, rules: Rules = ANYTHING, where: str = "the request") -> str:
    """Check what can be checked before a request is sent, and return its content type.

    Args:
        request: the body, or the file that holds it.
        content_type: None means that of the file's suffix, or `application/json` for bytes.
        rules: what the endpoint accepts.
        where: what messages call a body that is no file of its own.

    Raises:
        UserError: the file cannot be read, or it is empty, too large, named as JSON and none, or not what the handler declares.
    """
    text: bytes | None
    if isinstance(request, bytes):
        content_type = content_type or JSON
        _check_size(len(request), rules.largest, where)
        text = request
    else:
        content_type = content_type or media_types.of_name(request) or media_types.UNKNOWN
        where, text = str(request), _read(request, rules.largest)
    if content_type == JSON and text is not None:
        _check_json(text, where, in_file=isinstance(request, Path))
        if rules.schema:
            _check_fields(text, where, rules.schema, rules.schema_name)
    return content_type


def inline(request: bytes | Path) -> bytes | None:
    """The body of a request that is sent as it is; None for one that goes by way of S3."""
    if isinstance(request, Path):
        return request.read_bytes() if request.stat().st_size <= MAX_INLINE_SIZE else None
    return request if len(request) <= MAX_INLINE_SIZE else None


def of_sample(sample: Sample, root: Path) -> tuple[bytes | Path, str]:
    """The sample of a spec as a request: its body or the file that holds it, and its media type.

    Args:
        sample: the sample.
        root: folder of the project.
    """
    body = msgspec.json.encode(sample.request) if sample.file is None else root / sample.file
    return body, sample.content_type


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


def _read(file: Path, largest: int) -> bytes | None:
    """The body in a file; None if it has more bytes than are looked into.

    Raises:
        UserError: it cannot be read, or is empty or too large.
    """
    try:
        status = file.stat()
        if not stat.S_ISREG(status.st_mode):
            raise UserError("the request is not a file", where=str(file), fix="name a JSON file or a picture")
        _check_size(status.st_size, largest, str(file))
        with file.open("rb") as opened:
            return opened.read() if status.st_size <= LIMIT else None
    except OSError as error:
        message, fix = unreadable(error)
        raise UserError(message, where=str(file), fix=fix) from error


def _check_fields(data: bytes, where: str, schema: Path, name: str) -> None:
    """Refuse what the handler's schema does not allow: all that is wrong, each with its place.

    Raises:
        UserError: a field is unknown, missing or wrong.
    """
    try:
        found = Schema.read(schema).problems(msgspec.json.decode(data))
    except MalformedError as error:
        fix = "correct it: the handler's program is beside it"
        raise UserError(f"not a JSON Schema of requests: {error}", where=name, fix=fix) from error
    if not found:
        return
    details = [
        f"{each.place or 'the request'}: {each.message}" + (f"; {each.fix}" if each.fix else "") for each in found
    ]
    raise UserError(
        "not what the handler declares",
        where=where,
        fix=f"correct the request, or the declaration in {name}",
        details=details[:_SHOWN],
    )


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
