"""Rules about extra requirements: what each may be, and what the image makes of it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sagepack.errors import Diagnostic
from sagepack.spec import image_modules, images
from sagepack.spec.rules.secrets import safe

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from packaging.requirements import Requirement

    from sagepack.errors import KeyPath
    from sagepack.spec.image_modules import Installed
    from sagepack.spec.rules.view import SpecView

_KEY = ("code", "requirements")
_NEARLY = re.compile(r"(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?:\s*[=@:]\s*|\s+)v?(?P<version>\d[\w.+]*)")
_NEEDLESS = "remove it: each requirement makes the start of a container longer"


def check(view: SpecView) -> Iterator[Diagnostic]:
    """Check `code.requirements` and `code.vendor`."""
    texts = view.texts(*_KEY)
    if view.get("code", "vendor") is True and not texts:
        message = "there are no requirements whose files could be packed"
        yield Diagnostic(("code", "vendor"), message, "remove it, or list requirements", severity="warning")
    if not texts:
        return  # few specs have requirements; the others do not pay for these imports
    from packaging.requirements import InvalidRequirement, Requirement  # noqa: PLC0415
    from packaging.utils import canonicalize_name  # noqa: PLC0415

    seen: dict[str, int] = {}
    tag = view.text("image", "tag") or ""
    is_known = view.text("image", "repository") == images.repository()
    image = image_modules.packages(tag) if is_known else None
    if view.get("code", "vendor") is True and image is None:
        message = f"what the image {tag} has is not known, so that nobody can say which packages it lacks"
        yield Diagnostic(("code", "vendor"), message, "use an image of the table, or install them in your own image")
    for number, text in enumerate(texts):
        path = (*_KEY, number)
        shown = safe(path, text)
        try:
            requirement = Requirement(text)
        except InvalidRequirement as error:
            yield Diagnostic(path, *_misspelt(text, shown, str(error).splitlines()[0]))
            continue
        name = canonicalize_name(requirement.name)
        if name in seen:
            message = f"{shown}: duplicate requirement {name}, first in entry {seen[name] + 1}"
            yield Diagnostic(path, message, "remove one of the two")
        seen.setdefault(name, number)
        yield from _one(path, shown, requirement, name, image or {})


def _misspelt(text: str, shown: str, reason: str) -> tuple[str, str]:
    """What is wrong with a text that is no requirement, and what to write."""
    if text.startswith("-"):
        return (
            f"{shown} is an option of pip",
            "list names and versions; which index is asked says pip's own configuration",
        )
    if "://" in text or text.endswith((".whl", ".gz", ".zip")):
        return f"{shown} cannot be locked", "name a version in a package index, or put the module itself into the code"
    if near := _NEARLY.fullmatch(text):
        return f"{shown} is not a requirement", f"did you mean {near['name']}=={near['version']}?"
    return f"{shown} is not a requirement: {reason}", "write name==version or name>=version"


def _one(
    path: KeyPath, shown: str, requirement: Requirement, name: str, image: Mapping[str, Installed]
) -> Iterator[Diagnostic]:
    installed = image.get(name)
    meets = bool(installed and installed.version) and requirement.specifier.contains(
        installed.version if installed else "", prereleases=True
    )
    if requirement.url:
        fix = "name a version in a package index, or put the module itself into the code"
        yield Diagnostic(path, f"{shown}: a URL cannot be locked", fix)
    elif requirement.marker:
        message = f"{shown}: a marker has no effect: the image decides Python version and platform"
        yield Diagnostic(path, message, "remove what follows the semicolon")
    elif installed and meets and not requirement.extras:
        has = "has" if installed.is_certain else "has, as far as is known,"
        message = f"{shown}: the image {has} {name} {installed.version}, which meets this"
        yield Diagnostic(path, message, _NEEDLESS, severity="warning")
    elif image_modules.is_fixed(name):
        has = f"has {installed.version} and " if installed and installed.version else ""
        yield Diagnostic(path, f"{shown}: the image {has}depends on its own version", "choose another image instead")
    elif installed is None:
        yield from _second_owner(path, shown, name, image)


def _second_owner(path: KeyPath, shown: str, name: str, image: Mapping[str, Installed]) -> Iterator[Diagnostic]:
    """A distribution with a module that another one of the image installs, too."""
    for module in image_modules.of_distribution(name):
        owner = next((other for other in image if module in image_modules.of_distribution(other)), None)
        if owner is not None:
            message = f"{shown}: {owner} of the image installs the module {module}, too, and one overwrites the other"
            yield Diagnostic(path, message, f"remove it: the image has {owner}", severity="warning")
