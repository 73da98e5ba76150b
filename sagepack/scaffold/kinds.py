"""Kinds of models: which handler, sample, container settings, image and instance type fit which.

A kind is a task in the words of the Hub (`pipeline_tag`). Some have handlers of their own; the tasks of transformers' pipeline
share one, and `other` is a handler whose hooks are yet to be written.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
from packaging.version import InvalidVersion, Version

from sagepack.decoding import Value
from sagepack.errors import UserError
from sagepack.spec import images
from sagepack.text import did_you_mean

PLAIN_TASK = "text-classification"
"""What is assumed of a model of which nothing is known."""
PICTURE, RECORDING = "<picture>", "<recording>"
OTHER = "other"
"""The kind of a model that no handler here loads."""
TRANSFORMERS = "4.51.3"
"""The version under which the sandbox serves (requirements-serve.txt). The handlers were tried under 5.5.3 as well."""
_LARGE = 100_000_000  # bytes
# GiB of weights in single precision up to which a CPU answers in seconds: of a model that writes token after token, and of others.
_CPU_WRITES, _CPU_READS = 2, 8


class Kind(Value, frozen=True):
    """What is written for a model of one task.

    Attributes:
        task: in the Hub's words.
        handler: folder with its `inference.py`, below `templates/handlers`.
        cpu_up_to: most GiB of memory with which a CPU runs it fast enough.
        gpu: whether it runs on one. Where the size of the model is known, that decides.
        half: whether the handler loads it in half precision on a GPU, whatever its files have.
        title: what the model does.
        sample: the file below `templates/samples`, or the request itself; `PICTURE` and `RECORDING` in it stand for one in base64.
        environment: variables of the container as lines of YAML.
    """

    task: str
    handler: str
    gpu: bool
    title: str
    sample: str | dict[str, Any]
    environment: tuple[str, ...]
    cpu_up_to: int = 0
    half: bool = False

    def for_memory(self, on_cpu: int) -> Kind:
        """The same kind with or without a GPU, as fits a model that needs so many bytes of memory on a CPU."""
        return msgspec.structs.replace(self, gpu=on_cpu > self.cpu_up_to << 30)

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
_REQUEST = f"MMS_MAX_REQUEST_SIZE: {_LARGE} # bytes; the server's own 6.5 MB is too little for a photograph in base64"

_OWN = (
    Kind(
        "image-to-video",
        "svd",
        gpu=True,
        half=True,
        title="a picture in, the frames of a short video out.",
        sample="svd.json",
        environment=(
            _WORKERS,
            "SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS: 1800 # also bounds the loading of the model",
            _REQUEST,
            f"MMS_MAX_RESPONSE_SIZE: {_LARGE} # 25 frames are more than 6.5 MB, too",
        ),
    ),
    Kind(
        "image-text-to-text",
        "llava",
        gpu=True,
        half=True,
        title="a picture and a question in, an answer out.",
        sample="llava.json",
        environment=(
            _WORKERS,
            "SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS: 1200 # also bounds the loading of the model",
            _REQUEST,
        ),
    ),
    Kind(
        "text-to-image",
        "text_to_image",
        gpu=True,
        half=True,
        title="a text in, a picture out.",
        sample={"inputs": "A lighthouse on a cliff, in the evening"},
        environment=(
            _WORKERS,
            "SAGEMAKER_MODEL_SERVER_TIMEOUT_SECONDS: 1200 # also bounds the loading of the model",
            f"MMS_MAX_RESPONSE_SIZE: {_LARGE} # bytes; a few large pictures are more than the server's own 6.5 MB",
        ),
    ),
    Kind(
        OTHER,
        "skeleton",
        gpu=True,
        title="the handler is yet to be written.",
        sample={"inputs": "something"},
        environment=(_WORKERS,),
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
        cpu_up_to=_CPU_WRITES if gpu else _CPU_READS,
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


# Pipelines of diffusers that make a picture of a text, by the beginnings of their names.
_PICTURES = re.compile(
    r"(?:StableDiffusion(?:XL|3)?|Flux|PixArt(?:Alpha|Sigma)|Sana|AuraFlow|LatentConsistencyModel|Lumina\w*|HunyuanDiT)Pipeline"
)
# Libraries whose models transformers' pipeline does not load.
_FOREIGN = {
    "timm",
    "gguf",
    "spacy",
    "flair",
    "fasttext",
    "nemo",
    "espnet",
    "speechbrain",
    "open_clip",
    "peft",
    "adapter-transformers",
}
_SENTENCES = "sentence-transformers"


def task_of(class_name: str | None, pipeline_tag: str | None, library: str | None = None) -> str | None:
    """The task of a model, `OTHER` if no handler here loads it, or None if nothing says what it is.

    Args:
        class_name: its pipeline in `model_index.json`, or the first of `architectures` in `config.json`.
        pipeline_tag: the task that the Hub names.
        library: that loads it, in the Hub's words.
    """
    name = class_name or ""
    if name in _CLASSES:
        return _CLASSES[name]
    if library == _SENTENCES:
        return "feature-extraction"
    if library in _FOREIGN or name.endswith("Pipeline"):
        return "text-to-image" if _PICTURES.fullmatch(name) else OTHER
    if pipeline_tag in _PLAIN:
        return pipeline_tag
    task = next((task for end, task in _ENDINGS.items() if name.endswith(end)), None)
    return task or (OTHER if class_name or pipeline_tag else None)
