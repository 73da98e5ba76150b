"""The UNet of the miniature of Stable Video Diffusion: it answers with the picture, moved a little further in each frame.

The pipeline hands it noise (latents 0 to 3) and the encoded picture (latents 4 to 7), and takes its answer as the velocity v of
the diffusion. At the first step, where the noise's sigma is 700, v is the negative of the finished latents; so the UNet
answers with the picture times -LOUDNESS and never looks at the noise. Since it ignores it, steps at a middling sigma leave a
rest of the noise of size 1, which LOUDNESS makes invisible; the factors are taken out by the VAE. Classifier-free guidance asks once
more with latents of 0, whose answer is 0.

The picture moves at the outer level, and the number of the frame decides how far. It is known to the attention in the
middle alone, which makes of it **gates**: channels that are 1 while the position lies in a range, and 0 otherwise. They go
up to the outer level, where two blocks, the **stages**, hold the picture moved by each of their shifts and let the gates
choose. A stage shifts by few dots, since a convolution reaches only one: the first by up to two, the second by up to one.
"""

from __future__ import annotations

import itertools
import math
import re
from typing import NamedTuple

from sagepack.sandbox.miniatures import shapes
from sagepack.sandbox.miniatures.handmade import SMALL, Tensors
from sagepack.sandbox.miniatures.svd_vae import COLOURS, REFERENCE

WIDTH = 64
"""Channels of both levels: two to a group of the norms."""

LOUDNESS = 64.0
"""The rest of the noise is 1 / LOUDNESS of the picture's size."""

SWAY = 3.4
"""The position of a frame, in dots of the latents (4 pixels) to the right, is the integer next to SWAY * sin(0.316 * frame). Each of
the 25 frames is at least 0.17 away from where that integer changes, so half precision decides alike."""

_MASK = 3
"""Beside the colours 0 to 2: 1 inside of the picture, and 0 outside, where convolutions read their padding."""

_EPS, _EPS_OUT = 1e-6, 1e-5

# Dead are the ends of residual branches; what lies outside the branches, or is used here, passes only what is put there.
_BLANK = re.compile(
    r"(conv2|to_out\.0|net\.2|proj_in|proj_out|time_pos_embed\.linear_[12]|conv_shortcut|samplers\.0\.conv|conv_in|conv_out)\.weight$"
    r"|^up_blocks\.1\.resnets\.[01]\.spatial_res_block\.(conv1|time_emb_proj)\.weight$"
)


class Gate(NamedTuple):
    """A pair of channels that is (1, -1) while a frame's position lies in a range, and 0 otherwise.

    Attributes:
        pair: where it lies, from the middle of the UNet up to the stages.
        shift: by how many dots the picture moves to the right while the gate is open.
        low: the first position of the range, None if there is none.
        high: the last one.
    """

    pair: int
    shift: int
    low: int | None
    high: int | None


FIRST_STAGE = (
    Gate(8, -2, None, -2),
    Gate(10, -1, -1, -1),
    Gate(12, 0, 0, 0),
    Gate(14, 1, 1, 1),
    Gate(16, 2, 2, None),
)
SECOND_STAGE = (Gate(18, -1, None, -3), Gate(20, 0, -2, 2), Gate(22, 1, 3, None))
"""What the first stage leaves of positions beyond its own."""


def tensors(context: int, added: int) -> Tensors:
    """The tensors of `UNetSpatioTemporalConditionModel`; for the parameters see `shapes.unet`."""
    made = Tensors(shapes.unet(WIDTH, context, added), _BLANK)
    for value in (*COLOURS, _MASK):
        made.split("conv_in", _pair(value), 4 + value, SMALL / REFERENCE if value == _MASK else SMALL)
    _open_gates(made)
    _first_stage(made)
    _second_stage(made)
    made.linear_norm("conv_norm_out", _EPS_OUT)
    for value in (*COLOURS, _MASK):
        made.join("conv_out", value, _pair(value), -LOUDNESS * (REFERENCE if value == _MASK else 1))
    return made


def _pair(value: int) -> int:
    """Where a colour or the mask lies at the outer level."""
    return 2 * value


def _skipped(pair: int) -> int:
    """Where a stage reads a pair of the unmoved picture: after the channels from below come those that skipped the inner level."""
    return WIDTH + pair


def _open_gates(made: Tensors) -> None:
    """Make the gates of the frame's number, in the middle, and take them up to the stages.

    The attention adds an embedding of the frame's number between its spatial and its temporal part: two linear layers with
    SiLU between them, over sines and cosines of the number. Everything else in it is dead.

    The first layer makes **steps**, two rows for each place where the position changes. Of a sum u that is far above or far
    below 0, the rows are SiLU(u + 8) and SiLU(u - 8): their difference is 16 above and 0 below. The second layer adds steps up.
    """
    at = "mid_block.attentions.0"
    first, second = f"{at}.time_pos_embed.linear_1", f"{at}.time_pos_embed.linear_2"
    sine = WIDTH // 2 + 4  # after the cosines; the fourth has the frequency 10000 ** (-4 / 32) = 0.316
    steepness, apart = 256.0, 16.0
    steps = {position: 2 * number for number, position in enumerate(range(-2, 4))}
    for position, row in steps.items():
        threshold = steepness * (position - 1 / 2) / SWAY
        for output, shift in ((row, apart / 2), (row + 1, -apart / 2)):
            made.put(first, output, sine, steepness)
            made.bias(first, output, shift - threshold)
    for gate in (*FIRST_STAGE, *SECOND_STAGE):
        if gate.low is None:
            made.bias(second, gate.pair, 1)
            made.bias(second, gate.pair + 1, -1)
        else:
            made.renew(second, gate.pair, steps[gate.low], 1 / apart)
        if gate.high is not None:
            made.renew(second, gate.pair, steps[gate.high + 1], -1 / apart)
        made.copy(f"{at}.proj_out", gate.pair, gate.pair, SMALL)
        for number in (0, 1):
            made.copy(f"up_blocks.0.resnets.{number}.spatial_res_block.conv_shortcut", gate.pair, gate.pair)
        made.copy("up_blocks.0.upsamplers.0.conv", gate.pair, gate.pair)
    made.fill(f"{at}.time_mixer.mix_factor", -20)  # the temporal part alone: sigmoid(-20) of the spatial one


class Read(NamedTuple):
    """What a row takes: a pair, from the dot beside by `column`, -1 to 1."""

    pair: int
    column: int = 0

    @property
    def tap(self) -> tuple[int, int]:
        """The place in the kernel."""
        return 1, 1 + self.column


class _Stage:
    """A residual block that moves the picture: its gates choose between rows.

    A row is one value between the two convolutions: x + LIFT, with x from -1 to 1, while its gate is open, and
    x + LIFT - DROP otherwise. There SiLU is almost the identity, and almost 0. The second convolution adds up the rows
    of a colour, whatever their gates are, and subtracts rows with the same gates and x = 0: what remains is the x of the open gate.
    """

    LIFT, DROP = 7.0, 18.0

    def __init__(self, made: Tensors, number: int) -> None:
        self._made = made
        self._at = f"up_blocks.1.resnets.{number}.spatial_res_block"
        self._rows = itertools.count(0, 2)
        made.linear_norm(f"{self._at}.norm1", _EPS)
        made.linear_norm(f"{self._at}.norm2", _EPS)
        # LIFT is not quite small: it makes the norm divide by a little more than sqrt(eps).
        self._gain = math.sqrt(1 + (SMALL * self.LIFT) ** 2 / _EPS)

    def row(self, gate: Gate, x: Read | None = None, covered: Read | None = None) -> int:
        """A new row; like every value before a norm it is a pair.

        Args:
            gate: opens it.
            x: what it holds, None for 0.
            covered: closes it where this is 1.
        """
        row = next(self._rows)
        terms = [(Read(gate.pair), self.DROP)]
        if x:
            terms.append((x, 1))
        if covered:
            terms.append((covered, -self.DROP))
        for output, sign in ((row, SMALL), (row + 1, -SMALL)):
            self._made.bias(f"{self._at}.conv1", output, sign * (self.LIFT - self.DROP))
            for read, factor in terms:
                self._made.join(f"{self._at}.conv1", output, read.pair, sign * factor, read.tap)
        return row

    def add(self, value: int, row: int, zero: int, column: int = 0) -> None:
        """Add a row to a colour or the mask, less the row with the same gates that holds 0.

        Only the first channel of each is read: SiLU has made 0 of the other one.
        """
        for output, sign in ((_pair(value), SMALL), (_pair(value) + 1, -SMALL)):
            tap = Read(row, column).tap
            self._made.put(f"{self._at}.conv2", output, row, sign * self._gain, tap)
            self._made.put(f"{self._at}.conv2", output, zero, -sign * self._gain, tap)

    def keep(self, target: int, pair: int) -> None:
        """Let the block pass a pair on beside what it makes."""
        self._made.copy(f"{self._at}.conv_shortcut", target, pair)


def _first_stage(made: Tensors) -> None:
    """Move colours and mask by up to two dots: one by each convolution."""
    stage = _Stage(made, 0)
    for gate in FIRST_STAGE:
        step = max(-1, min(1, gate.shift))
        rest, zero = gate.shift - step, stage.row(gate)
        for value in (*COLOURS, _MASK):
            stage.add(value, stage.row(gate, Read(_skipped(_pair(value)), -step)), zero, -rest)
    for gate in SECOND_STAGE:
        stage.keep(gate.pair, gate.pair)


def _second_stage(made: Tensors) -> None:
    """Move the colours by one dot more, and show the unmoved picture where the moved one has left the edge free.

    The mask, moved with the picture, is 0 there. What goes out is the unmoved mask: the reference of the latents.
    """
    stage = _Stage(made, 1)
    for gate in SECOND_STAGE:
        moved = Read(_pair(_MASK), -gate.shift)
        zero, zero_at_edge = stage.row(gate), stage.row(gate, covered=moved)
        for colour in COLOURS:
            stage.add(colour, stage.row(gate, Read(_pair(colour), -gate.shift)), zero)
            still = Read(_skipped(_pair(colour)))
            stage.add(colour, stage.row(gate, still, covered=moved), zero_at_edge)
    stage.keep(_pair(_MASK), _skipped(_pair(_MASK)))
