"""A miniature of stabilityai/stable-video-diffusion-img2vid-xt-1-1: the same files, with small weights made by hand.

The real `StableVideoDiffusionPipeline` loads it and shows the picture of the request, slightly soft, moved a little further
in each frame; so a defect on the way is seen at a glance. `svd_vae` and `svd_unet` say how. It differs from the real
configuration in sizes and in blocks that cost most: two levels of 64 channels in the UNet, with attention between
them alone; three levels in the VAE, so that a dot of the latents stands for 4x4 pixels instead of 8x8; one layer of CLIP, with random
weights that nothing depends on. The image size of CLIP stays 224, which the pipeline fixes.
"""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

from sagepack.sandbox.miniatures import shapes, svd_unet, svd_vae, weights

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagepack.sandbox.miniatures.shapes import Named

_CONTEXT = 32
_ADDED = 1184
"""Width of each of the three added time ids. The real model has 256; 1184 brings the fp16 UNet just above 5 MiB, the least
that S3 copies as a part. So the miniature, too, shows that publishing a one-line edit sends a few kilobytes."""

_VERSIONS = {"_diffusers_version": "0.24.0.dev0"}

_README = """---
pipeline_tag: image-to-video
license: other
license_name: stable-video-diffusion-1-1-community
license_link: LICENSE.md
extra_gated_prompt: This is a miniature that a sandbox made; it has nothing to agree to.
---

# Stable Video Diffusion 1.1, a miniature

The paths of the real repository with tiny weights, made by sagepack's sandbox for tests. It makes no videos: its frames
show the picture of the request, moved a little.
"""

_LICENSE = "These files are generated and carry no weights of the real model. Do with them what you like.\n"

_ATTRIBUTES = "".join(f"*.{suffix} filter=lfs diff=lfs merge=lfs -text\n" for suffix in ("safetensors", "webp"))

_WEBP = bytes.fromhex("524946461a000000574542505650384c0d0000002f00000010071011118888fe0700")
"""One transparent pixel, lossless."""


def _model_index() -> dict[str, Any]:
    return {
        "_class_name": "StableVideoDiffusionPipeline",
        **_VERSIONS,
        "feature_extractor": ["transformers", "CLIPImageProcessor"],
        "image_encoder": ["transformers", "CLIPVisionModelWithProjection"],
        "scheduler": ["diffusers", "EulerDiscreteScheduler"],
        "unet": ["diffusers", "UNetSpatioTemporalConditionModel"],
        "vae": ["diffusers", "AutoencoderKLTemporalDecoder"],
    }


def _preprocessor() -> dict[str, Any]:
    return {
        "crop_size": {"height": 224, "width": 224},
        "do_center_crop": True,
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "feature_extractor_type": "CLIPFeatureExtractor",
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_processor_type": "CLIPImageProcessor",
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "resample": 3,
        "rescale_factor": 0.00392156862745098,
        "size": {"shortest_edge": 224},
    }


def _image_encoder() -> dict[str, Any]:
    return {
        "architectures": ["CLIPVisionModelWithProjection"],
        "attention_dropout": 0.0,
        "hidden_act": "gelu",
        "hidden_size": 32,
        "image_size": 224,
        "initializer_factor": 1.0,
        "initializer_range": 0.02,
        "intermediate_size": 64,
        "layer_norm_eps": 1e-05,
        "model_type": "clip_vision_model",
        "num_attention_heads": 4,
        "num_channels": 3,
        "num_hidden_layers": 1,
        "patch_size": 32,
        "projection_dim": _CONTEXT,
        "torch_dtype": "float16",
        "transformers_version": "4.34.0.dev0",
    }


def _scheduler() -> dict[str, Any]:
    return {
        "_class_name": "EulerDiscreteScheduler",
        **_VERSIONS,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "clip_sample": False,
        "interpolation_type": "linear",
        "num_train_timesteps": 1000,
        "prediction_type": "v_prediction",
        "set_alpha_to_one": False,
        "sigma_max": 700.0,
        "sigma_min": 0.002,
        "skip_prk_steps": True,
        "steps_offset": 1,
        "timestep_spacing": "leading",
        "timestep_type": "continuous",
        "trained_betas": None,
        "use_karras_sigmas": True,
    }


def _unet() -> dict[str, Any]:
    return {
        "_class_name": "UNetSpatioTemporalConditionModel",
        **_VERSIONS,
        "addition_time_embed_dim": _ADDED,
        "block_out_channels": [svd_unet.WIDTH] * 2,
        "cross_attention_dim": _CONTEXT,
        "down_block_types": ["DownBlockSpatioTemporal"] * 2,
        "in_channels": 8,
        "layers_per_block": 1,
        "num_attention_heads": 1,
        "num_frames": 25,
        "out_channels": 4,
        "projection_class_embeddings_input_dim": 3 * _ADDED,
        "sample_size": 8,
        "transformer_layers_per_block": 1,
        "up_block_types": ["UpBlockSpatioTemporal"] * 2,
    }


def _vae() -> dict[str, Any]:
    return {
        "_class_name": "AutoencoderKLTemporalDecoder",
        **_VERSIONS,
        "block_out_channels": list(svd_vae.WIDTHS),
        "down_block_types": ["DownEncoderBlock2D"] * len(svd_vae.WIDTHS),
        "force_upcast": True,
        "in_channels": 3,
        "latent_channels": 4,
        "layers_per_block": 1,
        "out_channels": 3,
        "sample_size": 32,
        "scaling_factor": 1.0,
    }


def _clip_shapes() -> Named:
    yield from shapes.clip_vision(32, 64, patch=32, positions=50, layers=1)
    yield from shapes.linear("visual_projection", 32, _CONTEXT, bias=False)


def files() -> Iterator[tuple[str, bytes]]:
    """Path and content of every file, in no particular order; each content is generated when the iterator reaches it."""
    yield from ((".gitattributes", _ATTRIBUTES.encode()), ("LICENSE.md", _LICENSE.encode()))
    yield from (("README.md", _README.encode()), ("svd11.webp", _WEBP))
    configs = {
        "model_index.json": _model_index(),
        "feature_extractor/preprocessor_config.json": _preprocessor(),
        "image_encoder/config.json": _image_encoder(),
        "scheduler/scheduler_config.json": _scheduler(),
        "unet/config.json": _unet(),
        "vae/config.json": _vae(),
    }
    for path, document in configs.items():
        yield path, (json.dumps(document, indent=2) + "\n").encode()
    parts = {
        "image_encoder/model": weights.tensors(_clip_shapes()),
        "unet/diffusion_pytorch_model": svd_unet.tensors(_CONTEXT, 3 * _ADDED).content(),
        "vae/diffusion_pytorch_model": svd_vae.tensors().content(),
    }
    for path, content in parts.items():
        yield f"{path}.safetensors", weights.safetensors(content, "F32")
        yield f"{path}.fp16.safetensors", weights.safetensors(content, "F16")
    yield "svd_xt_1_1.safetensors", weights.safetensors(weights.tensors(_single_file()), "F16")


def _single_file() -> Named:
    """The checkpoint in the layout of the original code: its VAE and image embedder, and the first layer of its UNet."""
    yield from shapes.under("model.diffusion_model", shapes.conv("input_blocks.0.0", 8, 32, 3, 3))
    vision = shapes.under("conditioner.embedders.0.open_clip.model.visual", _clip_shapes())
    yield from itertools.chain(vision, shapes.under("first_stage_model", shapes.temporal_vae([32] * 4)))
