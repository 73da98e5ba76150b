"""What the inline policies of a role decide, without conditions; moto's own evaluation cannot read the wildcard `?`.

A model of IAM, not evidence about it (IAM user guide, "Policy evaluation logic", "IAM JSON policy elements: Resource").
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

Decision = Literal["allowed", "explicitDeny", "implicitDeny"]
_WILDCARDS = {"*": ".*", "?": "."}


def decide(policies: Iterable[str], action: str, resource: str) -> Decision:
    """What policy documents together decide about an action on a resource."""
    statements = [one for text in policies for one in _list(json.loads(text)["Statement"])]
    found = {one["Effect"] for one in statements if _is_about(one, action, resource)}
    return "explicitDeny" if "Deny" in found else "allowed" if "Allow" in found else "implicitDeny"


def _is_about(statement: dict[str, Any], action: str, resource: str) -> bool:
    """Whether a statement is about an action, whatever its case, and a resource."""
    about = any(_matches(pattern.lower(), action.lower()) for pattern in _list(statement.get("Action", [])))
    return about and any(_matches(pattern, resource) for pattern in _list(statement.get("Resource", [])))


def _matches(pattern: str, text: str) -> bool:
    """Whether a pattern of a policy stands for a text; `${*}` and the like mean the character itself."""
    parts = re.split(r"(\$\{[*?$]\}|[*?])", pattern)
    expression = "".join(
        _WILDCARDS.get(part) or re.escape(part[2] if part.startswith("${") else part) for part in parts
    )
    return re.fullmatch(expression, text, re.DOTALL) is not None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
