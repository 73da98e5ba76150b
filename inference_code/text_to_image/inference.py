"""A pipeline of diffusers in SageMaker's Hugging Face inference image: a text in, pictures of it out.

Request (`application/json`):

    {"inputs": "a lighthouse in the evening", "parameters": {"width": 768, "height": 512, "seed": 7}}

Parameters may also stand at the top level; `request.schema.json` beside this file has them all. What is not given is as the
pipeline has it. The answer is what `Accept` names: `{"images": ["<base64 PNG>", ...]}`, or one picture as PNG.

A ValueError becomes the answer 400 with its message. torch, diffusers and PIL are imported where they are used, so that
the reading of requests runs, and is tested, without them.
"""

from __future__ import annotations

import base64
import inspect
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handler_answer import accepted, as_json, within_limit
from handler_model import gpu, require, within_memory
from handler_request import JSON, Number, declared, decoded, fields, numbers, refuse, shown

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_TEXT = 4_000  # characters; the text encoders read 77 to 512 tokens of them
PNG = "image/png"

DECLARED = declared(__file__)


def optional(schema: Path) -> tuple[Number, ...]:
    """The parameters without a default of their own: each pipeline has its own, and a distilled one works with no other."""
    found = json.loads(schema.read_text(encoding="utf-8"))["$defs"].items()
    return tuple(
        Number(name, 0, field["minimum"], field["maximum"], "integer" in field["type"], field.get("multipleOf", 1))
        for name, field in found
        if "minimum" in field and "default" not in field
    )


OPTIONAL = optional(Path(__file__).with_name("request.schema.json"))


def model_fn(model_dir: str, context: Any = None) -> Any:
    """Load the pipeline from the package, and from nowhere else.

    On a GPU in half precision, each component moved there only while it works; otherwise on the CPU in single
    precision, since half precision is emulated there and many times slower.

    Args:
        model_dir: the extracted package.
        context: the server's context, which says which GPU this worker is meant to use.

    Raises:
        ValueError: the package holds no pipeline.
    """
    import torch
    from diffusers import DiffusionPipeline

    require(model_dir, "model_index.json", "a diffusers pipeline")
    cuda = torch.cuda.is_available()
    # Transformers overflow in float16 (their text encoders, T5, do); convolutions are as exact in it, and faster.
    half = torch.bfloat16 if Path(model_dir, "transformer").is_dir() else torch.float16
    pipeline = DiffusionPipeline.from_pretrained(
        model_dir,
        torch_dtype=half if cuda else torch.float32,
        variant="fp16" if any(Path(model_dir).glob("*/*.fp16.*")) else None,
        local_files_only=True,
    )
    pipeline.set_progress_bar_config(disable=True)  # it would fill the endpoint's log
    if cuda:
        pipeline.enable_model_cpu_offload(gpu_id=gpu(context))
    return pipeline


def transform_fn(model: Any, body: bytes, content_type: str, accept: str) -> bytes:
    """Answer one request.

    Raises:
        ValueError: the request is wrong or asks for more than there is memory for; the message says what to change.
    """
    media_type = accepted(accept, DECLARED.accept)
    text, options = read(decoded(body, content_type, DECLARED.content_types))
    if media_type == PNG and options["num_images_per_prompt"] > 1:
        raise ValueError(f"{PNG} is one picture: ask for one, or for {JSON}")
    pictures = [png(picture) for picture in generate(model, text, options)]
    if media_type == PNG:
        return within_limit(pictures[0])
    return within_limit(as_json({"images": [base64.b64encode(picture).decode() for picture in pictures]}))


def read(data: object) -> tuple[str, dict[str, Any]]:
    """The text, and the parameters that were given, checked.

    Raises:
        ValueError: all that is wrong with the fields and parameters, or with the text.
    """
    known = [parameter.name for parameter in (*DECLARED.numbers, *OPTIONAL)]
    given, unknown = fields(data, ("inputs", "negative_prompt", *known), ("parameters",))
    options, wrong = numbers(given, DECLARED.numbers)
    more, wrong_too = numbers(given, [parameter for parameter in OPTIONAL if parameter.name in given])
    refuse([*unknown, *wrong, *wrong_too])
    text = said(given.get("inputs"), "inputs")
    named = {name: said(given[name], name) for name in ("negative_prompt",) if name in given}
    return text, {**options, **more, **named}


def said(value: object, name: str) -> str:
    """A text of the request.

    Raises:
        ValueError: it is none, or too long.
    """
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{name} is {shown(value)}; it must be text")
    if len(value) > MAX_TEXT:
        raise ValueError(f"{name} has {len(value):,} characters; at most {MAX_TEXT:,} are taken")
    return value


def generate(pipeline: Any, text: str, options: dict[str, Any]) -> list[Image]:
    """Run the pipeline. The generator lives on the CPU: the same seed then starts from the same noise on every machine.

    Raises:
        ValueError: the pipeline has no such parameter, or there is not enough memory.
    """
    import torch

    rest = {name: value for name, value in options.items() if name != "seed"}
    taken = inspect.signature(pipeline.__call__).parameters
    refuse(f"this model has no parameter {name}" for name in rest if name not in taken)
    generator = torch.Generator(device="cpu").manual_seed(int(options["seed"]))
    return within_memory(
        lambda: list(pipeline(prompt=text, generator=generator, output_type="pil", **rest).images),
        "Lower width, height or num_images_per_prompt",
        pipeline.maybe_free_model_hooks,  # the pipeline does so only when it succeeds
    )


def png(picture: Image) -> bytes:
    """A picture as PNG."""
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()
