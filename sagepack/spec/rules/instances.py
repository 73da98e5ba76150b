"""What the name of an instance type says about its accelerator, its processor and its disks.

Source for `refuses_volume`: the SageMaker Python SDK (2.257 and 3.27); for the memory of GPUs: NVIDIA's data sheets.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_TYPE = re.compile(r"ml\.([a-z0-9-]+)\.([a-z0-9]+)")
_GPUS = {
    **dict.fromkeys(("g4dn.12xlarge", "g5.12xlarge", "g5.24xlarge", "g6.12xlarge", "g6.24xlarge"), 4),
    **dict.fromkeys(("g6e.12xlarge", "g6e.24xlarge", "p3.8xlarge"), 4),
    **dict.fromkeys(("g4dn.16xlarge", "p2.xlarge", "p3.2xlarge", "p5.4xlarge"), 1),
    **dict.fromkeys(("p2.8xlarge", "g5.48xlarge", "g6.48xlarge", "g6e.48xlarge", "p3.16xlarge"), 8),
    **dict.fromkeys(("p4d.24xlarge", "p4de.24xlarge", "p5.48xlarge", "p5e.48xlarge", "p5en.48xlarge"), 8),
}
# Family -> memory of each GPU, in GiB.
_GPU_MEMORY = {
    "g4dn": 16,
    "g5": 24,
    "g6": 24,
    "g6e": 48,
    "p3": 16,
    "p4d": 40,
    "p4de": 80,
    "p5": 80,
    "p5e": 141,
    "p5en": 141,
}
_ONE_GPU = re.compile(r"(g4dn|g5|g6|g6e)\.(xlarge|2xlarge|4xlarge|8xlarge|16xlarge)")


@dataclass(frozen=True)
class Instance:
    """An instance type, such as `ml.g5.2xlarge`.

    Attributes:
        family: generation and class, such as `g5`.
        size: such as `2xlarge`.
    """

    family: str
    size: str

    @property
    def accelerator(self) -> str | None:
        """`gpu` (NVIDIA), `neuron` (AWS), `gaudi` (Intel), or None for a CPU instance."""
        if self.family.startswith(("inf", "trn")):
            return "neuron"
        if self.family.startswith("dl"):
            return "gaudi"
        return "gpu" if re.match(r"[gp]\d", self.family) else None

    @property
    def arm(self) -> bool:
        """Whether the processor is an ARM one (AWS Graviton, NVIDIA Grace), on which x86-64 images do not run."""
        return bool(re.match(r"[cmrt]\d+g", self.family)) or "-gb" in self.family

    @property
    def blackwell(self) -> bool:
        """Whether the GPUs are of the Blackwell generation, which needs CUDA 12.8."""
        return self.family.startswith(("p6", "g7"))

    @property
    def burstable(self) -> bool:
        """Whether the processor works on credits (families t2, t3 and so on)."""
        return bool(re.match(r"t\d", self.family))

    @property
    def refuses_volume(self) -> bool:
        """Whether SageMaker refuses `VolumeSizeInGB`, as it does for families with local disks."""
        return "d" in self.family or self.family.startswith(("g5", "g6", "p5", "trn1"))

    @property
    def gpus(self) -> int | None:
        """Number of GPUs; None for types that are not in the table."""
        name = f"{self.family}.{self.size}"
        return 1 if _ONE_GPU.fullmatch(name) else _GPUS.get(name)

    @property
    def gpu_memory(self) -> int | None:
        """Memory of all GPUs together, in bytes; None for types that are not in the tables."""
        each = _GPU_MEMORY.get(self.family)
        return each * self.gpus << 30 if each and self.gpus else None


def parse(instance_type: str | None) -> Instance | None:
    """The family and size in `instance_type`; None if it does not have the form `ml.family.size`."""
    match = _TYPE.fullmatch(instance_type or "")
    return Instance(match[1], match[2]) if match else None
