"""A pipeline of transformers in SageMaker's Hugging Face inference image: text, a picture or a recording in, its answer out.

HF_TASK in the spec's `environment` names the task, such as `text-classification`. Request (`application/json`):

    {"inputs": "I like this.", "parameters": {"top_k": 2}}

`inputs` is what the pipeline takes: a text, a list of texts, an object of named inputs (question answering), or for tasks
on pictures and recordings one in base64; a body of type image/... or audio/... is that alone. `parameters` are passed on to
the pipeline and may be left out; `request.schema.json` beside this file has those that the handler itself reads. The answer is
what the pipeline returns; for `feature-extraction`, one vector for each text.

A ValueError becomes the answer 400 with its message. torch, transformers and PIL are imported where they are used, so that
the reading of requests runs, and is tested, without them.
"""

from __future__ import annotations

import os
from typing import Any

from handler_answer import accepted, as_json, within_limit
from handler_audio import recording
from handler_images import picture
from handler_model import gpu, require, within_memory
from handler_request import declared, decoded, fields, numbers, refuse, shown

TASK = os.environ.get("HF_TASK", "text-classification")
EMBEDDING = "feature-extraction"
DIGITS = 8  # of each number of a vector: single precision has no more, and the answer is half as long as with all that Python shows
READERS = {
    "automatic-speech-recognition": recording,
    "audio-classification": recording,
    "image-classification": picture,
    "object-detection": picture,
    "zero-shot-image-classification": picture,
}
TEXTS = (
    "text-classification",
    "token-classification",
    "fill-mask",
    EMBEDDING,
    "question-answering",
    "zero-shot-classification",
    "summarization",
    "translation",
    "text2text-generation",
    "text-generation",
)

DECLARED = declared(__file__)


def model_fn(model_dir: str, context: Any = None) -> Any:
    """Load the pipeline from the package, onto the GPU if there is one.

    Args:
        model_dir: the extracted package.
        context: the server's context, which says which GPU this worker is meant to use.

    Raises:
        ValueError: the package holds no model, or HF_TASK is none that this handler reads requests for.
    """
    import torch
    from transformers import pipeline

    if TASK not in READERS and TASK not in TEXTS:  # others fetch addresses, and open files, that a request names
        raise ValueError(f"HF_TASK is {TASK}; this handler takes {', '.join((*TEXTS, *READERS))}")
    require(model_dir, "config.json", "a transformers model")
    cuda = torch.cuda.is_available()
    return pipeline(
        TASK,
        model=model_dir,
        device=gpu(context) if cuda else -1,
        torch_dtype="auto" if cuda else torch.float32,  # half precision is emulated on a CPU, and many times slower
    )


def transform_fn(model: Any, body: bytes, content_type: str, accept: str) -> bytes:
    """Answer one request.

    One hook for all, and not input_fn, predict_fn and output_fn: only so `Accept` is known before the work begins.

    Raises:
        ValueError: the request is wrong, or the pipeline cannot use it; the message says why.
    """
    accepted(accept, DECLARED.accept)
    inputs, parameters, seed = read(decoded(body, content_type, DECLARED.content_types))
    answer = within_memory(lambda: run(model, inputs, parameters, seed), "Send fewer or shorter inputs")
    return within_limit(as_json(plain(answer)))


def read(data: object) -> tuple[Any, dict[str, Any], int]:
    """The inputs, ready for the pipeline, its parameters, and the seed.

    Raises:
        ValueError: an unknown field, no inputs, parameters that are no object, or a file that cannot be read.
    """
    given, unknown = fields(data, ("inputs", "parameters"), ())
    refuse(unknown)
    inputs, parameters = given.get("inputs"), given.get("parameters", {})
    if inputs is None:
        raise ValueError('there is nothing to work on: the request must be like {"inputs": "..."}')
    if not isinstance(parameters, dict):
        raise ValueError(f"parameters is {shown(parameters)}; it must be an object")
    options, wrong = numbers({name: value for name, value in parameters.items() if value is not None}, DECLARED.numbers)
    refuse(wrong)
    rest = {name: value for name, value in parameters.items() if name not in options}
    if TASK in READERS:
        return READERS[TASK](inputs, "inputs"), rest, int(options["seed"])
    if isinstance(inputs, (bytes, bytearray)):
        raise ValueError(f"the body is a file, and {TASK} takes text: send it as JSON")
    return inputs, rest, int(options["seed"])


def run(model: Any, inputs: Any, parameters: dict[str, Any], seed: int) -> Any:
    """What the pipeline answers; where it draws lots, the same to the same seed.

    Raises:
        ValueError: inputs of another form than it takes, or too long, or parameters that it does not know.
    """
    import torch

    torch.manual_seed(seed)
    try:
        return embedded(model, inputs, **parameters) if TASK == EMBEDDING else model(inputs, **parameters)
    except (KeyError, TypeError) as error:
        raise ValueError(f"the pipeline for {TASK} cannot use this request: {error}") from error
    except (IndexError, RuntimeError):  # what torch says beyond the last position of a model tells nobody anything
        refuse_long(model, inputs)
        raise


def refuse_long(model: Any, inputs: Any) -> None:
    """Say that a text is longer than the model takes, if one is.

    Raises:
        ValueError: it is.
    """
    texts = [text for text in (inputs if isinstance(inputs, list) else [inputs]) if isinstance(text, str)]
    if not texts or not model.tokenizer:
        return
    tokens = max(len(model.tokenizer(text)["input_ids"]) for text in texts)
    most = min(model.tokenizer.model_max_length, getattr(model.model.config, "max_position_embeddings", tokens))
    if tokens > most:
        raise ValueError(
            f"the inputs have up to {tokens:,} tokens and the model takes {most:,}: send shorter ones, or have them cut with "
            '"parameters": {"truncation": true}'
        )


def embedded(model: Any, inputs: Any, *, pooling: str = "mean", normalize: bool = False, **parameters: Any) -> Any:
    """One vector for a text, a list of them for a list; with the pooling `none`, what the pipeline returns: one for each token.

    Args:
        model: the pipeline.
        inputs: a text, or a list of texts. Each goes through the model by itself, so that no padding is in the mean.
        pooling: `mean` of the vectors of all tokens, that of the first one (`cls`), or `none`.
        normalize: whether each vector gets the length 1, so that a product of two is their cosine.
        parameters: of the pipeline, such as `truncation`.

    Raises:
        ValueError: there is no such pooling, or nothing to be normalized.
    """
    if pooling not in ("mean", "cls", "none"):
        raise ValueError(f"pooling is {shown(pooling)}; it must be mean, cls or none")
    if pooling == "none":
        if normalize:
            raise ValueError("normalize is for one vector a text: ask for the pooling mean or cls")
        return model(inputs, **parameters)
    if "batch_size" in parameters:
        raise ValueError("batch_size pads texts, and the padding would be in the mean: leave it out")
    texts = [inputs] if isinstance(inputs, str) else inputs
    tokens = [each[0].float() for each in model(texts, return_tensors=True, **parameters)]
    vectors = [each.mean(0) if pooling == "mean" else each[0] for each in tokens]
    if normalize:
        vectors = [each / each.norm().clamp(min=1e-12) for each in vectors]
    short = [[float(f"{number:.{DIGITS}g}") for number in each.tolist()] for each in vectors]
    return short[0] if isinstance(inputs, str) else short


def plain(value: Any) -> Any:
    """What a pipeline returns, as JSON can hold it: numbers and lists for those of NumPy and torch."""
    if isinstance(value, dict):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    return value.tolist() if hasattr(value, "tolist") else value
