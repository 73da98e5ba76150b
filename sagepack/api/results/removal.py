"""Results of the tasks that remove what is in AWS, and what they leave."""

from __future__ import annotations

from sagepack.api.results.base import FAILED, Result
from sagepack.decoding import Value


class Resource(Value, frozen=True):
    """Something in AWS.

    Attributes:
        kind: what it is: `endpoint`, `model`, `alarm`, ...
        name: its name.
    """

    kind: str
    name: str


class KeptResource(Value, frozen=True):
    """A resource of an endpoint that stays when the endpoint is removed.

    Attributes:
        kind: `endpoint configuration` or `model`.
        name: its name.
        reason: who uses it, or why that is not known.
    """

    kind: str
    name: str
    reason: str


class Left(Value, frozen=True):
    """Something that stays when an endpoint is removed, because others may need it.

    Attributes:
        kind: `packages`, `records`, `requests and answers`, `log group` or `topic`.
        name: its name, or what its addresses in S3 begin with.
        size: its bytes; null if that is not known, or it has none.
        cost_per_month: what these cost in a month, in US dollars by list prices; null if that is not known.
        remove: what removes it.
    """

    kind: str
    name: str
    size: int | None
    cost_per_month: float | None
    remove: str


class ToDestroy(Result, frozen=True):
    """What `destroy` would remove, and what it would leave.

    Attributes:
        endpoint: name of the endpoint.
        resources: what would be removed, in that order.
        kept: configurations and models that others use.
        left: what stays in S3 and elsewhere.
        notes: what else is to be known before, and what is not known.
    """

    endpoint: str
    resources: tuple[Resource, ...]
    kept: tuple[KeptResource, ...]
    left: tuple[Left, ...]
    notes: tuple[str, ...]


class Destroyed(Result, frozen=True):
    """What was removed from AWS.

    Attributes:
        endpoint: name of the endpoint.
        removed: the resources, in the order they were removed.
        kept: configurations and models that others use.
        left: what stays in S3 and elsewhere.
        cost_per_month: what that costs in a month, in US dollars by list prices; null if a price is not known.
        notes: what is not known.
    """

    endpoint: str
    removed: tuple[Resource, ...]
    kept: tuple[KeptResource, ...] = ()
    left: tuple[Left, ...] = ()
    cost_per_month: float | None = 0.0
    notes: tuple[str, ...] = ()


class Upload(Value, frozen=True):
    """An unfinished multipart upload.

    Attributes:
        location: the object that it would make.
        upload_id: its id in S3.
        initiated: when it began (ISO 8601), if S3 says so.
    """

    location: str
    upload_id: str
    initiated: str | None


class Removable(Value, frozen=True):
    """Something that nobody needs any more.

    Attributes:
        kind: `package`, `endpoint configuration`, `model`, `unfinished upload`, `notes of an upload`, `input of a job` or `requests and
            answers`.
        name: its name, or its address in S3.
        size: bytes that it takes in S3.
        cost_per_month: what these bytes cost in a month, in US dollars by list prices; null if the price is not known.
        reason: why it is not needed.
        count: how many objects it is, for notes, inputs, requests and answers.
    """

    kind: str
    name: str
    size: int
    cost_per_month: float | None
    reason: str
    count: int = 1


class KeptPackage(Value, frozen=True):
    """A package that stays.

    Attributes:
        location: its folder in S3.
        size: its bytes.
        reason: what needs it.
    """

    location: str
    size: int
    reason: str


class Garbage(Result, frozen=True):
    """What could be removed, and what stays.

    Attributes:
        target: where packages are published.
        removable: what nobody needs any more.
        size: bytes of all of it.
        cost_per_month: what it costs in a month, in US dollars by list prices; null if a price is not known.
        kept: the packages that stay.
        unknown: what AWS denied to say; then no package, model or configuration is removed.
        notes: what else is not known.
    """

    target: str
    removable: tuple[Removable, ...]
    size: int
    cost_per_month: float | None
    kept: tuple[KeptPackage, ...]
    unknown: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """0: all was seen; 1: AWS denied to say what is needed."""
        return FAILED if self.unknown else 0


class Collected(Result, frozen=True):
    """What was removed.

    Attributes:
        target: where packages are published.
        removed: what is gone.
        size: bytes of all of it.
        cost_per_month: what it cost in a month, in US dollars by list prices; null if a price is not known.
        spared: packages that somebody began to use meanwhile, and that were kept.
        versions_stay: whether the bucket keeps what was deleted as earlier versions, which cost as before.
        unknown: what AWS denied to say; then no package, model or configuration was removed.
        notes: what else is not known.
    """

    target: str
    removed: tuple[Removable, ...]
    size: int
    cost_per_month: float | None
    spared: tuple[KeptPackage, ...]
    versions_stay: bool
    unknown: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """0: all that could be removed is gone; 1: AWS denied to say what is needed."""
        return FAILED if self.unknown else 0
