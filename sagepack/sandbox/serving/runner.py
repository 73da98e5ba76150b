"""What answers an invocation that no test has scripted: the package itself, or why that cannot be."""

from __future__ import annotations

import json
import tarfile
import zlib
from http import HTTPStatus
from io import BytesIO
from typing import TYPE_CHECKING, Any

from sagepack.sandbox.aws import moto_state
from sagepack.sandbox.serving import model_server
from sagepack.sandbox.serving.containers import Containers, StartError

if TYPE_CHECKING:
    from pathlib import Path

NOT_INSTALLED = "ServingStackNotInstalled"
"""The `type` of the failure of an endpoint that cannot run its package here."""

_running = Containers()


def stop() -> None:
    """End every container; the next request starts one anew."""
    _running.stop()


def answer(model: dict[str, Any], content: bytes, content_type: str, accept: str, timeout: float) -> tuple[int, bytes]:
    """Status and body that the package of `model` answers with; a body other than of status 200 says what went wrong.

    Args:
        model: CreateModel's request.
        content: the request.
        content_type: its media type.
        accept: the media type that is asked for.
        timeout: seconds it may take, not counting the start of the container.
    """
    if why := model_server.available():
        return 503, _failure(503, NOT_INSTALLED, f"the sandbox cannot run the package: {why}")
    container = (model.get("Containers") or [model["PrimaryContainer"]])[0]

    def unpack(folder: Path) -> None:
        try:
            _unpack(container, folder)
        except (OSError, EOFError, ValueError, tarfile.TarError, zlib.error) as error:
            raise StartError(f"Failed to extract model data archive: {error}") from error

    request = (content, content_type, accept, timeout)
    try:
        status, body = _running.answer(container, unpack, container.get("Environment", {}), request)
    except StartError as error:
        return 500, _failure(500, "ModelError", str(error))
    except TimeoutError:
        return 504, _failure(504, "InvocationTimeout", f"the package did not answer in {timeout:.0f} s")
    except OSError as error:
        return 500, _failure(500, "ConnectionBroken", f"{error}; did the request or the answer exceed MMS_MAX_*_SIZE?")
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE and not body:
        return status, _failure(status, "RequestTooLarge", f"{len(content):,} bytes exceed MMS_MAX_REQUEST_SIZE")
    return status, body


def _unpack(container: dict[str, Any], folder: Path) -> None:
    """Put the model data where the container finds it."""
    source = container.get("ModelDataSource", {}).get("S3DataSource", {})
    uri = container.get("ModelDataUrl") or source["S3Uri"]
    if source.get("S3DataType") == "S3Prefix":
        for path, data in moto_state.read_below(uri):
            if {"", ".", ".."} & set(path.split("/")):
                raise OSError(f"the key {path!r} leaves the folder of the model")
            file = folder / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        return
    packed = moto_state.read(uri)
    if packed is None:
        raise FileNotFoundError(uri)
    with tarfile.open(fileobj=BytesIO(packed), mode="r:gz") as archive:
        archive.extractall(folder, filter="data")


def _failure(status: int, kind: str, message: str) -> bytes:
    """A failure in the words of the image's server."""
    return json.dumps({"code": status, "type": kind, "message": message}).encode()
