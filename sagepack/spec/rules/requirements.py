"""Rules about extra requirements: each is pinned, and none replaces a package that the image depends on."""

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

# Built for the CUDA version of the image, or part of its server: another version breaks the container.
_FIXED_BY_IMAGE = re.compile(
    r"torch|torchvision|torchaudio|triton|nvidia-.*|sagemaker-inference|sagemaker-huggingface-inference-toolkit"
    r"|multi-model-server|sagemaker-pytorch-inference"
)


def check(view: SpecView) -> Iterator[Diagnostic]:
    """Check `code.requirements`."""
    # Few specs have requirements; the others do not pay for this import.
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
                path, f"{shown} is not a requirement: {reason}", "write name==version, without options of pip"
            )
            continue
        name = canonicalize_name(requirement.name)
        if name in seen:
            yield Diagnostic(path, f"{shown}: duplicate requirement {name}, first in entry {seen[name] + 1}")
        seen.setdefault(name, number)
        if problem := _problem(requirement, name):
            yield Diagnostic(path, f"{shown}: {problem}")
        elif inside.get(name.replace("-", "_")) in {spec.version for spec in requirement.specifier}:
            yield Diagnostic(path, f"{shown}: the image already has this version", "remove it", severity="warning")


def _problem(requirement: Requirement, name: str) -> str | None:
    pins = [spec for spec in requirement.specifier if spec.operator in ("==", "===") and not spec.version.endswith("*")]
    if _FIXED_BY_IMAGE.fullmatch(name):
        return "the image depends on its own version; choose another image instead"
    if requirement.url:
        return "a URL cannot be locked; name a version in a package index"
    if requirement.marker:
        return "a marker has no effect: the image decides Python version and platform"
    if len(requirement.specifier) != 1 or len(pins) != 1:
        return f"it must be pinned to one version, such as {name}==1.2.3"
    return None
