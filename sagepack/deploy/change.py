"""One difference between what is declared and what is live."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from sagepack.decoding import Value
from sagepack.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterable

Kind = Literal[
    "create",
    "recreate",
    "update",
    "restore",
    "wait",
    "scaling",
    "instances",
    "alarms",
    "log",
    "tags",
    "release",
    "not_owned",
    "managed",
]
Sign = Literal["+", "-", "~", "-/+", ""]

NONE = "none"
THERE = "there"
MANAGED_FIX = (
    "change the spec, run `invoke export`, and let that tool take what it wrote; once the tool has let the endpoint go, the tag "
    "sagepack:managed-by=sagepack gives it back to `invoke deploy`"
)
"""What to do about an endpoint that another tool manages."""
_LONG_HEX = re.compile(r"([0-9a-f]{12})[0-9a-f]{4,}")
_LONG = 40  # characters of a value beyond which what it shares with the other is left out


class Change(Value, frozen=True):
    """One thing to do to a resource of AWS, and why.

    Attributes:
        kind: `create` the endpoint; `recreate` it, since its status allows no update; `update` it; `restore` its model or
            configuration, which was deleted; `wait` for what is in progress; set up `scaling`; set the number of `instances`;
            set up `alarms`; set how long the `log` is kept; set `tags`; `release` what serves: try it and record it, which an
            earlier run did not. `not_owned`: the endpoint belongs to another spec or environment and
            must not be changed; `managed`: nor one that another tool manages, such as a CloudFormation stack.
        reason: the difference, for people.
        subject: what is changed, for people: a key of the spec such as `endpoint.instance_type`, or a resource such as
            `endpoint svd`.
        path: where it is in the API's names, such as `PrimaryContainer.Image`; empty where it is about the whole.
        live: the value that AWS has, as text: `none` for none, `there` for a resource, `(not shown)` for what looks like a
            secret; null where the change is about the whole.
        desired: the value that the spec asks for, likewise.
        loses_requests: whether an endpoint that was released is deleted for it, and with it the requests in its queue.
    """

    kind: Kind
    reason: str
    subject: str = ""
    path: str = ""
    live: str | None = None
    desired: str | None = None
    loses_requests: bool = False

    @property
    def is_blocked(self) -> bool:
        """Whether nothing may be done."""
        return self.kind in {"not_owned", "managed"}

    @property
    def sign(self) -> Sign:
        """`+` something new, `-` something that goes, `~` another value, `-/+` made again; empty if nothing is changed."""
        if self.kind == "wait" or self.is_blocked:
            return ""
        if self.kind == "recreate":
            return "-/+"
        if self.kind == "create" or self.live == NONE:
            return "+"
        return "-" if self.desired == NONE else "~"

    @property
    def effect(self) -> str:
        """What is done, without the sign: `endpoint.instance_type: ml.g5.2xlarge -> ml.g5.4xlarge`, `endpoint svd`."""
        if self.kind == "create":
            return self.subject
        if self.live is None or self.desired is None:
            return self.reason
        return named(self.subject, self.live, self.desired)


def named(subject: str, live: str, desired: str) -> str:
    """A difference for people, to stand after its sign: of something new or gone there is one value."""
    if NONE not in (live, desired):
        return f"{subject}{values(live, desired)}"
    value = desired if live == NONE else live
    short = _LONG_HEX.sub(r"\1", value)
    return subject if value == THERE else f"{subject}: {short}"


def require_no_loss(changes: Iterable[Change]) -> None:
    """Check that no change loses requests, to which nobody has agreed.

    Raises:
        UserError: one does.
    """
    for change in changes:
        if change.loses_requests:
            fix = "look at it first (`invoke status`, `invoke logs`); then repeat the command with --yes (in Python: recreate=True)"
            raise UserError(change.reason, fix=fix)  # which begins with the endpoint


def values(live: str, desired: str) -> str:
    """Two values for people, after a colon: long ones without what they share; nothing for a resource as a whole."""
    if THERE in (live, desired):
        return ""
    if NONE not in (live, desired) and min(len(live), len(desired)) > _LONG:
        start = _shared(live, desired)
        end = _shared(live[start:][::-1], desired[start:][::-1])
        live, desired = (value[start : len(value) - end] for value in (live, desired))
    return ": " + " -> ".join(_LONG_HEX.sub(r"\1", value) for value in (live, desired))


def _shared(one: str, other: str) -> int:
    """How many characters two addresses begin with in common, up to a separator."""
    shared = 0
    for count, (char, its) in enumerate(zip(one, other, strict=False), 1):
        if char != its:
            break
        shared = count if char in "/@" else shared
    return shared
