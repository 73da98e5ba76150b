"""What must hold for a spec beyond its schema, all of it checked offline.

Each module holds the rules of one part of the spec: functions from a `SpecView` to `Diagnostic`s, which report every mistake
and not only the first. `secrets` runs first and by itself, because no other message may repeat a secret.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagepack.spec.rules import (
    artifact,
    cluster,
    code,
    drivers,
    endpoint,
    environment,
    image,
    model,
    remote,
    requirements,
    schedule,
    service_limits,
    trust,
    update,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagepack.errors import Diagnostic
    from sagepack.spec.rules.view import SpecView

_RULES = (
    model.check,
    code.check,
    requirements.check,
    image.check,
    environment.check,
    artifact.check,
    endpoint.check,
    drivers.check,
    update.check,
    schedule.check,
    remote.check,
    service_limits.check,
    trust.check,
    cluster.check,
)


def check(view: SpecView) -> Iterator[Diagnostic]:
    """Apply all rules except those about secrets."""
    for rule in _RULES:
        yield from rule(view)
