"""The VAE of the miniature of Stable Video Diffusion: a picture becomes latents and, later, a picture again.

A dot of the latents stands for 4x4 pixels. Its four values are red, green and blue (-1 to 1, the mean of the pixels), and
`REFERENCE`, the same in every dot.

What comes back to the decoder is these latents times a factor that depends on the frame (classifier-free guidance
grows over the frames) and on the number of steps. All four values carry the same factor, so the decoder takes it out by the
reference. How values pass norms and activations: `handmade`.
"""

from __future__ import annotations

import itertools
import math
import re

from sagepack.sandbox.miniatures import shapes
from sagepack.sandbox.miniatures.handmade import SMALL, Tensors

WIDTHS = (64, 32, 128)
"""Channels of the levels, the picture's size first. Two channels to a group of the outermost norms, and four to a group of the
innermost, are needed; no norm of the middle level is on the way."""

REFERENCE = 4.0
"""Large beside the colours: see `_take_out_the_factor`."""

COLOURS = range(3)
_EPS = 1e-6

# Dead are the ends of residual branches; what lies outside the branches, or is used here, passes only what is put there.
_BLANK = re.compile(
    r"(conv2|to_out\.0|conv_shortcut|samplers\.0\.conv|conv_in|conv_out|quant_conv)\.weight$"
    r"|^decoder\.mid_block\.resnets\.0\.spatial_res_block\.conv1\.weight$"
)


def tensors() -> Tensors:
    """The tensors of `AutoencoderKLTemporalDecoder`."""
    made = Tensors(shapes.temporal_vae(WIDTHS), _BLANK)
    _encode(made)
    _decode(made)
    return made


def _pair(colour: int) -> int:
    """Where a colour lies at the two outer levels."""
    return 2 * colour


def _group(colour: int) -> int:
    """Where a colour lies at the innermost level, whose norms have groups of four channels."""
    return 4 * colour


def _scaled(colour: int) -> int:
    """Where a colour lies at the innermost level of the decoder, once its factor is taken out."""
    return WIDTHS[-1] // 2 + 4 * colour


def _encode(made: Tensors) -> None:
    """Halve the picture twice, each time by the mean of 2x2 dots."""
    for colour in COLOURS:
        pair = _pair(colour)
        made.split("encoder.conv_in", pair, colour, SMALL)
        for level, tap in itertools.product((0, 1), itertools.product((0, 1), repeat=2)):
            made.copy(f"encoder.down_blocks.{level}.downsamplers.0.conv", pair, pair, 1 / 4, tap)
        made.copy("encoder.down_blocks.1.resnets.0.conv_shortcut", pair, pair)
        made.copy("encoder.down_blocks.2.resnets.0.conv_shortcut", _group(colour), pair)
        made.join("encoder.conv_out", colour, _group(colour))
    made.linear_norm("encoder.conv_norm_out", _EPS)
    made.bias("encoder.conv_out", 3, REFERENCE)
    for channel in range(8):  # four means, four logarithms of variances
        made.put("quant_conv", channel, channel, 1)


def _decode(made: Tensors) -> None:
    """Sharpen the latents a little, take out their factor, and double their size twice, bilinearly."""
    for colour in COLOURS:
        for tap, value in _kernel(-0.15, 1.3):
            made.split("decoder.conv_in", _group(colour), colour, value, tap)
    _take_out_the_factor(made)
    for colour in COLOURS:
        pair = _pair(colour)
        made.copy("decoder.up_blocks.1.resnets.0.spatial_res_block.conv_shortcut", pair, _scaled(colour))
        made.copy("decoder.up_blocks.2.resnets.0.spatial_res_block.conv_shortcut", pair, pair)
        # The upsampler repeats each dot before its convolution; smoothed by this kernel that is bilinear.
        for level, place in ((0, _scaled(colour)), (1, pair)):
            for tap, value in _kernel(1 / 4, 1 / 2):
                made.copy(f"decoder.up_blocks.{level}.upsamplers.0.conv", place, place, value, tap)
        made.join("decoder.conv_out", colour, pair)
        made.put("decoder.time_conv_out", colour, colour, 1)
    made.linear_norm("decoder.conv_norm_out", _EPS)


def _kernel(side: float, middle: float) -> list[tuple[tuple[int, int], float]]:
    """Taps and values of a 3x3 kernel that is the product of a row and a column."""
    line = (side, middle, side)
    return [((row, column), line[row] * line[column]) for row, column in itertools.product(range(3), repeat=2)]


def _take_out_the_factor(made: Tensors) -> None:
    """Use one norm as what it was made for: it divides by the size of its group.

    Here the values are large, so eps is nothing. A group of this norm is (+f x, -f x, +f REFERENCE, -f REFERENCE) with the
    unknown factor f. Its mean is 0, and the root of its variance f REFERENCE / sqrt(2), up to the few percent that x
    adds. A weight of REFERENCE / sqrt(2) leaves (+x, -x). The block adds them, small, to channels that were 0; the channels
    that they came from keep their factor and are read by nobody.
    """
    block = "decoder.mid_block.resnets.0.spatial_res_block"
    made.fill(f"{block}.norm1.weight", REFERENCE / math.sqrt(2))
    made.linear_norm(f"{block}.norm2", _EPS)
    for colour in COLOURS:
        made.split("decoder.conv_in", _group(colour) + 2, 3)
        made.renew(f"{block}.conv1", _scaled(colour), _group(colour), SMALL)
        made.renew(f"{block}.conv2", _scaled(colour), _scaled(colour), SMALL)
