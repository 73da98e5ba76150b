"""Any pipeline of transformers in SageMaker's Hugging Face inference image: text or a picture in, its answer out.

HF_TASK in the spec's `environment` names the task, such as `text-classification`. Request (`application/json`):

    {"inputs": "I like this.", "parameters": {"top_k": 2}}

`inputs` is what the pipeline takes: a text, a list of texts, an object of named inputs (question answering), or for tasks
on pictures a picture in base64. `parameters` are passed on to it and may be left out. The answer is what the pipeline
returns.

A ValueError becomes the answer 400 with its message. torch, transformers and PIL are imported where they are used, so that
the reading of requests runs, and is tested, without them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from handler_images import encoded, picture
from handler_request import fields, refuse, shown

TASK = os.environ.get("HF_TASK", "text-classification")
PICTURES = ("image-classification", "object-detection")  # the tasks whose inputs are a picture


def model_fn(model_dir: str, context: Any = None) -> Any:
    """Load the pipeline from the package, onto the GPU if there is one.

    Args:
        model_dir: the extracted package.
        context: the server's context, which says which GPU this worker is meant to use.

    Raises:
        ValueError: the package holds no model.
    """
    import torch
    from transformers import pipeline

    if not Path(model_dir, "config.json").is_file():
        raise ValueError(f"{model_dir} holds no config.json: the package must have the files of a transformers model")
    cuda = torch.cuda.is_available()
    return pipeline(
        TASK,
        model=model_dir,
        device=gpu(context) if cuda else -1,
        torch_dtype="auto" if cuda else torch.float32,  # half precision is emulated on a CPU, and many times slower
    )


def gpu(context: Any) -> int:
    """The index of this worker's GPU; the server starts one worker per GPU and numbers them."""
    number = getattr(context, "system_properties", {}).get("gpu_id")
    return 0 if number is None else int(number)


def predict_fn(data: object, model: Any) -> Any:
    """Answer one request.

    Raises:
        ValueError: the request is wrong, or the pipeline cannot use it; the message says why.
    """
    inputs, parameters = read(data)
    if TASK in PICTURES:
        inputs = picture(inputs, "inputs")
    try:
        return plain(model(inputs, **parameters))
    except (KeyError, TypeError) as error:  # how a pipeline meets inputs of another form, and unknown parameters
        raise ValueError(f"the pipeline for {TASK} cannot use this request: {error}") from error


def read(data: object) -> tuple[Any, dict[str, Any]]:
    """The inputs, pictures still encoded, and the parameters.

    Raises:
        ValueError: an unknown field, no inputs, parameters that are no object, or a picture that is not base64.
    """
    given, unknown = fields(data, ("inputs", "parameters"), ())
    refuse(unknown)
    inputs, parameters = given.get("inputs"), given.get("parameters", {})
    if inputs is None:
        raise ValueError('there is nothing to work on: the request must be like {"inputs": "..."}')
    if not isinstance(parameters, dict):
        raise ValueError(f"parameters is {shown(parameters)}; it must be an object")  # noqa: TRY004  (the caller's mistake)
    if TASK in PICTURES and not hasattr(inputs, "convert"):
        inputs = encoded(inputs, "inputs")
    return inputs, parameters


def plain(value: Any) -> Any:
    """What a pipeline returns, as JSON can hold it: numbers and lists for those of NumPy and torch."""
    if isinstance(value, dict):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    return value.tolist() if hasattr(value, "tolist") else value
