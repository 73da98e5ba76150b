"""One request to a package, through the handler of the image's own toolkit: `python container.py FOLDER TYPE ACCEPT`.

It runs in a process of its own, as a script: what a package imports and prints stays there. The request is read from
standard input; standard output gets a line of JSON (status, media type) and then the body, and nothing else.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress


def main(folder: str, content_type: str, accept: str) -> None:
    """Answer the request on standard input with the package in `folder`, which stands for /opt/ml/model."""
    answer_to = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the package prints is for the log
    status, body = _answer(folder, content_type, accept)
    answer_to.write(json.dumps({"status": status, "content_type": accept}).encode() + b"\n" + body)
    answer_to.close()


def _answer(folder: str, content_type: str, accept: str) -> tuple[int, bytes]:
    from mms.service import Service
    from sagemaker_huggingface_inference_toolkit.handler_service import HuggingFaceHandlerService

    handler = HuggingFaceHandlerService()
    service = Service("model", folder, None, handler.handle, None, 1)
    headers = [{"name": b"Content-Type", "value": content_type.encode()}, {"name": b"Accept", "value": accept.encode()}]
    body = {"name": "body", "contentType": content_type, "value": bytearray(sys.stdin.buffer.read())}
    request = [{"requestId": b"0", "headers": headers, "parameters": [body]}]
    context = service.context
    context.request_processor, inputs, context.request_ids = service.retrieve_data_for_inference(request)
    context.metrics = _NoMetrics()
    try:
        with suppress(Exception):
            # The server swallows what this raises, too, and the handler tries again with the request.
            handler.initialize(context)
        made = handler.handle(inputs, context)[0]
    except Exception as error:  # noqa: BLE001 - the server answers any exception with its text
        status = getattr(error, "error_code", 503)
        text = {"code": status, "type": "InternalServerException", "message": getattr(error, "message", str(error))}
        return status, json.dumps(text).encode()
    return 200, made.encode() if isinstance(made, str) else bytes(made)


class _NoMetrics:
    def add_time(self, name: str, value: float) -> None:
        """Take a measurement and forget it."""
        del name, value


if __name__ == "__main__":
    main(*sys.argv[1:4])
