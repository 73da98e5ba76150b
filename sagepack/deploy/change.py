"""One difference between what is declared and what is live."""

from __future__ import annotations

from typing import Literal

from sagepack.decoding import Value

Kind = Literal["create", "recreate", "update", "wait", "scaling", "tags", "not_owned"]


class Change(Value, frozen=True):
    """One thing to do to a resource of AWS, and why.

    Attributes:
        kind: `create` the endpoint; `recreate` it, since its status allows no update; `update` it; `wait` for what is in
            progress; set up `scaling`; set `tags`. `not_owned`: the endpoint belongs to another spec or environment and
            must not be changed.
        reason: the difference, for people.
        path: where it is in the API's names, such as `PrimaryContainer.Image`; empty where it is about the whole.
        live: the value that AWS has, as text: `none` for none, `(not shown)` for what looks like a secret; null where the
            change is about the whole.
        desired: the value that the spec asks for, likewise.
    """

    kind: Kind
    reason: str
    path: str = ""
    live: str | None = None
    desired: str | None = None

    @property
    def is_blocked(self) -> bool:
        """Whether nothing may be done."""
        return self.kind == "not_owned"
