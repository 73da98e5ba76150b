"""The page of the Python API, from its docstrings."""

from __future__ import annotations

import inspect
import re
from typing import TYPE_CHECKING, Any

import sagepack
from sagepack import errors
from sagepack.api import results
from sagepack.api.review import ReviewedPlan
from tests.helpers.reference.markdown import anchor, code, page, parse, sentence, table
from tests.helpers.reference.tasks import exit_codes_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_INTRODUCTION = """\
# Python API

*Made from the program: the docstrings of `sagepack/api/project.py` and of what it works with. [How to use it](../how-to/python.md) has a program to begin with.*

    from sagepack import Project

What this page names is typed, and stays as it is within a major version. Nothing here prints, asks, or ends the process."""


def api_page() -> str:
    """The text of `docs/reference/api.md`."""
    kinds = [vars(errors)[name] for name in sagepack.__all__ if isinstance(vars(errors).get(name), type)]
    failures = sorted(
        (kind for kind in kinds if issubclass(kind, Exception)), key=lambda kind: (kind.exit_code, len(kind.mro()))
    )
    return page(
        _INTRODUCTION,
        *_class(sagepack.Project),
        *_class(sagepack.Fleet),
        *_class(sagepack.JobOptions, methods=()),
        *_class(ReviewedPlan, methods=("read", "write", "changes")),
        "## Results",
        "Methods return frozen values of `sagepack.api.results`, which [JSON documents](json.md#results) describe: a field there is an attribute here, a list is a tuple. Each has "
        f"`exit_code`, the exit code of the task: 0, except for {_special_exit_codes()}.",
        "## Errors",
        table(
            ("error", "exit code", "meaning"),
            [(code(kind.__name__), str(kind.exit_code), _meaning(kind)) for kind in failures],
        ),
        "A `KeyboardInterrupt` passes through; what was begun is continued by the next call.",
        *_class(errors.SagepackError, level=3, methods=()),
        *_class(errors.SpecError, level=3, methods=()),
        *_class(errors.Diagnostic, level=3, methods=("key",)),
        *_class(sagepack.Progress),
    )


def _special_exit_codes() -> str:
    """The results whose exit code is not always 0, and what it says."""
    kinds = [kind for kind in results.Result.__subclasses__() if exit_codes_of(kind)]
    return ", and ".join(
        f"[`{kind.__name__}`](json.md#{anchor(kind.__name__)}) ({exit_codes_of(kind).rstrip('.')})" for kind in kinds
    )


def _meaning(kind: type[errors.SagepackError]) -> str:
    return parse(kind.__doc__).text.split("\n")[0].split(" Exit code")[0]


def _class(kind: type[Any], *, level: int = 2, methods: tuple[str, ...] | None = None) -> Iterator[str]:
    about, hashes = parse(kind.__doc__), "#" * level
    yield f"{hashes} {kind.__name__}"
    if kind in (sagepack.Project, sagepack.Fleet):
        yield f"    {kind.__name__}{_signature(kind.__init__)}"
    yield about.text
    yield _section(about.sections, "Args", "argument")
    yield _section(about.sections, "Attributes", "attribute")
    for name, member in [found for each in kind.__mro__[:-1] for found in vars(each).items()]:
        if not name.startswith("_") and (name in methods if methods is not None else _is_method(member)):
            yield from _method(kind.__name__, name, member, level + 1)


def _is_method(member: Any) -> bool:
    return inspect.isfunction(member) or isinstance(member, (property, classmethod))


def _method(owner: str, name: str, member: Any, level: int) -> Iterator[str]:
    owner = owner if isinstance(member, classmethod) else re.sub(r"(?<!^)(?=[A-Z])", "_", owner).lower()
    function: Any = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
    about = parse(function.__doc__)
    yield f"{'#' * level} {name}"
    called = f" -> {function.__annotations__['return']}" if isinstance(member, property) else _signature(function)
    yield f"    {owner}.{name}{called}"
    yield _with_links(about.text, function)
    yield _section(about.sections, "Args", "argument")
    yield _section(about.sections, "Raises", "raises")


def _signature(function: Callable[..., Any]) -> str:
    signature = inspect.signature(function)
    parameters = [one for name, one in signature.parameters.items() if name not in ("self", "cls")]
    shown = re.sub(r"(: |-> )'([^']*)'", r"\1\2", str(signature.replace(parameters=parameters)))
    return shown.removesuffix(" -> None").replace("'", '"')


def _with_links(text: str, function: Callable[..., Any]) -> str:
    """The text, and where the value that is returned is described."""
    named = re.fullmatch(r"results\.(\w+)", str(function.__annotations__.get("return", "")))
    return f"{text} Returns [{code(named[1])}](json.md#{anchor(named[1])})." if named else text


def _section(sections: dict[str, dict[str, str]], title: str, head: str) -> str:
    return table(
        (head, "meaning" if head != "raises" else "when"),
        [(code(name), sentence(text)) for name, text in sections.get(title, {}).items()],
    )
