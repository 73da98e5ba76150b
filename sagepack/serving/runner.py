"""An invocation of a package under the serving stack: the package's response, or a failure in the format of the image."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING

from sagepack.serving import model_server
from sagepack.serving.containers import StartError

if TYPE_CHECKING:
    from sagepack.serving.containers import Containers, Package
    from sagepack.serving.model_server import InferenceRequest

NOT_INSTALLED = "ServingStackNotInstalled"
"""The `type` of the failure when the serving stack is not installed on this machine."""


def invoke(containers: Containers, package: Package, request: InferenceRequest) -> tuple[int, bytes]:
    """Send `request` to `package`, which is started if it is not running.

    Returns:
        Status and body of the package's response. If there is none, status and JSON document of a failure, as the image's
        server writes them.
    """
    if problem := model_server.unavailable():
        return _failure(503, NOT_INSTALLED, f"the sandbox cannot run the package: {problem}")
    try:
        status, body = containers.invoke(package, request)
    except StartError as error:
        return _failure(500, "ModelError", str(error))
    except TimeoutError:
        return _failure(504, "InvocationTimeout", f"the package did not respond within {request.timeout:.0f} s")
    except OSError as error:
        return _failure(500, "ConnectionBroken", f"{error}; did request or response exceed MMS_MAX_*_SIZE?")
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE and not body:
        return _failure(status, "RequestTooLarge", f"{len(request.body):,} bytes exceed MMS_MAX_REQUEST_SIZE")
    return status, body


def _failure(status: int, kind: str, message: str) -> tuple[int, bytes]:
    return status, json.dumps({"code": status, "type": kind, "message": message}).encode()
