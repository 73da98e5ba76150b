"""The commands that this program's advice proposes, as the user can type them: for the program, spec and environment at hand."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec.structs import replace

from sagepack.api import results
from sagepack.cli.output import as_called

if TYPE_CHECKING:
    from collections.abc import Sequence

_Result = TypeVar("_Result", bound=results.Result)


def selecting_flags(config: str, env: str) -> list[str]:
    """The flags that another task needs to be about the same spec and environment."""
    is_named = any(word.partition("=")[0] == "--config" for word in sys.argv)
    return [*(["--config", config] if is_named else []), *(["--env", env] if env != "local" else [])]


def as_typed(result: _Result, flags: Sequence[str]) -> _Result:
    """A result whose advice proposes commands with `flags`. What containers and services wrote stays as it is."""
    if isinstance(result, results.Doctor):
        checks = (
            replace(check, detail=as_called(check.detail, flags), fix=check.fix and as_called(check.fix, flags))
            for check in result.checks
        )
        return replace(result, checks=tuple(checks))
    if isinstance(result, (results.ToDestroy, results.Destroyed)):
        left = (replace(each, remove=as_called(each.remove, flags)) for each in result.left)
        return replace(result, left=tuple(left))
    return result


def json_as_typed(value: Any, flags: Sequence[str]) -> Any:
    """JSON data whose texts propose commands with `flags`."""
    if isinstance(value, str):
        return as_called(value, flags)
    if isinstance(value, list):
        return [json_as_typed(inner, flags) for inner in value]
    return {name: json_as_typed(inner, flags) for name, inner in value.items()} if isinstance(value, dict) else value
