"""LLaVA in SageMaker's Hugging Face inference image: a picture and a question in, an answer out.

Request (`application/json`), the fields nested as here or all at the top level:

    {"inputs": {"image": "<base64 or data URL>", "question": "What is this?"}, "parameters": {"max_new_tokens": 100}}

`request.schema.json` beside this file has all fields, and the media types of requests and answers. Answer: `{"answer": "..."}`,
or the answer alone for `Accept: text/plain`.

A ValueError becomes the answer 400 with its message. torch, transformers and PIL are imported where they are used, so that
the reading of requests runs, and is tested, without them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from handler_answer import accepted, as_json, within_limit
from handler_files import encoded
from handler_images import picture
from handler_model import gpu, require, within_memory
from handler_request import JSON, declared, decoded, fields, numbers, refuse, shown

MAX_QUESTION = 8_000  # characters: with 576 tokens of picture and the answer this stays in a context of 4,096 tokens
IMAGE_TOKEN = "<image>"  # noqa: S105  (the place of the picture in the prompt, no secret)

DECLARED = declared(__file__)


@dataclass(frozen=True)
class Request:
    """A checked request; the picture is still encoded."""

    image: bytes
    question: str
    max_new_tokens: int
    temperature: float
    top_p: float
    seed: int


def model_fn(model_dir: str, context: Any = None) -> tuple[Any, Any]:
    """Load processor and model from the package, and from nowhere else: half precision on a GPU, single on a CPU.

    Args:
        model_dir: the extracted package.
        context: the server's context, which says which GPU this worker is meant to use.

    Raises:
        ValueError: the package holds no model.
    """
    import torch
    from transformers import AutoProcessor, LlavaForConditionalGeneration

    require(model_dir, "config.json", "a transformers model")
    cuda = torch.cuda.is_available()
    processor = AutoProcessor.from_pretrained(model_dir, local_files_only=True)
    model = LlavaForConditionalGeneration.from_pretrained(
        model_dir,
        torch_dtype=torch.float16 if cuda else torch.float32,
        low_cpu_mem_usage=True,
        local_files_only=True,
    )
    return processor, model.to(f"cuda:{gpu(context)}" if cuda else "cpu").eval()


def transform_fn(model: tuple[Any, Any], body: bytes, content_type: str, accept: str) -> bytes:
    """Answer one request.

    One hook for all, and not input_fn, predict_fn and output_fn: only so `Accept` is known before the work begins.

    Raises:
        ValueError: the request is wrong or asks for more than there is memory for; the message says what to change.
    """
    media_type = accepted(accept, DECLARED.accept)
    request = read(decoded(body, content_type, DECLARED.content_types))
    processor, network = model
    still = picture(request.image, "image")
    inputs = processor(images=still, text=prompt(processor, request.question), return_tensors="pt")
    check_length(inputs["input_ids"].shape[-1], request.max_new_tokens, network.config)
    answer = generate(processor, network, inputs, request)
    return within_limit(as_json({"answer": answer}) if media_type == JSON else answer.encode())


def read(data: object) -> Request:
    """A request, checked as far as that needs no model.

    Raises:
        ValueError: all that is wrong with the fields and parameters, or with the question, or with the picture's encoding.
    """
    known = ("image", "question", *(parameter.name for parameter in DECLARED.numbers))
    given, unknown = fields(data, known, ("inputs", "parameters"))
    options, wrong = numbers(given, DECLARED.numbers)
    refuse(unknown + wrong)
    return Request(
        image=encoded(given.get("image"), "image", "picture"),
        question=_question(given.get("question")),
        max_new_tokens=int(options["max_new_tokens"]),
        temperature=options["temperature"],
        top_p=options["top_p"],
        seed=int(options["seed"]),
    )


def _question(value: object) -> str:
    """The question, or a ValueError that says what is wrong with it."""
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"question is {shown(value)}; it must be text")
    if len(value) > MAX_QUESTION:
        raise ValueError(f"question has {len(value):,} characters; at most {MAX_QUESTION:,} are taken")
    if IMAGE_TOKEN in value:
        raise ValueError(f"question contains {IMAGE_TOKEN}, which marks the picture's place; ask without it")
    return value.strip()


def check_length(tokens: int, new: int, config: Any) -> None:
    """Refuse what the model was not made for: beyond its last position it answers nonsense.

    Args:
        tokens: of picture and question.
        new: how many may be added.
        config: of the model.

    Raises:
        ValueError: together they are too many.
    """
    most = config.text_config.max_position_embeddings
    if tokens + new > most:
        raise ValueError(
            f"picture and question have {tokens:,} tokens, and with max_new_tokens {new:,} they are more than the "
            f"{most:,} that the model takes: ask a shorter question, or lower max_new_tokens"
        )


def prompt(processor: Any, question: str) -> str:
    """The model's prompt: by its own chat template where the package has one, else as LLaVA 1.5 was trained."""
    if getattr(processor, "chat_template", None):
        turn = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question}]}
        return str(processor.apply_chat_template([turn], add_generation_prompt=True))
    return f"USER: {IMAGE_TOKEN}\n{question} ASSISTANT:"


def generate(processor: Any, model: Any, inputs: Any, request: Request) -> str:
    """The new text alone, without the prompt."""
    import torch

    torch.manual_seed(request.seed)
    sampling = {"do_sample": True, "temperature": request.temperature, "top_p": request.top_p}

    def run() -> Any:
        with torch.inference_mode():
            tokens = model.generate(
                **inputs.to(model.device, model.dtype),  # the dtype is for the picture: token numbers stay integers
                max_new_tokens=request.max_new_tokens,
                **(sampling if request.temperature > 0 else {"do_sample": False}),
            )
        return tokens[0][inputs["input_ids"].shape[-1] :]

    advice = f"Lower max_new_tokens (it is {request.max_new_tokens}) or send a shorter question"
    return str(processor.decode(within_memory(run, advice), skip_special_tokens=True)).strip()
