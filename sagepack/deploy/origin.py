"""Where a deployment comes from, if it was not made from the working tree alone."""

from __future__ import annotations

from sagepack.decoding import Text, Value


class Origin(Value, frozen=True, forbid_unknown_fields=True):
    """A release that was promoted.

    Attributes:
        env: the environment in which it was deployed before.
        record: address of the record of that deployment.
    """

    env: Text
    record: Text
