"""The licence of a model, as its card on the Hub declares it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagepack.decoding import Value

if TYPE_CHECKING:
    from collections.abc import Collection


class License(Value, frozen=True):
    """A licence. Nobody has checked that it is the true one.

    Attributes:
        id: `license` of the card, such as `apache-2.0`, or `other`; several are separated by `, `.
        name: `license_name`, for a licence that the Hub has no word for.
        link: `license_link`: its text, a URL or a file of the repository.
    """

    id: str
    name: str | None = None
    link: str | None = None

    def __str__(self) -> str:
        return self.name if self.id == "other" and self.name else self.id

    def is_among(self, names: Collection[str]) -> bool:
        """Whether each of its licences is among these names, whatever their case."""
        known = {name.casefold() for name in names}
        return (self.name or "").casefold() in known or {each.casefold() for each in self.id.split(", ")} <= known
