"""How much memory a model needs, the instance type that has it, and how long SageMaker may take to fetch its files.

The memory of GPUs is that of `spec.rules.instances`; the memory of CPU instances is from AWS's list of instance types
(aws.amazon.com/ec2/instance-types/m5). docs/how-to/own-models.md shows the table to users.
"""

from __future__ import annotations

import math

from sagepack.decoding import Value
from sagepack.spec.rules import instances
from sagepack.text import format_bytes

OVERHEAD = 1.2
"""Memory for each byte of weights: the rest is CUDA's own, activations and caches."""
GPU_TYPES = ("ml.g5.2xlarge", "ml.g6e.2xlarge", "ml.p5.4xlarge")
"""Types with one GPU, which one worker can fill, smallest first."""
CPU_TYPES = {"ml.m5.xlarge": 16, "ml.m5.2xlarge": 32, "ml.m5.4xlarge": 64, "ml.m5.12xlarge": 192}
"""Types without a GPU, and their memory in GiB, smallest first."""
_LOADING = 2  # copies of the weights in the memory of a CPU instance while they are loaded
_SYSTEM = 4 << 30  # bytes for the server and the operating system
_BYTES_PER_SECOND = 50_000_000  # a cautious rate from S3 to an instance, unpacking included
_STEP, _LEAST_DOWNLOAD, _LEAST_HEALTH, _MOST = 300, 600, 900, 3600  # seconds; SageMaker takes at most 3600
_BYTES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "half": 2, "float": 4}


class Proposal(Value, frozen=True):
    """An instance type for a model.

    Attributes:
        instance_type: the smallest one with enough memory; the largest if none has.
        why: the figures, as one line.
        fits: whether the model fits.
    """

    instance_type: str
    why: str
    fits: bool


def in_memory(weights: int, stored: str | None, loaded: str | None) -> int:
    """Bytes of memory that a model needs.

    Args:
        weights: bytes of its files.
        stored: the type of their numbers; None if it is not known.
        loaded: the type that the handler loads them as; None for that of the files.
    """
    factor = _bytes(loaded) / _bytes(stored) if loaded and stored and _bytes(stored) else 1
    return math.ceil(weights * factor * OVERHEAD)


def propose(needed: int, *, gpu: bool) -> Proposal:
    """The smallest instance type with so much memory for a model."""
    if gpu:
        memory = {name: _gpu_memory(name) for name in GPU_TYPES}
    else:
        memory = {name: ((gib << 30) - _SYSTEM) // _LOADING for name, gib in CPU_TYPES.items()}
    chosen = next((name for name, room in memory.items() if room >= needed), None)
    name = chosen or max(memory, key=memory.__getitem__)
    has = f"one GPU with {_gpu_memory(name) >> 30} GB" if gpu else f"{CPU_TYPES[name]} GB of memory and no GPU"
    need = f"the model needs about {format_bytes(needed)}"
    if chosen is None:
        return Proposal(name, f"{need}, which fits none of these: {', '.join(memory)}", fits=False)
    return Proposal(name, f"{has}; {need}", fits=True)


def next_after(instance_type: str) -> str:
    """The next larger of the types proposed here; before the largest, the one that is a size smaller."""
    names = GPU_TYPES if instance_type in GPU_TYPES else tuple(CPU_TYPES)
    number = names.index(instance_type)
    return names[number + 1] if number + 1 < len(names) else names[number - 1]


def seconds_to_download(size: int | None) -> int:
    """How long SageMaker may take to fetch a package of so many bytes; for an unknown size half an hour."""
    return 1800 if size is None else _seconds(size, _LEAST_DOWNLOAD)


def seconds_to_start(size: int | None) -> int:
    """How long a container may take until it answers, for a package of so many bytes."""
    return _LEAST_HEALTH if size is None else _seconds(size, _LEAST_HEALTH)


def _seconds(size: int, least: int) -> int:
    needed = math.ceil(2 * size / _BYTES_PER_SECOND / _STEP) * _STEP
    return min(max(needed, least), _MOST)


def _gpu_memory(name: str) -> int:
    instance = instances.parse(name)
    return (instance.gpu_memory or 0) if instance else 0


def _bytes(dtype: str | None) -> int:
    return _BYTES.get(dtype or "", 0)
