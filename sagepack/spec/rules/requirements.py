"""Extra requirements: pinned, plain, and none that replaces what the image is built around."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sagepack.errors import Diagnostic
from sagepack.spec import images
from sagepack.spec.rules.secrets import safe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from packaging.requirements import Requirement

    from sagepack.spec.rules.view import SpecView

# Built for the image's CUDA and driver, or part of the server itself: another version breaks the container.
_IMAGE_OWN = re.compile(
    r"torch|torchvision|torchaudio|triton|nvidia-.*|sagemaker-inference|sagemaker-huggingface-inference-toolkit"
    r"|multi-model-server|sagemaker-pytorch-inference"
)


def check(view: SpecView) -> Iterator[Diagnostic]:
    """Everything about `code.requirements`."""
    # packaging is needed where there are requirements, which is seldom.
    from packaging.requirements import InvalidRequirement, Requirement  # noqa: PLC0415
    from packaging.utils import canonicalize_name  # noqa: PLC0415

    seen: dict[str, int] = {}
    inside = images.packages(view.text("image", "tag") or "")
    for number, text in enumerate(view.texts("code", "requirements")):
        path = ("code", "requirements", number)
        shown = safe(path, text)
        try:
            requirement = Requirement(text)
        except InvalidRequirement as error:
            reason = str(error).splitlines()[0]
            yield Diagnostic(
                path, f"{shown} is not a requirement: {reason}", "write name==version; options belong elsewhere"
            )
            continue
        name = canonicalize_name(requirement.name)
        if name in seen:
            yield Diagnostic(path, f"{shown}: {name} stands twice, first as entry {seen[name] + 1}")
        seen.setdefault(name, number)
        if problem := _problem(requirement, name):
            yield Diagnostic(path, f"{shown}: {problem}")
        elif inside.get(name.replace("-", "_")) in {spec.version for spec in requirement.specifier}:
            yield Diagnostic(path, f"{shown}: the image has this version already", "remove it", severity="warning")


def _problem(requirement: Requirement, name: str) -> str | None:
    pins = [spec for spec in requirement.specifier if spec.operator in ("==", "===") and not spec.version.endswith("*")]
    if _IMAGE_OWN.fullmatch(name):
        return "the image is built around its own version; choose another image instead"
    if requirement.url:
        return "an address cannot be locked; name a version of a package index"
    if requirement.marker:
        return "a marker has no use: the image decides Python and platform"
    if len(requirement.specifier) != 1 or len(pins) != 1:
        return f"it must be pinned to one version, such as {name}==1.2.3"
    return None
