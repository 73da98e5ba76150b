"""Rules about the host's NVIDIA driver and the image's CUDA version.

A container whose CUDA does not fit the driver does not start, and writes no log: the endpoint stays Creating for half an hour
and then fails with CannotStartContainerError. NVIDIA's rule is that CUDA 13 needs driver 580; within CUDA 12 every version runs
on the drivers here, and images of AWS bring what they need for older ones. Reports differ about the rest, so it is a warning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from sagepack.errors import Diagnostic
from sagepack.spec import images
from sagepack.spec.rules import instances

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagepack.spec.rules.instances import Instance
    from sagepack.spec.rules.view import SpecView

_AMI = ("endpoint", "inference_ami_version")


class Host(NamedTuple):
    """What a machine image of the host has: the NVIDIA driver, and the CUDA version that it came with."""

    driver: int
    cuda: tuple[int, int]


# API reference, ProductionVariant, InferenceAmiVersion.
HOSTS = {
    "al2-ami-sagemaker-inference-gpu-2": Host(535, (12, 2)),
    "al2-ami-sagemaker-inference-gpu-2-1": Host(535, (12, 2)),
    "al2-ami-sagemaker-inference-gpu-3-1": Host(550, (12, 4)),
    "al2023-ami-sagemaker-inference-gpu-4-1": Host(580, (13, 0)),
}
NEURON = "al2-ami-sagemaker-inference-neuron-2"
# The ones on which the tests of AWS's own images run (aws/deep-learning-containers), by the major version of CUDA.
_TESTED = {12: "al2-ami-sagemaker-inference-gpu-3-1", 13: "al2023-ami-sagemaker-inference-gpu-4-1"}
# SageMaker developer guide, "Best practices to minimize interruptions during GPU driver upgrades": without a declared one.
_DEFAULT_DRIVERS = {
    **dict.fromkeys(("p2", "p3", "p4d", "p4de", "g4dn", "g5"), 470),
    **dict.fromkeys(("p5", "g6"), 535),
    **dict.fromkeys(("p5e", "p5en"), 550),
}
BLACKWELL_DRIVER = 570  # the first driver that knows these GPUs
_CUDA_13_DRIVER = 580  # NVIDIA, "CUDA Compatibility"
# AWS's examples for images of this version and newer declare a machine image for families with the oldest default.
_DECLARED_SINCE = (12, 8)
_OLDEST_DRIVER = 470
_SILENT = "the container may not start, without a log"


def check(view: SpecView) -> Iterator[Diagnostic]:
    """Check `endpoint.inference_ami_version` against the instance type and against the CUDA version of the image."""
    found = (instances.parse(kind) for kind in view.instance_types().values())
    for instance in {each.family: each for each in found if each}.values():
        yield from _fits(view, instance)


def _fits(view: SpecView, instance: Instance) -> Iterator[Diagnostic]:
    ami = view.text(*_AMI)
    if ami is not None and (problem := _other_accelerator(ami, instance)):
        yield problem
        return
    cuda = images.cuda_version(view.text("image", "tag") or "")
    if cuda is None or instance.accelerator != "gpu":
        return
    if ami in HOSTS:
        yield from _declared(HOSTS[ami], instance, cuda)
    elif ami is None and instance.family in _DEFAULT_DRIVERS:
        yield from _default(instance, cuda)


def _other_accelerator(ami: str, instance: Instance) -> Diagnostic | None:
    """The problem of a machine image whose driver is for something that the instance does not have."""
    wanted = "neuron" if ami == NEURON else "gpu" if ami in HOSTS else None
    if wanted is None or instance.accelerator == wanted:
        return None
    driver = "for AWS's own accelerators" if wanted == "neuron" else "for NVIDIA GPUs"
    return Diagnostic(
        _AMI,
        f"this machine image has the driver {driver}, which instances of the family {instance.family} do not have",
        "remove it: SageMaker chooses one that fits the instance type",
        severity="error" if instance.accelerator else "warning",
    )


def _declared(host: Host, instance: Instance, cuda: tuple[int, int]) -> Iterator[Diagnostic]:
    if instance.blackwell and host.driver < BLACKWELL_DRIVER:
        newest = max(HOSTS, key=lambda name: HOSTS[name].driver)
        yield Diagnostic(
            _AMI,
            f"the GPUs of the family {instance.family} need driver {BLACKWELL_DRIVER} or newer; this machine image has {host.driver}",
            f"set {newest}, or remove it",
        )
    elif cuda[0] == 13 and host.driver < _CUDA_13_DRIVER:
        message = f"CUDA {_text(cuda)} needs driver {_CUDA_13_DRIVER} or newer; this machine image has {host.driver}: {_SILENT}"
        yield Diagnostic(_AMI, message, f"set {_TESTED[13]}", severity="warning")
    elif cuda[0] == 12 and host.cuda[0] == 13:
        message = (
            f"AWS tests images of CUDA 12 on another machine image, and saw some of them fail on this one: {_SILENT}"
        )
        yield Diagnostic(_AMI, message, f"set {_TESTED[12]}, unless this one was tried", severity="warning")


def _default(instance: Instance, cuda: tuple[int, int]) -> Iterator[Diagnostic]:
    driver = _DEFAULT_DRIVERS[instance.family]
    is_too_old = cuda[0] == 13 or (cuda >= _DECLARED_SINCE and driver == _OLDEST_DRIVER)
    if is_too_old and cuda[0] in _TESTED:
        yield Diagnostic(
            ("image", "tag"),
            f"CUDA {_text(cuda)}, but hosts of the family {instance.family} have driver {driver} by default: {_SILENT}",
            f"set endpoint.inference_ami_version: {_TESTED[cuda[0]]}",
            severity="warning",
        )


def _text(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))
