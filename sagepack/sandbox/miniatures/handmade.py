"""Weights that are written by hand instead of trained.

The real model classes let no layer be left out. So each layer that a miniature has no use for does nothing, and each
nonlinear layer that its values pass is made linear. What is used for that:

**Dead branches.** A residual block adds to its input what its last layer makes. If that layer is 0, the block is the
identity, whatever its other layers hold. They stay random, so that size and compressibility are those of a real model.

**Pairs.** A value x lies in two neighbouring channels as (+x, -x), which makes both of these linear:

- GroupNorm subtracts the mean of a group and divides by sqrt(variance + eps). The mean of a group of whole pairs is 0, so
  no value is lost. If the pair is small as well, (+SMALL x, -SMALL x), its variance is nothing beside eps: the norm
  divides by the constant sqrt(eps), and a weight of sqrt(eps) / SMALL gives (+x, -x) exactly. This needs two channels
  to a group, and the models have 32 groups: 64 channels are the fewest.
- SiLU is silu(x) = x sigmoid(x), and sigmoid(x) + sigmoid(-x) = 1. So silu(x) - silu(-x) = x.
"""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING

from sagepack.sandbox.miniatures import weights

if TYPE_CHECKING:
    import re
    from collections.abc import Iterable, Mapping

    from sagepack.sandbox.miniatures.shapes import Shape
    from sagepack.sandbox.miniatures.weights import Tensor

SMALL = 2.0**-16
"""Values of a few units times this have a variance of 1e-9 or less; the least eps of a norm is 1e-6. float16 has it exactly."""

Tap = tuple[int, ...]
"""A place in a convolution's kernel: row and column."""


class Tensors:
    """Tensors of float16 whose values are put one by one.

    A layer is named without `.weight`. A pair is named by the first of its two channels.
    """

    def __init__(self, named: Iterable[tuple[str, Shape]], blank: re.Pattern[str]) -> None:
        """The tensors that `blank` finds by name begin as 0, all others as `weights.half` makes them."""
        self._shapes = dict(named)
        self._values = {
            name: bytearray(2 * math.prod(shape)) if blank.search(name) else bytearray(weights.half(name, shape))
            for name, shape in self._shapes.items()
        }

    def content(self) -> Mapping[str, Tensor]:
        """Shape and values by name."""
        return {name: (shape, self._values[name]) for name, shape in self._shapes.items()}

    def fill(self, name: str, value: float) -> None:
        """Put the same value everywhere in a tensor."""
        self._values[name][:] = struct.pack("<e", value) * math.prod(self._shapes[name])

    def put(self, layer: str, output: int, source: int, value: float, tap: Tap | None = None) -> None:
        """Let channel `output` take `value` times channel `source`, by the middle of the kernel unless `tap` names another place."""
        shape = self._shapes[f"{layer}.weight"]
        middle = tuple(length // 2 for length in shape[2:])
        self._set(f"{layer}.weight", (output, source, *(tap or middle)), value)

    def bias(self, layer: str, output: int, value: float) -> None:
        """Add a constant to channel `output`."""
        self._set(f"{layer}.bias", (output,), value)

    def split(self, layer: str, pair: int, source: int, value: float = 1, tap: Tap | None = None) -> None:
        """One channel becomes a pair."""
        self.put(layer, pair, source, value, tap)
        self.put(layer, pair + 1, source, -value, tap)

    def join(self, layer: str, output: int, pair: int, value: float = 1, tap: Tap | None = None) -> None:
        """A pair becomes one channel: its difference. After a norm and SiLU that is x itself."""
        self.put(layer, output, pair, value, tap)
        self.put(layer, output, pair + 1, -value, tap)

    def renew(self, layer: str, target: int, pair: int, value: float = 1, tap: Tap | None = None) -> None:
        """A pair becomes a pair again, by its difference: what a layer after SiLU needs."""
        self.join(layer, target, pair, value, tap)
        self.join(layer, target + 1, pair, -value, tap)

    def copy(self, layer: str, target: int, pair: int, value: float = 1, tap: Tap | None = None) -> None:
        """Each channel of a pair is taken by itself: enough where no SiLU comes before."""
        self.put(layer, target, pair, value, tap)
        self.put(layer, target + 1, pair + 1, value, tap)

    def linear_norm(self, norm: str, eps: float) -> None:
        """Let a GroupNorm turn small pairs into pairs of full size, and do nothing else."""
        self.fill(f"{norm}.weight", math.sqrt(eps) / SMALL)

    def _set(self, name: str, index: tuple[int, ...], value: float) -> None:
        flat = 0
        for at, length in zip(index, self._shapes[name], strict=True):
            if not 0 <= at < length:
                raise IndexError(f"{name} has the shape {self._shapes[name]} and no {index}")
            flat = flat * length + at
        struct.pack_into("<e", self._values[name], 2 * flat, value)
