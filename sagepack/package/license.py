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

    @property
    def ids(self) -> tuple[str, ...]:
        """The Hub's word for each of the licences."""
        return tuple(dict.fromkeys(self.id.split(", ")))

    @property
    def names(self) -> tuple[str, ...]:
        """What each of the licences is called: by the card itself, where the Hub has no word for it."""
        return tuple(self.name if each == "other" and self.name else each for each in self.ids)

    def __str__(self) -> str:
        return ", ".join(self.names)

    def is_among(self, names: Collection[str]) -> bool:
        """Whether each of its licences is among these names, whatever their case."""
        return {each.casefold() for each in self.names} <= {name.casefold() for name in names}
