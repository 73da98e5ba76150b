"""What to do about an error message of AWS."""

from __future__ import annotations

import difflib
import re
from contextlib import contextmanager
from itertools import takewhile
from typing import TYPE_CHECKING

from sagepack.aws.sagemaker import EndpointBusyError
from sagepack.aws.session import is_outage
from sagepack.deploy import known_failures
from sagepack.errors import Diagnostic, RemoteError, UserError
from sagepack.spec.model import KEYS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sagepack.deploy.known_failures import KnownFailure
    from sagepack.spec.keys import Key


def hint_for(message: str) -> KnownFailure | None:
    """What is known about an error message of AWS; None if nothing is."""
    return known_failures.find(message, known_failures.OF_AWS)


# Of a message such as "Value 'ml.g5' at 'productionVariants.1.member.instanceType' failed to satisfy constraint: Member must
# satisfy enum value set: [ml.g5.xlarge, ml.g5.2xlarge]".
_REFUSED_VALUE = re.compile(
    r"Value '(?P<value>[^']*)' at '(?P<member>[\w.]+)' failed to satisfy constraint: Member must (?P<rule>.*)",
    re.DOTALL,
)
_ALLOWED_VALUES = re.compile(r"satisfy enum value set: \[(?P<values>[^\]]*)\]?")
_NEAREST = 3


def refused_value(message: str, where: str | None) -> UserError | None:
    """The error for a value of a request that the service does not accept, with the key of the spec that it comes from.

    Some hundreds of allowed values are not repeated; the nearest ones are.
    """
    match = _REFUSED_VALUE.search(message)
    if match is None:
        return None
    value, key = match["value"], _key_of(match["member"])
    allowed = _ALLOWED_VALUES.search(match["rule"])
    if allowed is None:
        return UserError(f"AWS refuses {value!r} for {key}: it must {match['rule']}", where=where, fix=f"correct {key}")
    values = [name.strip(" '") for name in allowed["values"].split(",")]
    near = difflib.get_close_matches(value, values, n=_NEAREST, cutoff=0)
    fix = f"set {key} to another value; the nearest ones are {', '.join(near)}" if near[0] else f"correct {key}"
    return UserError(f"AWS does not know {value!r} for {key} in this region", where=where, fix=fix)


def _key_of(member: str) -> str:
    """The key of the spec that a member of a request comes from; the member's own name if there is none."""
    parts = member.casefold().split(".")

    def shared(key: Key) -> int:
        """How many parts from the end the member of a key has in common with it; none of the keys that no request has."""
        names = [] if key.path[0] == "artifact" else [name.casefold() for name in reversed(key.facts.member)]
        return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(names, reversed(parts), strict=False)))

    nearest = max(KEYS, key=lambda key: (shared(key), -len(key.facts.member)))
    return Diagnostic(nearest.path, "").key if shared(nearest) else member


@contextmanager
def with_hints() -> Iterator[None]:
    """Replace an error raised within the block by one with the hint for its message; others pass unchanged.

    So do those after which the same is tried again: an outage, and a change of the endpoint by something else.

    Raises:
        UserError, RemoteError: the error with the hint, of the class that the hint says.
    """
    try:
        yield
    except (UserError, RemoteError) as error:
        if is_outage(error) or isinstance(error, EndpointBusyError):
            raise
        if refused := refused_value(error.message, error.where):
            raise refused from error
        hint = hint_for(error.message)
        if hint is None:
            raise
        kind = UserError if hint.user_can_fix else RemoteError
        raise kind(error.message, where=error.where, fix=hint.fix, details=error.details, failure=hint.id) from error
