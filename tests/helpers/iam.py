"""What IAM would say to a request, as far as this program's policies need it: allow statements, wildcards, conditions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def allows(policy: dict[str, Any], action: str, resource: str, context: Mapping[str, str] | None = None) -> bool:
    """Whether an identity policy allows an action on a resource; `context` has the values of condition keys."""
    return any(
        action in _list(statement["Action"])
        and any(_matches(pattern, resource) for pattern in _list(statement["Resource"]))
        and _holds(statement.get("Condition", {}), context or {})
        for statement in policy["Statement"]
    )


def _holds(condition: dict[str, dict[str, Any]], context: Mapping[str, str]) -> bool:
    return all(
        key in context and any(_matches(pattern, context[key]) for pattern in _list(patterns))
        for keys in condition.values()
        for key, patterns in keys.items()
    )


def _matches(pattern: str, text: str) -> bool:
    parts = re.split(r"(\$\{[*?$]\}|[*?])", pattern)
    kinds = {"*": ".*", "?": "."}
    expression = "".join(kinds.get(part) or re.escape(part[2] if part.startswith("${") else part) for part in parts)
    return re.fullmatch(expression, text, re.DOTALL) is not None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
