"""The hand-made weights of LLaVA's miniature, followed in plain Python from the pixels to the words."""

from __future__ import annotations

import itertools
import json
import math
from functools import cache
from operator import mul
from typing import TYPE_CHECKING

import pytest

from sagepack.sandbox.miniatures import llava, llava_weights
from sagepack.sandbox.miniatures.llava_weights import COLOURS, END, FIRST_PHRASE, HEADS, MEANS, PHRASES, WIDTH
from tests.helpers import safetensors

if TYPE_CHECKING:
    from collections.abc import Sequence

Colour = tuple[int, int, int]
Vector = list[float]
COLON = llava_weights.FIRST_BYTE + ord(":")
"""The last token of the prompt."""

TOWER, MODEL = "vision_tower.vision_model", "language_model.model"
DEAD = ("out_proj.weight", "fc2.weight", "o_proj.weight", "down_proj.weight")
LOOKS = f"{MODEL}.layers.0.self_attn"


@cache
def tensors() -> dict[str, safetensors.Tensor]:
    files = dict(llava.files())
    places: dict[str, str] = json.loads(files["model.safetensors.index.json"])["weight_map"]
    return {name: safetensors.read(files[path], name) for name, path in places.items()}


def linear(name: str, inputs: Sequence[float]) -> Vector:
    found = tensors()
    rows = found[f"{name}.weight"].rows()
    biases = found[f"{name}.bias"].values if f"{name}.bias" in found else (0,) * len(rows)
    return [sum(map(mul, row, inputs)) + bias for row, bias in zip(rows, biases, strict=True)]


def layer_norm(name: str, vector: Vector) -> Vector:
    mean = sum(vector) / len(vector)
    size = math.sqrt(sum((value - mean) ** 2 for value in vector) / len(vector) + 1e-5)
    return [weight * (value - mean) / size for weight, value in zip(tensors()[name].values, vector, strict=True)]


def rms_norm(name: str, vector: Vector) -> Vector:
    size = math.sqrt(sum(value**2 for value in vector) / len(vector) + 1e-5)
    return [weight * value / size for weight, value in zip(tensors()[name].values, vector, strict=True)]


def gelu(value: float) -> float:
    return value * (1 + math.erf(value / math.sqrt(2))) / 2


def image_token(position: int, colour: Colour) -> Vector:
    """The embedding of a patch of one colour."""
    found = tensors()
    inputs = [
        (value / 255 - mean) / deviation
        for value, mean, deviation in zip(colour, MEANS, llava_weights.DEVIATIONS, strict=True)
    ]
    taps = llava_weights.PATCH**2
    rows = found[f"{TOWER}.embeddings.patch_embedding.weight"].rows()
    seen = [sum(sum(row[taps * at : taps * (at + 1)]) * inputs[at] for at in range(3)) for row in rows]
    place = found[f"{TOWER}.embeddings.position_embedding.weight"].rows()[position]
    patch = layer_norm(f"{TOWER}.pre_layrnorm.weight", [one + two for one, two in zip(seen, place, strict=True)])
    hidden = [gelu(value) for value in linear("multi_modal_projector.linear_1", patch)]
    return linear("multi_modal_projector.linear_2", hidden)


def following(token: int, tokens: list[Vector]) -> int:
    """The token that the model says after `token`, which sees `tokens` and itself. Their positions hardly turn anything."""
    own = list(tensors()[f"{MODEL}.embed_tokens.weight"].rows()[token])
    normed = [rms_norm(f"{MODEL}.layers.0.input_layernorm.weight", vector) for vector in (*tokens, own)]
    query = linear(f"{LOOKS}.q_proj", normed[-1])
    keys, values = ([linear(f"{LOOKS}.{name}", vector) for vector in normed] for name in ("k_proj", "v_proj"))
    looked: Vector = []
    width = WIDTH // HEADS
    for start in range(0, WIDTH, width):
        part = slice(start, start + width)
        scores = [math.exp(sum(map(mul, query[part], key[part])) / math.sqrt(width)) for key in keys]
        looked += [
            sum(map(mul, scores, (value[at] for value in values))) / sum(scores) for at in range(start, start + width)
        ]
    hidden = [one + two for one, two in zip(own, linear(f"{LOOKS}.o_proj", looked), strict=True)]
    logits = linear("language_model.lm_head", rms_norm(f"{MODEL}.norm.weight", hidden))
    return logits.index(max(logits))


def said(above: Colour, below: Colour) -> str:
    """The answer to a picture of two colours."""
    tokens = [image_token(position, above if position <= 8 else below) for position in range(1, 17)]
    token, phrases = COLON, ""
    while (token := following(token, tokens)) != END:
        phrases += PHRASES[token - FIRST_PHRASE]
        assert len(phrases) < 100
    return phrases


@pytest.mark.parametrize(("above", "below"), list(itertools.pairwise((*COLOURS, "black")))[::3])
def test_the_answer_names_the_colours_of_both_halves_and_ends(above: str, below: str) -> None:
    assert said(COLOURS[above], COLOURS[below]) == f"The picture is {above} above and {below} below."


@pytest.mark.parametrize(
    ("colour", "word"), [((255, 0, 0), "red"), ((0, 255, 0), "green"), ((0, 0, 255), "blue"), ((255, 255, 0), "yellow")]
)
def test_a_bright_colour_is_named_by_the_pale_one_that_is_nearest(colour: Colour, word: str) -> None:
    assert said(colour, (255, 255, 255)) == f"The picture is {word} above and white below."


def test_every_layer_that_the_answer_does_not_pass_does_nothing() -> None:
    ends = {name for name in tensors() if name.endswith(DEAD)}
    alive = {name for name in ends if any(tensors()[name].values)}
    assert len(ends) == 2 * llava_weights.LAYERS * 2
    assert alive == {f"{LOOKS}.o_proj.weight"}


def test_no_text_of_a_question_is_encoded_as_a_phrase() -> None:
    """Byte-pair encoding makes tokens of more than one character by merges alone."""
    tokenizer = json.loads(dict(llava.files())["tokenizer.json"])
    assert tokenizer["model"]["merges"] == []
    assert [tokenizer["model"]["vocab"][phrase] for phrase in PHRASES] == list(
        range(FIRST_PHRASE, FIRST_PHRASE + len(PHRASES))
    )
    added = [token["id"] for token in tokenizer["added_tokens"] if token["id"] > END]
    assert added == [llava_weights.VOCABULARY - 2, llava_weights.VOCABULARY - 1]
