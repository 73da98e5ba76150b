"""The hand-made weights of Stable Video Diffusion's miniature, as far as plain Python can follow them."""

from __future__ import annotations

import hashlib
import json
import math
import struct
from functools import cache, partial
from operator import mul
from typing import TYPE_CHECKING

import pytest

from sagepack.sandbox.miniatures import svd, svd_unet, svd_vae
from tests.helpers import safetensors

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

POSITIONS = [0, 1, 2, 3, 3, 3, 3, 3, 2, 1, 0, -1, -2, -3, -3, -3, -3, -3, -2, -1, 0, 1, 2, 3, 3]
"""Of the 25 frames, in dots of 4 pixels to the right."""

SHAPES = {
    "unet": "0287b85d868091f9efa62a14f95816feece30c8c2cb9440d57cbf70ede724cc0",
    "vae": "4248b0a97c814702352b797e7b127715a6a6572ba66087dbccba58c6684ee42a",
}
"""SHA-256 of the names and shapes that diffusers 0.33.1 makes of the configuration; tests/slow/test_miniatures.py asks it."""


@cache
def weights(part: str) -> bytes:
    return dict(svd.files())[f"{part}/diffusion_pytorch_model.fp16.safetensors"]


def exact(value: float) -> float:
    return value


def half(value: float) -> float:
    """Rounded to half precision."""
    return float(struct.unpack("<e", struct.pack("<e", value))[0])


def silu(value: float) -> float:
    return value / (1 + math.exp(-value)) if value > -700 else 0.0


@cache
def layer(name: str) -> list[tuple[tuple[float, ...], float]]:
    """Weights and bias of each output of a fully connected layer of the UNet."""
    read = partial(safetensors.read, weights("unet"))
    return list(zip(read(f"{name}.weight").rows(), read(f"{name}.bias").values, strict=True))


def linear(name: str, inputs: Sequence[float], rounded: Callable[[float], float]) -> list[float]:
    """What a fully connected layer of the UNet makes."""
    return [rounded(sum(map(mul, row, inputs)) + bias) for row, bias in layer(name)]


def embedding(frame: int, rounded: Callable[[float], float]) -> list[float]:
    """The gates' layers on cosines and sines of the frame's number, as `TransformerSpatioTemporalModel` computes them."""
    half_width = svd_unet.WIDTH // 2
    angles = [frame * 10000 ** (-number / half_width) for number in range(half_width)]
    waves = [rounded(math.cos(angle)) for angle in angles] + [rounded(math.sin(angle)) for angle in angles]
    at = "mid_block.attentions.0.time_pos_embed"
    hidden = [rounded(silu(value)) for value in linear(f"{at}.linear_1", waves, rounded)]
    return linear(f"{at}.linear_2", hidden, rounded)


@pytest.mark.parametrize("rounded", [exact, half], ids=["single", "half"])
def test_in_each_frame_one_gate_of_each_stage_is_open_and_the_shifts_add_up_to_its_position(
    rounded: Callable[[float], float],
) -> None:
    for frame, position in enumerate(POSITIONS):
        values, shift = embedding(frame, rounded), 0
        for stage in (svd_unet.FIRST_STAGE, svd_unet.SECOND_STAGE):
            for gate in stage:
                value = values[gate.pair]
                assert values[gate.pair + 1] == pytest.approx(-value, abs=1e-3)
                assert min(abs(value), abs(1 - value)) < 0.01, (frame, gate)
            (opened,) = (gate for gate in stage if values[gate.pair] > 1 / 2)
            shift += opened.shift
        assert shift == position, frame


def test_a_position_is_the_sway_of_the_frame_to_the_next_integer() -> None:
    sway = [svd_unet.SWAY * math.sin(0.316 * frame) for frame in range(len(POSITIONS))]
    assert [round(place) for place in sway] == POSITIONS
    assert all(abs(abs(place - round(place)) - 1 / 2) > 0.1 for place in sway)


@pytest.mark.parametrize("part", ["unet", "vae"])
def test_tensors_and_shapes_are_those_that_diffusers_expects(part: str) -> None:
    header, _ = safetensors.parse(weights(part))
    shapes = {name: tensor["shape"] for name, tensor in header.items()}
    assert hashlib.sha256(json.dumps(shapes, sort_keys=True).encode()).hexdigest() == SHAPES[part]


BLOCK = "spatial_res_block"
PAIRED = (
    ("vae", "encoder.conv_in"),
    ("vae", "decoder.conv_in"),
    ("vae", f"decoder.mid_block.resnets.0.{BLOCK}.conv1"),
    ("vae", f"decoder.mid_block.resnets.0.{BLOCK}.conv2"),
    ("unet", "conv_in"),
    ("unet", f"up_blocks.1.resnets.0.{BLOCK}.conv1"),
    ("unet", f"up_blocks.1.resnets.0.{BLOCK}.conv2"),
    ("unet", f"up_blocks.1.resnets.1.{BLOCK}.conv1"),
    ("unet", f"up_blocks.1.resnets.1.{BLOCK}.conv2"),
)


@pytest.mark.parametrize(("part", "layer"), PAIRED)
def test_what_goes_into_a_norm_comes_in_pairs(part: str, layer: str) -> None:
    """Else the norm would take a part of it away."""
    made, biases = (safetensors.read(weights(part), f"{layer}.{name}") for name in ("weight", "bias"))
    rows = made.rows()
    assert any(map(any, rows))
    for even, odd in zip(range(0, len(rows), 2), range(1, len(rows), 2), strict=True):
        assert rows[even] == tuple(-value for value in rows[odd])
        assert biases.values[even] == -biases.values[odd]


def test_the_decoder_doubles_the_size_without_a_change_of_brightness() -> None:
    for level in range(len(svd_vae.WIDTHS) - 1):
        rows = safetensors.read(weights("vae"), f"decoder.up_blocks.{level}.upsamplers.0.conv.weight").rows()
        assert sorted({sum(row) for row in rows}) == [0, 1]
