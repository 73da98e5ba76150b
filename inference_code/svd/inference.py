"""Stable Video Diffusion in SageMaker's Hugging Face inference image: one picture in, a short video out.

Request (`application/json`; a body of type image/png and the like is the picture alone, with default parameters):

    {"inputs": "<base64 or data URL>", "parameters": {"num_frames": 14, "seed": 7}}

Parameters may also stand at the top level; `request.schema.json` beside this file has them all, and the media types of
requests and answers. The answer is what `Accept` names: `{"frames": ["<base64 JPEG>", ...]}`, MP4, GIF or a contact sheet.

A ValueError becomes the answer 400 with its message. torch, diffusers and PIL are imported where they are used, so that
the reading of requests runs, and is tested, without them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from handler_answer import accepted, within_limit
from handler_files import encoded
from handler_frames import encoder
from handler_images import picture
from handler_model import gpu, require, within_memory
from handler_request import declared, decoded, fields, numbers, refuse

if TYPE_CHECKING:
    from PIL.Image import Image

WEIGHTS = ("unet", "vae", "image_encoder")  # the components that have weights

DECLARED = declared(__file__)


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

    require(model_dir, "model_index.json", "a diffusers pipeline")
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


def has_variant(model_dir: str, variant: str) -> bool:
    """Whether every component with weights has them in a variant: a half set would not load."""
    root = Path(model_dir)
    return all(any(root.glob(f"{component}/*.{variant}.safetensors")) for component in WEIGHTS)


def transform_fn(model: Any, body: bytes, content_type: str, accept: str) -> bytes:
    """Answer one request.

    One hook for all, and not input_fn, predict_fn and output_fn: only so `Accept` is known before the work begins.

    Raises:
        ValueError: the request is wrong or asks for more than there is memory for; the message says what to change.
    """
    encode = encoder(accepted(accept, DECLARED.accept))
    image, options = read(decoded(body, content_type, DECLARED.content_types))
    still = fitted(picture(image, "inputs"), int(options["width"]), int(options["height"]))
    frames = generate(model, still, options)
    return within_limit(encode(still, frames, int(options["fps"])))


def read(data: object) -> tuple[bytes, dict[str, float]]:
    """The picture, still encoded, and the parameters, checked.

    Raises:
        ValueError: all that is wrong with the fields, the parameters, or the picture's encoding.
    """
    given, unknown = fields(data, ("inputs", *(parameter.name for parameter in DECLARED.numbers)), ("parameters",))
    options, wrong = numbers(given, DECLARED.numbers)
    refuse(unknown + wrong)
    low, high = options["min_guidance_scale"], options["max_guidance_scale"]
    if low > high:
        raise ValueError(f"min_guidance_scale is {low}, more than max_guidance_scale, which is {high}")
    options["decode_chunk_size"] = min(options["decode_chunk_size"], options["num_frames"])
    return encoded(given.get("inputs"), "inputs", "picture"), options


def fitted(image: Image, width: int, height: int) -> Image:
    """The picture at the video's size: scaled until it covers it, then cropped from the middle, never distorted."""
    from PIL import Image, ImageOps

    return ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS)


def generate(pipeline: Any, image: Image, options: dict[str, float]) -> list[Image]:
    """Run the pipeline.

    The generator lives on the CPU on every machine: the same seed then starts from the same noise with and without a
    GPU. The pipeline works under `no_grad` by itself; `inference_mode` would turn the weights that offloading moves into
    inference tensors, which later moves cannot write.
    """
    import torch

    rest = {name: value for name, value in options.items() if name != "seed"}
    generator = torch.Generator(device="cpu").manual_seed(int(options["seed"]))
    return within_memory(
        lambda: list(pipeline(image, generator=generator, output_type="pil", **rest).frames[0]),
        f"Lower decode_chunk_size (it is {rest['decode_chunk_size']}), num_frames, width or height",
        pipeline.maybe_free_model_hooks,  # the pipeline does so only when it succeeds
    )
