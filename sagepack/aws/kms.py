"""AWS KMS: whether a key exists, and is of use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from sagepack.aws.session import aws_call, error_code
from sagepack.decoding import convert

if TYPE_CHECKING:
    from sagepack.aws.session import Aws


class Key(msgspec.Struct, rename="pascal", frozen=True):
    """A key (API reference of KMS, KeyMetadata).

    Attributes:
        arn: its ARN.
        key_state: `Enabled` for one that can be used.
        key_spec: `SYMMETRIC_DEFAULT` for one that encrypts data of other services.
    """

    arn: str
    key_state: str
    key_spec: str


def describe_key(aws: Aws, key: str) -> Key | None:
    """DescribeKey; None if there is no such key.

    Args:
        aws: the session.
        key: id, ARN, alias or the ARN of an alias.

    Raises:
        AccessDeniedError: the caller may not look at it.
    """
    import botocore.exceptions

    with aws_call("looking at the key", key):
        try:
            return convert(aws.client("kms").describe_key(KeyId=key)["KeyMetadata"], Key)
        except botocore.exceptions.ClientError as error:
            if error_code(error) in {"NotFoundException", "InvalidArnException"}:
                return None
            raise
