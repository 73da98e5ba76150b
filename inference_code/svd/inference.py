"""Stable Video Diffusion in SageMaker's Hugging Face inference image: one picture in, the frames of a short video out.

Request (`application/json`; a body of type image/png and the like is the picture alone, with default parameters):

    {"inputs": "<base64 or data URL>", "parameters": {"num_frames": 14, "seed": 7}}

Parameters may also stand at the top level; `request.schema.json` beside this file has them all. Answer:
`{"frames": ["<base64 JPEG>", ...]}`.

A ValueError becomes the answer 400 with its message. torch, diffusers and PIL are imported where they are used, so that
the reading of requests runs, and is tested, without them.
"""

from __future__ import annotations

import base64
import gc
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handler_images import encoded, picture
from handler_request import declared, fields, numbers, refuse

if TYPE_CHECKING:
    from collections.abc import Iterable

    from PIL.Image import Image

WEIGHTS = ("unet", "vae", "image_encoder")  # the components that have weights
JPEG_QUALITY = 90
DEFAULT_MAX_RESPONSE_SIZE = 6_553_500  # multi-model-server 1.1.11: a larger answer kills the worker

PARAMETERS = declared(__file__)


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
    from diffusers import StableVideoDiffusionPipeline

    if not Path(model_dir, "model_index.json").is_file():
        raise ValueError(
            f"{model_dir} holds no model_index.json: the package must have the files of a diffusers pipeline"
        )
    cuda = torch.cuda.is_available()
    pipeline = StableVideoDiffusionPipeline.from_pretrained(
        model_dir,
        torch_dtype=torch.float16 if cuda else torch.float32,
        variant="fp16" if has_variant(model_dir, "fp16") else None,
        local_files_only=True,
    )
    pipeline.set_progress_bar_config(disable=True)  # it would fill the endpoint's log
    if cuda:
        pipeline.enable_model_cpu_offload(gpu_id=gpu(context))
    return pipeline


def gpu(context: Any) -> int:
    """The index of this worker's GPU; the server starts one worker per GPU and numbers them."""
    number = getattr(context, "system_properties", {}).get("gpu_id")
    return 0 if number is None else int(number)


def has_variant(model_dir: str, variant: str) -> bool:
    """Whether every component with weights has them in a variant: a half set would not load."""
    root = Path(model_dir)
    return all(any(root.glob(f"{component}/*.{variant}.safetensors")) for component in WEIGHTS)


def predict_fn(data: object, model: Any) -> dict[str, list[str]]:
    """Answer one request.

    Raises:
        ValueError: the request is wrong or asks for more than there is memory for; the message says what to change.
    """
    image, options = read(data)
    still = fitted(picture(image, "inputs"), int(options["width"]), int(options["height"]))
    return answered(generate(model, still, options))


def read(data: object) -> tuple[object, dict[str, float]]:
    """The picture, still encoded, and the parameters, checked.

    Raises:
        ValueError: all that is wrong with the fields, the parameters, or the picture's encoding.
    """
    given, unknown = fields(data, ("inputs", *(parameter.name for parameter in PARAMETERS)), ("parameters",))
    options, wrong = numbers(given, PARAMETERS)
    refuse(unknown + wrong)
    low, high = options["min_guidance_scale"], options["max_guidance_scale"]
    if low > high:
        raise ValueError(f"min_guidance_scale is {low}, more than max_guidance_scale, which is {high}")
    options["decode_chunk_size"] = min(options["decode_chunk_size"], options["num_frames"])
    image = given.get("inputs")
    return image if hasattr(image, "convert") else encoded(image, "inputs"), options


def fitted(image: Image, width: int, height: int) -> Image:
    """The picture at the video's size: scaled until it covers it, then cropped from the middle, never distorted."""
    from PIL import Image, ImageOps

    return ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS)


def generate(pipeline: Any, image: Image, options: dict[str, float]) -> list[Image]:
    """Run the pipeline and leave the GPU as free as it was, so that the next request finds the same memory.

    The generator lives on the CPU on every machine: the same seed then starts from the same noise with and without a
    GPU. The pipeline works under `no_grad` by itself; `inference_mode` would turn the weights that offloading moves into
    inference tensors, which later moves cannot write.
    """
    import torch

    rest = {name: value for name, value in options.items() if name != "seed"}
    generator = torch.Generator(device="cpu").manual_seed(int(options["seed"]))
    message = None
    try:
        return list(pipeline(image, generator=generator, output_type="pil", **rest).frames[0])
    except torch.cuda.OutOfMemoryError as error:
        message = f"not enough GPU memory: {error}".splitlines()[0]
    finally:
        pipeline.maybe_free_model_hooks()  # the pipeline does so only when it succeeds
        if torch.cuda.is_available():
            gc.collect()
            torch.cuda.empty_cache()
    raise ValueError(
        f"{message} Lower decode_chunk_size (it is {rest['decode_chunk_size']}), num_frames, width or height"
    )


def answered(frames: Iterable[Image]) -> dict[str, list[str]]:
    """The answer: the frames as base64 JPEG.

    Raises:
        ValueError: it would be larger than the server passes on.
    """
    texts = [base64.b64encode(jpeg(frame)).decode("ascii") for frame in frames]
    check_size(len('{"frames": []}') + sum(len(text) + len('"", ') for text in texts) - len(", "))
    return {"frames": texts}


def jpeg(frame: Image) -> bytes:
    """A frame as a JPEG file."""
    buffer = io.BytesIO()
    frame.save(buffer, format="JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


def check_size(size: int) -> None:
    """Refuse an answer that would kill the server's worker, which the caller sees as nothing but `Worker died`.

    Raises:
        ValueError: more than MMS_MAX_RESPONSE_SIZE bytes.
    """
    text = os.environ.get("MMS_MAX_RESPONSE_SIZE", "")
    limit = int(text) if text.isdigit() else DEFAULT_MAX_RESPONSE_SIZE
    if size > limit:
        raise ValueError(
            f"the answer has {size:,} bytes and the server passes on {limit:,}: ask for fewer or smaller frames, or set "
            "MMS_MAX_RESPONSE_SIZE in the model's environment"
        )
