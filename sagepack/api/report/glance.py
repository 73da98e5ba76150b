"""What the top of a report says of a package and its endpoint, a line each: what there is, what serves, and what it costs. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagepack.api.report import words
from sagepack.decoding import Value
from sagepack.text import counted, format_usd

if TYPE_CHECKING:
    from sagepack.api.report.facts import Facts
    from sagepack.api.results import EndpointStatus

_DIGITS = slice(7, 23)  # of an identity: those that names in S3 have


class Line(Value, frozen=True):
    """A line.

    Attributes:
        name: what it is about.
        text: what it says; what stands between back quotes is code.
    """

    name: str
    text: str


def lines(facts: Facts) -> tuple[Line, ...]:
    """What is known, for whoever reads no further."""
    return (
        Line("Package", _package(facts)),
        Line("Serves", _serves(facts)),
        Line("Costs", _costs(facts)),
    )


def _package(facts: Facts) -> str:
    manifest = facts.manifest
    if manifest is None:
        return "not known"
    size = words.contents(len(manifest.members), manifest.size)
    return f"`{str(manifest.digest)[_DIGITS]}`, {size}{_published(facts)}"


def _published(facts: Facts) -> str:
    if facts.unpublished:
        return "; not published"
    if facts.wrong:
        return "; what S3 holds of it is not as it should be"
    return "; published" if facts.published else ""


def _serves(facts: Facts) -> str:
    endpoint = facts.endpoint
    if endpoint is None:
        return "not known"
    if endpoint.state is None:
        return f"nothing: there is no endpoint `{endpoint.endpoint}`"
    return f"endpoint `{endpoint.endpoint}`, {endpoint.state}{_instances(endpoint)}, {_what_serves(facts, endpoint)}"


def _instances(endpoint: EndpointStatus) -> str:
    if endpoint.instances is None:
        return ""
    return f" with {counted(endpoint.instances, 'instance')}" if endpoint.instances else ", asleep"


def _what_serves(facts: Facts, endpoint: EndpointStatus) -> str:
    if endpoint.manifest is None:
        return "with a package that is not known"
    if facts.manifest and endpoint.manifest == str(facts.manifest.digest):
        return "with this package"
    return f"with another package, `{endpoint.manifest[_DIGITS]}`"


def _costs(facts: Facts) -> str:
    if facts.sandbox:
        return "nothing: it is in the sandbox"
    found = []
    if facts.endpoint and facts.endpoint.cost_per_hour is not None:
        found.append(f"{format_usd(facts.endpoint.cost_per_hour)} an hour for the instances that run now")
    if facts.month is not None:
        found.append(f"{format_usd(facts.month)} a month for the package in S3")
    return ", ".join(found) or "not known"
