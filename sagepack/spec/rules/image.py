"""The image: its name, its registry, and whether it runs on the instance type."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagepack.spec import images
from sagepack.spec.rules import instances
from sagepack.spec.rules.view import Finding
from sagepack.text import did_you_mean, one_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagepack.spec.images import TagFacts
    from sagepack.spec.rules.instances import Instance
    from sagepack.spec.rules.view import Facts

_TAG, _TYPE = ("image", "tag"), ("endpoint", "instance_type")
BLACKWELL_CUDA = (12, 8)  # the first CUDA that compiles for it
_GIB_HINT = "compare ml.g5.2xlarge (one NVIDIA A10G with 24 GB)"


def check(facts: Facts) -> Iterator[Finding]:
    """Everything about `image` that no schema can say."""
    yield from _known_tag(facts)
    yield from _registry(facts)
    yield from _fits_instance(facts)


def _known_tag(facts: Facts) -> Iterator[Finding]:
    repository, tag = facts.text("image", "repository"), facts.text(*_TAG)
    if repository is None or tag is None:
        return
    if repository != images.repository():
        close = did_you_mean(repository, [images.repository()])
        fix = close or f"what it holds is not known here; known is {images.repository()}"
        yield Finding(("image", "repository"), f"{repository!r} is not a known repository", fix, warning=True)
    elif not images.packages(tag):
        close = did_you_mean(tag, images.known_tags())
        fix = close or f"known are: {one_of(reversed(images.known_tags()))}"
        yield Finding(_TAG, f"{tag!r} is not in the table of known images", fix, warning=True)


def _registry(facts: Facts) -> Iterator[Finding]:
    region, account = facts.text("aws", "region"), facts.text("image", "account")
    if region is None:
        return
    documented = images.account(region)
    if account is None and documented is None:
        fix = "correct the region, or copy the image into a registry of your own and name its image.account"
        yield Finding(("aws", "region"), f"no registry of inference images is known in {region}", fix)
    elif account and documented and account != documented and account in map(images.account, images.regions()):
        yield Finding(
            ("image", "account"),
            f"{account} is AWS's registry of other regions; an image must come from the endpoint's region, {region}",
            f"remove it, and {documented} is taken",
        )


def _fits_instance(facts: Facts) -> Iterator[Finding]:
    instance = instances.parse(facts.text(*_TYPE))
    tag = images.parse_tag(facts.text(*_TAG) or "")
    if instance is None or tag is None or facts.text("image", "repository") != images.repository():
        return
    name = facts.text(*_TYPE)
    if instance.accelerator in ("neuron", "gaudi"):
        yield Finding(
            _TYPE, f"{name} has no NVIDIA GPU and needs an image of its own kind; this one is for {tag.device}"
        )
    elif instance.arm:
        yield Finding(_TYPE, f"{name} has an ARM processor; this image is for x86-64", _GIB_HINT)
    else:
        yield from _fits_device(instance, tag, str(name))


def _fits_device(instance: Instance, tag: TagFacts, name: str) -> Iterator[Finding]:
    if tag.device == "cpu" and instance.accelerator == "gpu":
        yield Finding(
            _TAG, f"this CPU image would leave the GPU of {name} unused", "take the -gpu- tag, or a CPU instance"
        )
    elif tag.device == "gpu" and instance.accelerator is None:
        message = f"{name} has no GPU; the model runs on the processor, many times slower"
        yield Finding(_TYPE, message, _GIB_HINT, warning=True)
    elif instance.blackwell and tag.cuda and tag.cuda < BLACKWELL_CUDA:
        have = ".".join(map(str, tag.cuda))
        message = f"the GPUs of {name} need CUDA 12.8 or newer; this image has {have}"
        yield Finding(_TYPE, message, _GIB_HINT, warning=True)
