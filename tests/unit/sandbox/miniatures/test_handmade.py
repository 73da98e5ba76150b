"""The tricks by which hand-made weights pass nonlinear layers, in plain Python."""

from __future__ import annotations

import math
import re
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagepack.sandbox.miniatures.handmade import SMALL, Tensors

LAYER = [("layer.weight", (4, 4)), ("layer.bias", (4,)), ("conv.weight", (2, 2, 3, 3)), ("norm.weight", (4,))]
NOTHING, LAYERS = re.compile("$^"), re.compile(r"(layer|conv)\.weight")
values = st.floats(-4, 4)


def tensor(made: Tensors, name: str) -> list[float]:
    return [value for (value,) in struct.iter_unpack("<e", made.content()[name][1])]


def through(made: Tensors, inputs: list[float]) -> list[float]:
    """What `layer` makes."""
    weights = tensor(made, "layer.weight")
    return [math.fsum(weights[4 * row + at] * inputs[at] for at in range(4)) for row in range(4)]


def silu(value: float) -> float:
    return value / (1 + math.exp(-value))


def group_norm(group: list[float], weight: float, eps: float) -> list[float]:
    mean = math.fsum(group) / len(group)
    variance = math.fsum((value - mean) ** 2 for value in group) / len(group)
    return [weight * (value - mean) / math.sqrt(variance + eps) for value in group]


@given(values, values)
def test_a_norm_of_small_pairs_makes_them_large_and_changes_nothing_else(first: float, second: float) -> None:
    for eps in (1e-6, 1e-5):
        made = Tensors(LAYER, NOTHING)
        made.linear_norm("norm", eps)
        (weight, *_) = tensor(made, "norm.weight")
        pairs = [first, -first, second, -second]
        assert group_norm([SMALL * value for value in pairs], weight, eps) == pytest.approx(pairs, rel=2e-3, abs=1e-9)


@given(values)
def test_the_difference_of_a_pair_passes_silu_unchanged(value: float) -> None:
    made = Tensors(LAYER, LAYERS)
    made.renew("layer", 0, 2)
    made.join("layer", 2, 2, 1 / 2)
    inputs = [0.3, 0.4, silu(value), silu(-value)]
    assert through(made, inputs) == pytest.approx([value, -value, value / 2, 0], abs=1e-9)


def test_one_channel_becomes_a_pair_and_a_pair_is_copied() -> None:
    made = Tensors(LAYER, LAYERS)
    made.split("layer", 0, 3, 2)
    assert through(made, [0, 0, 0, 1.5]) == [3, -3, 0, 0]
    made = Tensors(LAYER, LAYERS)
    made.copy("layer", 2, 0)
    assert through(made, [1.5, -1.5, 7, 7]) == [0, 0, 1.5, -1.5]


def test_a_convolution_takes_the_middle_of_its_kernel_or_the_tap_that_is_named() -> None:
    made = Tensors(LAYER, LAYERS)
    made.put("conv", 0, 0, 1)
    made.put("conv", 1, 0, 2, tap=(0, 2))
    found = tensor(made, "conv.weight")
    assert {at: value for at, value in enumerate(found) if value} == {4: 1, 2 * 9 + 2: 2}


def test_what_is_not_blank_keeps_random_values_and_biases_of_zero() -> None:
    made = Tensors(LAYER, re.compile("conv"))
    assert all(tensor(made, "layer.weight"))
    assert not any(tensor(made, "layer.bias"))
    made.bias("layer", 3, 0.5)
    assert tensor(made, "layer.bias") == [0, 0, 0, 0.5]


@pytest.mark.parametrize("place", [(4, 0), (0, 4), (-1, 0)])
def test_a_place_outside_of_a_tensor_is_refused(place: tuple[int, int]) -> None:
    with pytest.raises(IndexError, match=r"layer\.weight has the shape \(4, 4\)"):
        Tensors(LAYER, NOTHING).put("layer", *place, 1)
