"""Kinds of models: which handler, sample, container settings, image and instance type fit which.

A kind is a task in the words of the Hub (`pipeline_tag`). Two have handlers of their own, for one class of models each; all
others share the handler that calls transformers' pipeline.
"""

from __future__ import annotations

import re
from typing import Any

from packaging.version import InvalidVersion, Version

from sagepack.decoding import Value
from sagepack.errors import UserError
from sagepack.spec import images
from sagepack.text import did_you_mean

PLAIN_TASK = "text-classification"
"""What is assumed of a model of which nothing is known."""
PICTURE, RECORDING = "<picture>", "<recording>"
GPU, CPU = "ml.g5.2xlarge", "ml.m5.xlarge"
TRANSFORMERS = "4.51.3"
"""The version under which the sandbox serves (requirements-serve.txt). The handlers were tried under 5.5.3 as well."""
_LARGE = 100_000_000  # bytes


class Kind(Value, frozen=True):
    """What is written for a model of one task.

    Attributes:
        task: in the Hub's words.
        handler: folder with its `inference.py`, below `templates/handlers`.
        gpu: whether it needs one.
        why: what the instance type assumes.
        title: what the model does.
        sample: the file below `templates/samples`, or the request itself; `PICTURE` and `RECORDING` in it stand for one in base64.
        environment: variables of the container as lines of YAML.
        model: lines of YAML below `model`.
    """

    task: str
    handler: str
    gpu: bool
    why: str
    title: str
    sample: str | dict[str, Any]
    environment: tuple[str, ...]
    model: tuple[str, ...] = ()

    @property
    def instance_type(self) -> str:
        """A type on which such a model runs."""
        return GPU if self.gpu else CPU

    @property
    def most_bytes(self) -> int:
        """Weights of that size fit."""
        return (20 if self.gpu else 4) << 30

    def image_tag(self, saved: str | None) -> str:
        """An image that loads the model.

        Args:
            saved: the transformers version that the model was saved with. Up to `TRANSFORMERS` it is the newest image that
                has that one, and for a later version the newest of all, unless that has no pipeline for the task.
        """
        version = r"[\d.]+" if _is_newer(saved) and self.task not in _GONE else re.escape(TRANSFORMERS)
        fits = re.compile(rf"[\d.]+-transformers{version}-{'gpu' if self.gpu else 'cpu'}-.*")
        return next(filter(fits.fullmatch, reversed(images.known_tags())))


def _is_newer(saved: str | None) -> bool:
    """Whether a version of transformers is later than `TRANSFORMERS`."""
    try:
        return saved is not None and Version(saved) > Version(TRANSFORMERS)
    except InvalidVersion:
        return False


# Transformers 5 has no pipeline for these any more.
_GONE = {"question-answering", "summarization", "translation", "text2text-generation"}
_WORKERS = "SAGEMAKER_MODEL_SERVER_WORKERS: 1 # one copy of the model"
_ONE_GPU = "one GPU with 24 GB, enough for up to 20 GB of weights"
_REQUEST = f"MMS_MAX_REQUEST_SIZE: {_LARGE} # bytes; the server's own 6.5 MB is too little for a photograph in base64"

_OWN = (
    Kind(
        "image-to-video",
        "svd",
        gpu=True,
        why=_ONE_GPU,
        title="a picture in, the frames of a short video out.",
        sample="svd.json",
        environment=(
            _WORKERS,
            "SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS: 1800 # also bounds the loading of the model",
            _REQUEST,
            f"MMS_MAX_RESPONSE_SIZE: {_LARGE} # 25 frames are more than 6.5 MB, too",
        ),
        model=("# variant: fp16 # without it: half precision where every component has it, else full precision",),
    ),
    Kind(
        "image-text-to-text",
        "llava",
        gpu=True,
        why=_ONE_GPU,
        title="a picture and a question in, an answer out.",
        sample="llava.json",
        environment=(
            _WORKERS,
            "SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS: 1200 # also bounds the loading of the model",
            _REQUEST,
        ),
    ),
)
# The task, whether it needs a GPU, and a request for it.
_TEXT = "I like this very much."
_PLAIN: dict[str, tuple[bool, dict[str, Any]]] = {
    "text-classification": (False, {"inputs": _TEXT}),
    "token-classification": (False, {"inputs": "Ada Lovelace was born in London."}),
    "fill-mask": (False, {"inputs": "Paris is the [MASK] of France."}),
    "feature-extraction": (False, {"inputs": _TEXT}),
    "question-answering": (False, {"inputs": {"question": "Where is it?", "context": "The book is on the table."}}),
    "zero-shot-classification": (
        False,
        {"inputs": _TEXT, "parameters": {"candidate_labels": ["praise", "complaint"]}},
    ),
    "summarization": (False, {"inputs": "The tower is 324 metres tall. It was the tallest structure of its time."}),
    "translation": (False, {"inputs": _TEXT}),
    "text2text-generation": (False, {"inputs": f"translate English to German: {_TEXT}"}),
    "text-generation": (True, {"inputs": "Once upon a time", "parameters": {"max_new_tokens": 20}}),
    "image-classification": (False, {"inputs": PICTURE}),
    "object-detection": (False, {"inputs": PICTURE}),
    "zero-shot-image-classification": (
        False,
        {"inputs": PICTURE, "parameters": {"candidate_labels": ["a city", "a beach"]}},
    ),
    "automatic-speech-recognition": (False, {"inputs": RECORDING}),
    "audio-classification": (False, {"inputs": RECORDING}),
}
TASKS = (*(kind.task for kind in _OWN), *_PLAIN)


def kind_of(task: str) -> Kind:
    """The kind of a task.

    Raises:
        UserError: no handler is there for it.
    """
    for kind in _OWN:
        if kind.task == task:
            return kind
    if task not in _PLAIN:
        fix = did_you_mean(task, TASKS) or f"choose one of {', '.join(TASKS)}, and change the handler"
        raise UserError(f"there is no handler to start from for the task {task!r}", where="--task", fix=fix)
    gpu, request = _PLAIN[task]
    return Kind(
        task,
        "pipeline",
        gpu=gpu,
        why=_ONE_GPU if gpu else "a model of less than 4 GB, which a CPU runs fast enough",
        title=f"{task} with transformers' pipeline.",
        sample=request,
        environment=(
            f"HF_TASK: {task} # of transformers' pipeline; the handler reads it",
            _WORKERS,
            *((_REQUEST,) if {PICTURE, RECORDING} & set(map(str, request.values())) else ()),
        ),
    )


# One class of models each: the handlers of other tasks would not load it.
_CLASSES = {
    "StableVideoDiffusionPipeline": "image-to-video",
    "LlavaForConditionalGeneration": "image-text-to-text",
    "WhisperForConditionalGeneration": "automatic-speech-recognition",
    "CLIPModel": "zero-shot-image-classification",
}
# How transformers names its classes: `BertForSequenceClassification`.
_ENDINGS = {
    "ForSequenceClassification": "text-classification",
    "ForTokenClassification": "token-classification",
    "ForQuestionAnswering": "question-answering",
    "ForMaskedLM": "fill-mask",
    "ForImageClassification": "image-classification",
    "ForObjectDetection": "object-detection",
    "ForCTC": "automatic-speech-recognition",
    "ForCausalLM": "text-generation",
    "LMHeadModel": "text-generation",
    "BertModel": "feature-extraction",
    "BertaModel": "feature-extraction",
}


def task_of(class_name: str | None, pipeline_tag: str | None) -> str | None:
    """The task of a model, or None if nothing says it.

    Args:
        class_name: its pipeline in `model_index.json`, or the first of `architectures` in `config.json`.
        pipeline_tag: the task that the Hub names.

    Raises:
        UserError: it is known what the model is, and no handler here loads it.
    """
    if class_name in _CLASSES:
        return _CLASSES[class_name]
    if pipeline_tag in _PLAIN:
        return pipeline_tag
    if class_name and (task := next((task for end, task in _ENDINGS.items() if class_name.endswith(end)), None)):
        return task
    if class_name or pipeline_tag:
        what = " ".join(part for part in (class_name, f"({pipeline_tag})" if pipeline_tag else "") if part)
        raise UserError(
            f"there is no handler to start from for a model like this: {what}",
            fix=f"repeat with --task {PLAIN_TASK}, and rewrite model_fn and transform_fn of the handler that is written",
        )
    return None
