"""Pictures as pixels, and a judgement of frames that should show a picture which moves."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from tests.helpers import handlers

if TYPE_CHECKING:
    from collections.abc import Sequence

_DECODE = """
import base64, io, json, sys
from PIL import Image
files, size = json.load(sys.stdin)
pictures = [Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB") for text in files]
pictures = [picture.resize(size or picture.size, Image.Resampling.LANCZOS) for picture in pictures]
print(json.dumps([(*picture.size, base64.b64encode(picture.tobytes()).decode()) for picture in pictures]))
"""


class Colour(NamedTuple):
    """Values from 0 to 255."""

    red: float
    green: float
    blue: float

    def __str__(self) -> str:
        return "/".join(f"{value:.0f}" for value in self)


@dataclass(frozen=True)
class Picture:
    """RGB pixels, row by row."""

    width: int
    height: int
    pixels: bytes

    def mean(self, left: int, top: int, width: int, height: int) -> Colour:
        """The mean colour of a part."""
        start, end = 3 * left, 3 * (left + width)
        rows = [self.pixels[3 * self.width * row :][start:end] for row in range(top, top + height)]
        return Colour(*(sum(sum(row[channel::3]) for row in rows) / (width * height) for channel in range(3)))

    def quadrants(self) -> dict[str, Colour]:
        """The mean colours of the four quarters."""
        width, height = self.width // 2, self.height // 2
        corners = {"top left": (0, 0), "top right": (1, 0), "bottom left": (0, 1), "bottom right": (1, 1)}
        return {name: self.mean(x * width, y * height, width, height) for name, (x, y) in corners.items()}

    def moved(self, right: int) -> Picture:
        """Moved to the right; the edge that this leaves free shows the unmoved picture."""
        line = 3 * self.width
        rows = [self.pixels[start : start + line] for start in range(0, len(self.pixels), line)]
        gap = 3 * right
        return Picture(self.width, self.height, b"".join(row[:gap] + row[: line - gap] for row in rows))

    def distance(self, other: Picture) -> float:
        """The mean difference of the values, 0 to 255."""
        assert (self.width, self.height) == (other.width, other.height)
        total = sum(abs(one - two) for one, two in zip(self.pixels, other.pixels, strict=True))
        return total / len(self.pixels)


def decoded(files: Sequence[str], size: tuple[int, int] | None = None) -> list[Picture]:
    """Pictures in base64, of any format that PIL reads, at their own size or another width and height."""
    found = json.loads(handlers.run(["-c", _DECODE], json.dumps([list(files), size]), {}))
    return [Picture(width, height, base64.b64decode(pixels)) for width, height, pixels in found]


def faults(still: Picture, frames: Sequence[Picture], moves: Sequence[int]) -> list[str]:
    """What keeps frames from being those of a picture that moves: nothing, if all is well.

    Args:
        still: the picture, at the frames' size.
        frames: in order.
        moves: by how many pixels each of them should be moved to the right.
    """
    found = []
    for name, wanted in still.quadrants().items():
        seen = frames[0].quadrants()[name]
        if max(abs(one - two) for one, two in zip(seen, wanted, strict=True)) > 10:
            found.append(f"frame 0: {name} is {seen}, not {wanted}")
    for number, (frame, pixels) in enumerate(zip(frames, moves, strict=True)):
        distances = {move: frame.distance(still.moved(move)) for move in sorted({0, 4, 8, 12, pixels})}
        nearest = min(distances, key=lambda move: distances[move])
        if nearest != pixels or distances[nearest] > 15:
            found.append(
                f"frame {number}: nearest to a move of {nearest}, by {distances[nearest]:.1f}, not of {pixels}"
            )
    return found
