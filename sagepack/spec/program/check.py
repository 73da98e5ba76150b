"""Checks the Python files of a package: parses each once, and applies what can be said without running it."""

from __future__ import annotations

import posixpath
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sagepack.decoding import Value
from sagepack.errors import Diagnostic
from sagepack.spec import image_modules, images
from sagepack.spec.code_tree import CODE, REQUIREMENTS
from sagepack.spec.program import effects, hooks, imports, own_imports, source, undefined
from sagepack.spec.program.flow import Flow
from sagepack.spec.program.meanings import Meanings
from sagepack.spec.program.modules import Modules, name_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sagepack.spec.code_tree import CodeFile

# What the image's server imports itself, beside the packages that the image is made for. A file of such a name stops it.
_OF_SERVER = {
    *(
        "PIL",
        "boto3",
        "botocore",
        "filelock",
        "numpy",
        "packaging",
        "psutil",
        "regex",
        "requests",
        "retrying",
        "safetensors",
    ),
    *("sagemaker_huggingface_inference_toolkit", "sagemaker_inference", "scipy", "six", "tokenizers", "tqdm", "yaml"),
}


class Target(Value, frozen=True):
    """Where the code is to run.

    Attributes:
        program: the file whose hooks the server calls, such as `inference.py`.
        tag: tag of the image; empty if nothing is known of the image.
        requirements: what is installed when the container starts, where it is not known what is in it.
        modules: modules that are known to be installed when the container starts.
        is_isolated: whether the container has no network.
        is_offline: whether its environment forbids requests to the Hub.
        model: the id of the model in the package; empty for one from a folder.
    """

    program: str
    tag: str
    requirements: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    is_isolated: bool = False
    is_offline: bool = False
    model: str = ""


def is_offline(value: object) -> bool:
    """Whether a value of `HF_HUB_OFFLINE` forbids requests to the Hub, as huggingface_hub reads it."""
    return str(value).upper() in {"1", "ON", "YES", "TRUE"}


def check(files: Sequence[CodeFile], root: Path, target: Target) -> list[Diagnostic]:
    """What is wrong with the program and with the modules that it may import, in the order of files and lines.

    Args:
        files: the files of the package under `code/`, whose sources are on disk.
        root: the project's folder, to which messages are relative.
        target: where the code is to run.

    Raises:
        OSError: a file cannot be read.
    """
    return sorted(_found(files, root, target), key=_place)


def _place(found: Diagnostic) -> tuple[str, list[int]]:
    """The file, and line and column as numbers, of `file.py:line:column`."""
    name, _, numbers = found.location.rpartition(".py")
    return name, [int(number) for number in numbers.split(":") if number]


def _found(files: Sequence[CodeFile], root: Path, target: Target) -> Iterator[Diagnostic]:
    facts = images.parse_tag(target.tag)
    python, modules = facts.python if facts else None, image_modules.modules(target.tag)
    parts = {file.path.removeprefix(CODE): file.source for file in files if isinstance(file.source, Path)}
    sources = [
        source.read(disk, path, _shown(disk, root), python) for path, disk in parts.items() if path.endswith(".py")
    ]
    used = imports.reached(sources, target.program)
    for one in sources:
        if one.problem:
            yield one.problem if one.path in used else replace(one.problem, severity="warning")
    yield from _run(sources, used, target)
    if python and modules is not None:
        names = {path.partition("/")[0].partition(".")[0] for path in parts}
        listed = parts.get(REQUIREMENTS.removeprefix(CODE))
        lines = listed.read_text(encoding="utf-8", errors="replace").splitlines() if listed else []
        provided = imports.Provided(python, modules, names, (*target.requirements, *lines), target.modules)
        yield from imports.check(sources, used, provided)
        for path, disk in parts.items():
            yield from _shadow(path, _shown(disk, root), target.tag)


def _run(sources: Sequence[source.Source], used: Mapping[str, bool], target: Target) -> Iterator[Diagnostic]:
    """What the files say of each other, and of what runs."""
    modules = Modules(sources)
    program = modules.get(name_of(target.program))
    if program is None:
        return
    meanings = Meanings(modules)
    found = hooks.of(program, meanings)
    yield from hooks.check(program, found, meanings)
    yield from own_imports.check(sources, used, program, modules)
    flow = Flow(meanings)
    loaded = [module for one in sources if used.get(one.path, False) and (module := modules.get(name_of(one.path)))]
    for module in loaded:
        flow.follow_import(module)
    for hook in found:
        flow.follow(hook.meaning, hook.name, is_certain=hook.is_only)
    surely_used = {step.node for step in flow.steps if step.is_certain}
    for module in loaded:
        yield from undefined.check(module, surely_used)
    facts = images.parse_tag(target.tag)
    place = effects.Place(
        has_network=not target.is_isolated,
        is_offline=target.is_offline,
        has_gpu=facts is None or facts.device == "gpu",
        model=target.model,
    )
    yield from effects.check(flow.steps, meanings, place)
    yield from own_imports.attributes(flow.steps, meanings)


def _shown(disk: Path, root: Path) -> str:
    return posixpath.normpath(disk.relative_to(root).as_posix())


def _shadow(path: str, location: str, tag: str) -> Iterator[Diagnostic]:
    """A file or package at the top of the code with the name of a module of the image, which it hides."""
    name = path.removesuffix("/__init__.py") if path.endswith("/__init__.py") else path.removesuffix(".py")
    package = (image_modules.modules(tag) or {}).get(name)
    if package is None or not path.endswith(".py"):
        return
    # A whole package may be meant to replace that of the image.
    is_fatal = path == f"{name}.py" and (package in image_modules.pinned(tag) or name in _OF_SERVER)
    of = "" if package == name else f" (of {package})"
    message = f"hides the module {name}{of} of the image in the whole container"
    yield Diagnostic((), message, "rename it", "error" if is_fatal else "warning", location)
