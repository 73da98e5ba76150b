"""Rules about the image: its name, its registry, and whether it runs on the instance type."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagepack.errors import Diagnostic
from sagepack.spec import images
from sagepack.spec.rules import instances
from sagepack.text import did_you_mean, one_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagepack.errors import KeyPath
    from sagepack.spec.rules.view import SpecView

_TAG = ("image", "tag")
_CANNOT_TELL = "cannot tell whether the image has what the code imports"
BLACKWELL_CUDA = (12, 8)  # the first CUDA version that supports these GPUs
_GPU_HINT = "use for example ml.g5.2xlarge (one NVIDIA A10G with 24 GB)"


def check(view: SpecView) -> Iterator[Diagnostic]:
    """Check `image` against the table of known images and against the instance type."""
    yield from _known_tag(view)
    yield from _registry(view)
    yield from _fits_instance(view)


def _known_tag(view: SpecView) -> Iterator[Diagnostic]:
    repository, tag = view.text("image", "repository"), view.text(*_TAG)
    if repository is None or tag is None:
        return
    registry, slash, name = repository.partition("/")
    if slash and "." in registry:
        account = registry.partition(".")[0]
        other = account.isdigit() and account != images.account(view.text("aws", "region") or "")
        fix = f"write {name}" + (f', and image.account: "{account}"' if other else "")
        yield Diagnostic(("image", "repository"), f"{repository!r} contains the host of a registry", fix)
    elif repository != images.repository():
        close = did_you_mean(repository, [images.repository()])
        fix = close or f"the only known repository is {images.repository()}"
        message = f"{repository!r} is not a known repository: {_CANNOT_TELL}"
        yield Diagnostic(("image", "repository"), message, fix, severity="warning")
    elif not images.packages(tag):
        close = did_you_mean(tag, images.known_tags())
        fix = close or f"known tags: {one_of(reversed(images.known_tags()))}"
        yield Diagnostic(_TAG, f"{tag!r} is not in the table of known images: {_CANNOT_TELL}", fix, severity="warning")


def _registry(view: SpecView) -> Iterator[Diagnostic]:
    region, account = view.text("aws", "region"), view.text("image", "account")
    if region is None:
        return
    documented = images.account(region)
    if account is None and documented is None:
        fix = "correct the region, or copy the image into your own registry and set image.account"
        yield Diagnostic(("aws", "region"), f"no registry of inference images is known in {region}", fix)
    elif account and documented and account != documented and account in map(images.account, images.regions()):
        yield Diagnostic(
            ("image", "account"),
            f"{account} is AWS's registry for other regions; the image must come from the endpoint's region, {region}",
            f"remove it: the default is {documented}",
        )


def _fits_instance(view: SpecView) -> Iterator[Diagnostic]:
    for path, name in view.instance_types().items():
        yield from _fits(view, path, name)


def _fits(view: SpecView, path: KeyPath, name: str) -> Iterator[Diagnostic]:
    instance, tag = instances.parse(name), images.parse_tag(view.text(*_TAG) or "")
    if instance is None or tag is None or view.text("image", "repository") != images.repository():
        return
    if instance.accelerator in ("neuron", "gaudi"):
        message = f"{name} has no NVIDIA GPU and needs an image for its accelerator; this one is for {tag.device}"
        yield Diagnostic(path, message)
    elif instance.arm:
        yield Diagnostic(path, f"{name} has an ARM processor; this image is for x86-64", _GPU_HINT)
    elif tag.device == "cpu" and instance.accelerator == "gpu":
        message = f"this CPU image would leave the GPU of {name} unused"
        yield Diagnostic(_TAG, message, "use the -gpu- tag, or a CPU instance")
    elif tag.device == "gpu" and instance.accelerator is None:
        message = f"{name} has no GPU; the model would run on the CPU, many times slower"
        yield Diagnostic(path, message, _GPU_HINT, severity="warning")
    elif instance.blackwell and tag.cuda and tag.cuda < BLACKWELL_CUDA:
        version = ".".join(map(str, tag.cuda))
        message = f"the GPUs of {name} need CUDA 12.8 or newer; this image has {version}"
        yield Diagnostic(path, message, _GPU_HINT, severity="warning")
