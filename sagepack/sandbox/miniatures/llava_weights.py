"""The weights of LLaVA's miniature: it says which colours are above and below in the picture, in one sentence.

How the colours get from the pixels to the words:

1. The vision tower makes of each patch of the picture its mean colour (red, green and blue from -1 to 1), and adds whether
   the patch lies in the upper half.
2. The projector turns that into the embedding of an image token.
3. One layer of attention: whatever token comes last looks at all patches of the upper half with one head, and at those of the
   lower half with another, and adds the mean colours of both to itself.
4. The head scores every phrase of `PHRASES` by how near its colour is. Which phrases may come next is decided by the token
   that came last, through its embedding: the beginning of the sentence after any text, then a phrase of the upper half, then
   one of the lower half, then the end.

Every norm on the way divides by the size of what it gets. Beside a constant of size `LARGE` in the same vector the rest hardly
changes that size, so the norm is a constant factor. All other layers do nothing; see `handmade`.
"""

from __future__ import annotations

import itertools
import math
import re
from typing import TYPE_CHECKING

from sagepack.sandbox.miniatures import shapes
from sagepack.sandbox.miniatures.handmade import Tensors

if TYPE_CHECKING:
    from sagepack.sandbox.miniatures.shapes import Named

COLOURS = {
    "black": (20, 20, 20),
    "dark grey": (75, 75, 75),
    "grey": (128, 128, 128),
    "light grey": (190, 190, 190),
    "white": (240, 240, 240),
    "red": (190, 60, 55),
    "dark red": (110, 35, 35),
    "pink": (225, 150, 180),
    "orange": (225, 140, 60),
    "brown": (120, 85, 55),
    "beige": (215, 195, 160),
    "yellow": (230, 210, 80),
    "light green": (160, 205, 145),
    "green": (90, 155, 85),
    "dark green": (40, 90, 50),
    "turquoise": (80, 180, 175),
    "light blue": (140, 180, 225),
    "blue": (65, 105, 190),
    "dark blue": (30, 45, 105),
    "purple": (120, 70, 155),
}
"""A little paler than the words say: so is the mean of a patch."""

OPENING = "The picture is"
PHRASES = (OPENING, *(f" {colour} above" for colour in COLOURS), *(f" and {colour} below." for colour in COLOURS))
"""Tokens of the vocabulary, in this order."""

WIDTH, MIDDLE, LAYERS, HEADS = 32, 64, 2, 4
"""Of both the vision tower and the language model."""

PIXELS, PATCH = 56, 14
"""Width and height of a picture and of a patch."""

MEANS, DEVIATIONS = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
"""The processor subtracts the first from red, green and blue (0 to 1), and divides by the second."""

END, FIRST_BYTE = 2, 3
FIRST_PHRASE = FIRST_BYTE + 256
IMAGE = FIRST_PHRASE + len(PHRASES)
PADDING = IMAGE + 1
VOCABULARY = PADDING + 1
"""The tokens: <unk>, <s>, </s>, 256 bytes, the phrases, and those that the tokenizer adds, which must be the last."""

ROTATION = 1e6
"""`rope_theta` of the language model, as in models with long contexts: the slowest rotation is 1e6 ** -0.75 a token."""

LARGE = 16.0
_HUE = 4.0

_ALLOWED = 20.0
"""More than nearness ever makes: a phrase whose turn it is comes before all others."""

_GAIN = 32.0
"""So large that a temperature of 1 hardly ever takes another colour; not larger, for the precision of float16."""

# Channels of a patch in the vision tower: pairs, since its norms subtract the mean.
_PAIRS = (0, 2, 4)  # red, green, blue
_UPPER_PAIR, _LARGE_PAIR = 6, 8  # 1 in the upper half and -1 in the lower one; LARGE

# Channels of a token in the language model.
_COLOUR = (0, 1, 2)  # of a patch
_UPPER, _LOWER = 3, 4  # 1 for a patch of that half
_LARGE = 5  # LARGE, in all tokens
_AFTER_TEXT, _AFTER_OPENING, _AFTER_UPPER, _AFTER_LOWER = 6, 7, 8, 9  # 1 for a token of that kind
_COLOUR_ABOVE, _COLOUR_BELOW = (10, 11, 12), (13, 14, 15)  # what the attention adds

_TOWER, _MODEL = "vision_tower.vision_model", "language_model.model"

# Dead are the ends of residual branches; what is used passes only what is put there.
_BLANK = re.compile(
    r"(out_proj|fc2|o_proj|down_proj|patch_embedding|position_embedding|embed_tokens|lm_head)\.weight$"
    r"|^multi_modal_projector\.linear_[12]\.weight$"
    r"|^language_model\.model\.layers\.0\.self_attn\.[qkv]_proj\.weight$"
)


def tensors() -> Tensors:
    """The tensors of `LlavaForConditionalGeneration`."""
    made = Tensors(_named(), _BLANK)
    _see(made)
    _project(made)
    _look(made)
    _speak(made)
    return made


def _named() -> Named:
    yield from shapes.under("language_model", shapes.llama(WIDTH, MIDDLE, LAYERS, VOCABULARY))
    yield from shapes.linear("multi_modal_projector.linear_1", WIDTH, WIDTH)
    yield from shapes.linear("multi_modal_projector.linear_2", WIDTH, WIDTH)
    positions = (PIXELS // PATCH) ** 2 + 1
    yield from shapes.under("vision_tower", shapes.clip_vision(WIDTH, MIDDLE, PATCH, positions, LAYERS))


def _see(made: Tensors) -> None:
    """The mean colour of each patch, -1 to 1, and its half.

    A value v of the processor is a colour of 2 * (deviation * v + mean) - 1. Its constant part is in the embedding of the position.
    """
    at = f"{_TOWER}.embeddings"
    for colour, pair in enumerate(_PAIRS):
        for tap in itertools.product(range(PATCH), repeat=2):
            made.split(f"{at}.patch_embedding", pair, colour, 2 * DEVIATIONS[colour] / PATCH**2, tap)
    patches = (PIXELS // PATCH) ** 2
    for number in range(patches):
        constants = {pair: 2 * MEANS[colour] - 1 for colour, pair in enumerate(_PAIRS)}
        constants |= {_UPPER_PAIR: 1 if number < patches // 2 else -1, _LARGE_PAIR: LARGE}
        for pair, value in constants.items():
            for channel, sign in ((pair, 1), (pair + 1, -1)):
                made.put(f"{at}.position_embedding", number + 1, channel, sign * value)  # 0 is the class's
    made.fill(f"{_TOWER}.pre_layrnorm.weight", LARGE * math.sqrt(2 / WIDTH))


def _project(made: Tensors) -> None:
    """A patch becomes a token. Between the two layers is GELU, for which the same holds as for SiLU: gelu(x) - gelu(-x) = x."""
    first, second = "multi_modal_projector.linear_1", "multi_modal_projector.linear_2"
    for pair in (*_PAIRS, _UPPER_PAIR, _LARGE_PAIR):
        made.copy(first, pair, pair)
    for channel, pair in (*zip(_COLOUR, _PAIRS, strict=True), (_LARGE, _LARGE_PAIR)):
        made.join(second, channel, pair)
    for channel, sign in ((_UPPER, 1), (_LOWER, -1)):  # from 1 and -1 to 1 and 0
        made.join(second, channel, _UPPER_PAIR, sign / 2)
        made.bias(second, channel, 1 / 2)


def _look(made: Tensors) -> None:
    """Two heads: one takes the mean of the upper patches' colours, the other that of the lower ones'.

    The score of a token is `sharpness` if it is a patch of the head's half, else 0. It stands where the embedding of positions turns
    slowest: with `ROTATION` not even 4,096 tokens turn it noticeably.
    """
    at, sharpness = f"{_MODEL}.layers.0.self_attn", 30.0
    head_width = WIDTH // HEADS
    size = math.sqrt(sharpness * math.sqrt(head_width))  # of query and key: attention divides by the root of the width
    for head, (half, target) in enumerate(((_UPPER, _COLOUR_ABOVE), (_LOWER, _COLOUR_BELOW))):
        first = head * head_width
        slowest = first + head_width // 2 - 1
        made.put(f"{at}.q_proj", slowest, _LARGE, size / LARGE)
        made.put(f"{at}.k_proj", slowest, half, size)
        for number, (colour, mean) in enumerate(zip(_COLOUR, target, strict=True)):
            made.put(f"{at}.v_proj", first + number, colour, 1)
            made.put(f"{at}.o_proj", mean, first + number, 1)
    for norm in ("layers.0.input_layernorm", "norm"):
        made.fill(f"{_MODEL}.{norm}.weight", LARGE / math.sqrt(WIDTH))


def _speak(made: Tensors) -> None:
    """Phrases by kind, and within a kind by colour."""
    embedding, head = f"{_MODEL}.embed_tokens", "language_model.lm_head"
    upper = range(FIRST_PHRASE + 1, FIRST_PHRASE + 1 + len(COLOURS))
    lower = range(upper.stop, upper.stop + len(COLOURS))
    kinds = {FIRST_PHRASE: _AFTER_OPENING} | dict.fromkeys(upper, _AFTER_UPPER) | dict.fromkeys(lower, _AFTER_LOWER)
    for token in range(VOCABULARY):
        made.put(embedding, token, _LARGE, LARGE)
        made.put(embedding, token, kinds.get(token, _AFTER_TEXT), 1)
    for token, kind in ((FIRST_PHRASE, _AFTER_TEXT), (END, _AFTER_LOWER)):
        made.put(head, token, kind, _GAIN * _ALLOWED)
    for tokens, kind, mean in ((upper, _AFTER_OPENING, _COLOUR_ABOVE), (lower, _AFTER_UPPER, _COLOUR_BELOW)):
        for token, values in zip(tokens, COLOURS.values(), strict=True):
            made.put(head, token, kind, _GAIN * _ALLOWED)
            weights, constant = _nearness(values)
            made.put(head, token, _LARGE, _GAIN * constant / LARGE)
            for channel, weight in zip(mean, weights, strict=True):
                made.put(head, token, channel, _GAIN * weight)


def _nearness(values: tuple[int, int, int]) -> tuple[list[float], float]:
    """How near a colour x is to this one, p: weights of x and a constant.

    |x|^2 - |x - p|^2 = 2 p.x - |p|^2 is largest where the distance is least, and linear in x. In the distance, what makes two
    colours differ in hue counts `_HUE` times what makes them differ in brightness.
    """
    colour = [value / 127.5 - 1 for value in values]
    brightness = sum(colour) / 3
    stretched = [_HUE * value + (1 - _HUE) * brightness for value in colour]
    return [2 * value for value in stretched], -sum(one * two for one, two in zip(colour, stretched, strict=True))
