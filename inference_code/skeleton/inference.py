"""A handler to be written: it reads requests and answers, and what lies between is left to you.

Request (`application/json`): `{"inputs": ..., "parameters": {...}}`; declare your own fields in `request.schema.json` beside this
file, against which `validate` checks the sample and `predict` each request. Write `model_fn` and `run`; a ValueError becomes the
answer 400 with its message.

torch and the like are imported where they are used, so that the reading of requests can be tested without them.
"""

from __future__ import annotations

from typing import Any

from handler_answer import accepted, as_json, within_limit
from handler_model import within_memory
from handler_request import declared, decoded, fields, refuse

DECLARED = declared(__file__)


def model_fn(model_dir: str, context: Any = None) -> Any:
    """Load the model. Called once in each worker; what it returns is the `model` of `transform_fn`.

    Args:
        model_dir: the extracted package: the files of the model, and this code in its folder `code`. Load from here, with
            `local_files_only=True`: the container cannot reach the Hub.
        context: the server's context; `handler_model.gpu(context)` is the index of the GPU of this worker.
    """
    raise ValueError("this handler is yet to be written: load the model in model_fn of inference.py")


def transform_fn(model: Any, body: bytes, content_type: str, accept: str) -> bytes:
    """Answer one request.

    Raises:
        ValueError: the request is wrong; the message says what to change.
    """
    accepted(accept, DECLARED.accept)
    given, unknown = fields(decoded(body, content_type, DECLARED.content_types), ("inputs", "parameters"), ())
    refuse(unknown)
    answer = within_memory(lambda: run(model, given.get("inputs"), given.get("parameters")), "Send less")
    return within_limit(as_json(answer))


def run(model: Any, inputs: object, parameters: object) -> Any:
    """What the model answers, of what JSON can hold: texts, numbers, lists and objects."""
    raise ValueError("this handler is yet to be written: call the model in run of inference.py")
