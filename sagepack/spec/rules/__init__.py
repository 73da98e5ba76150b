"""What must hold for a spec beyond its schema, all of it checked offline.

Each module holds the rules of one part: functions from `Facts` to `Finding`s. None stops at the first finding.
Secrets (`secrets`) are looked for first and by themselves: nothing else may repeat them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagepack.spec.rules import artifact, code, endpoint, environment, image, model, requirements, service_limits
from sagepack.spec.rules.view import Facts, Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Facts", "Finding", "findings"]

_RULES = (
    model.check,
    code.check,
    requirements.check,
    image.check,
    environment.check,
    artifact.check,
    endpoint.check,
    service_limits.check,
)


def findings(facts: Facts) -> Iterator[Finding]:
    """What all rules but those about secrets say of a spec."""
    for rule in _RULES:
        yield from rule(facts)
