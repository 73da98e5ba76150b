"""Names and shapes of the tensors of the miniatures, layer by layer, as the real model classes name them.

The names are those of diffusers 0.33.1 and transformers 4.51.3. Functions with a parameter `at` yield (name, shape) pairs
whose names start with it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

Shape = tuple[int, ...]
Named = Iterator[tuple[str, Shape]]


def under(at: str, tensors: Iterable[tuple[str, Shape]]) -> Named:
    """`tensors`, with the prefix `at` before their names."""
    return ((f"{at}.{name}", shape) for name, shape in tensors)


def linear(at: str, inputs: int, outputs: int, *, bias: bool = True) -> Named:
    """A fully connected layer."""
    yield f"{at}.weight", (outputs, inputs)
    if bias:
        yield f"{at}.bias", (outputs,)


def conv(at: str, inputs: int, outputs: int, *kernel: int) -> Named:
    """A convolution with bias."""
    yield f"{at}.weight", (outputs, inputs, *kernel)
    yield f"{at}.bias", (outputs,)


def norm(at: str, width: int) -> Named:
    """A layer or group norm."""
    yield f"{at}.weight", (width,)
    yield f"{at}.bias", (width,)


def resnet(at: str, inputs: int, outputs: int, time: int = 0, kernel: Shape = (3, 3)) -> Named:
    """Two convolutions with norms, a projection of a time embedding of width `time` (0: none), and a 1x1 shortcut if the width changes."""
    yield from norm(f"{at}.norm1", inputs)
    yield from conv(f"{at}.conv1", inputs, outputs, *kernel)
    yield from norm(f"{at}.norm2", outputs)
    yield from conv(f"{at}.conv2", outputs, outputs, *kernel)
    if time:
        yield from linear(f"{at}.time_emb_proj", time, outputs)
    if inputs != outputs:
        yield from conv(f"{at}.conv_shortcut", inputs, outputs, 1, 1)


def spatio_temporal_resnet(at: str, inputs: int, outputs: int, time: int = 0) -> Named:
    """A residual block over space, one over time, and the factor that mixes them."""
    yield from resnet(f"{at}.spatial_res_block", inputs, outputs, time)
    yield from resnet(f"{at}.temporal_res_block", outputs, outputs, time, kernel=(3, 1, 1))
    yield f"{at}.time_mixer.mix_factor", (1,)


def attention(at: str, width: int, context: int, *, bias: bool = False) -> Named:
    """Queries over `width`, keys and values over `context`."""
    yield from linear(f"{at}.to_q", width, width, bias=bias)
    yield from linear(f"{at}.to_k", context, width, bias=bias)
    yield from linear(f"{at}.to_v", context, width, bias=bias)
    yield from linear(f"{at}.to_out.0", width, width)


def transformer(at: str, width: int, context: int, *, temporal: bool) -> Named:
    """Self-attention, cross-attention and a gated feed-forward; the temporal kind has one more feed-forward."""
    for number in (1, 2, 3):
        yield from norm(f"{at}.norm{number}", width)
    if temporal:
        yield from norm(f"{at}.norm_in", width)
    yield from attention(f"{at}.attn1", width, width)
    yield from attention(f"{at}.attn2", width, context)
    for layer in ("ff", "ff_in") if temporal else ("ff",):
        yield from linear(f"{at}.{layer}.net.0.proj", width, 8 * width)
        yield from linear(f"{at}.{layer}.net.2", 4 * width, width)


def spatio_temporal_transformer(at: str, width: int, context: int) -> Named:
    """The attention block of the UNet: over space, then over time."""
    yield from norm(f"{at}.norm", width)
    yield from linear(f"{at}.proj_in", width, width)
    yield from transformer(f"{at}.transformer_blocks.0", width, context, temporal=False)
    yield from transformer(f"{at}.temporal_transformer_blocks.0", width, context, temporal=True)
    yield from linear(f"{at}.time_pos_embed.linear_1", width, 4 * width)
    yield from linear(f"{at}.time_pos_embed.linear_2", 4 * width, width)
    yield f"{at}.time_mixer.mix_factor", (1,)
    yield from linear(f"{at}.proj_out", width, width)


def unet(width: int, context: int, added: int) -> Named:
    """`UNetSpatioTemporalConditionModel` of two equally wide levels, one layer per block, attention in the middle alone.

    Args:
        width: channels of both levels.
        context: width of the image embedding.
        added: width of the added time ids.
    """
    time = 4 * width
    yield from conv("conv_in", 8, width, 3, 3)
    for at, inputs in (("time_embedding", width), ("add_embedding", added)):
        yield from linear(f"{at}.linear_1", inputs, time)
        yield from linear(f"{at}.linear_2", time, time)
    for level in (0, 1):
        yield from spatio_temporal_resnet(f"down_blocks.{level}.resnets.0", width, width, time)
    yield from conv("down_blocks.0.downsamplers.0.conv", width, width, 3, 3)
    for number in (0, 1):
        yield from spatio_temporal_resnet(f"mid_block.resnets.{number}", width, width, time)
    yield from spatio_temporal_transformer("mid_block.attentions.0", width, context)
    # Going up, each block also takes what the way down left behind.
    for level, number in itertools.product((0, 1), (0, 1)):
        yield from spatio_temporal_resnet(f"up_blocks.{level}.resnets.{number}", width + width, width, time)
    yield from conv("up_blocks.0.upsamplers.0.conv", width, width, 3, 3)
    yield from norm("conv_norm_out", width)
    yield from conv("conv_out", width, 4, 3, 3)


def temporal_vae(widths: Sequence[int]) -> Named:
    """`AutoencoderKLTemporalDecoder`, one layer per block, four latent channels; its scale is 2 to the number of levels less one.

    Args:
        widths: channels of the levels, the one of the picture's size first.
    """
    first, last, lowest = widths[0], widths[-1], len(widths) - 1
    yield from conv("encoder.conv_in", 3, first, 3, 3)
    for level, (before, width) in enumerate(zip((first, *widths), widths, strict=False)):
        yield from resnet(f"encoder.down_blocks.{level}.resnets.0", before, width)
        if level < lowest:
            yield from conv(f"encoder.down_blocks.{level}.downsamplers.0.conv", width, width, 3, 3)
    for number in (0, 1):
        yield from resnet(f"encoder.mid_block.resnets.{number}", last, last)
    yield from _vae_attention("encoder", last)
    yield from norm("encoder.conv_norm_out", last)
    yield from conv("encoder.conv_out", last, 8, 3, 3)
    yield from conv("quant_conv", 8, 8, 1, 1)
    yield from conv("decoder.conv_in", 4, last, 3, 3)
    yield from spatio_temporal_resnet("decoder.mid_block.resnets.0", last, last)
    yield from _vae_attention("decoder", last)
    upward = tuple(reversed(widths))
    for level, (before, width) in enumerate(zip((last, *upward), upward, strict=False)):
        yield from spatio_temporal_resnet(f"decoder.up_blocks.{level}.resnets.0", before, width)
        yield from spatio_temporal_resnet(f"decoder.up_blocks.{level}.resnets.1", width, width)
        if level < lowest:
            yield from conv(f"decoder.up_blocks.{level}.upsamplers.0.conv", width, width, 3, 3)
    yield from norm("decoder.conv_norm_out", first)
    yield from conv("decoder.conv_out", first, 3, 3, 3)
    yield from conv("decoder.time_conv_out", 3, 3, 3, 1, 1)


def _vae_attention(at: str, width: int) -> Named:
    yield from norm(f"{at}.mid_block.attentions.0.group_norm", width)
    yield from attention(f"{at}.mid_block.attentions.0", width, width, bias=True)


def clip_vision(width: int, middle: int, patch: int, positions: int, layers: int) -> Named:
    """The vision tower of CLIP, below `vision_model`."""
    at = "vision_model"
    yield f"{at}.embeddings.class_embedding", (width,)
    yield f"{at}.embeddings.patch_embedding.weight", (width, 3, patch, patch)
    yield f"{at}.embeddings.position_embedding.weight", (positions, width)
    yield from norm(f"{at}.pre_layrnorm", width)  # [sic] in the original checkpoint
    for number in range(layers):
        layer = f"{at}.encoder.layers.{number}"
        for name in ("k_proj", "v_proj", "q_proj", "out_proj"):
            yield from linear(f"{layer}.self_attn.{name}", width, width)
        yield from norm(f"{layer}.layer_norm1", width)
        yield from linear(f"{layer}.mlp.fc1", width, middle)
        yield from linear(f"{layer}.mlp.fc2", middle, width)
        yield from norm(f"{layer}.layer_norm2", width)
    yield from norm(f"{at}.post_layernorm", width)


def llama(width: int, middle: int, layers: int, vocabulary: int) -> Named:
    """`LlamaForCausalLM` with as many key heads as query heads."""
    yield "model.embed_tokens.weight", (vocabulary, width)
    for number in range(layers):
        layer = f"model.layers.{number}"
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            yield from linear(f"{layer}.self_attn.{name}", width, width, bias=False)
        for name, inputs, outputs in (("gate", width, middle), ("up", width, middle), ("down", middle, width)):
            yield from linear(f"{layer}.mlp.{name}_proj", inputs, outputs, bias=False)
        yield f"{layer}.input_layernorm.weight", (width,)
        yield f"{layer}.post_attention_layernorm.weight", (width,)
    yield "model.norm.weight", (width,)
    yield "lm_head.weight", (vocabulary, width)
