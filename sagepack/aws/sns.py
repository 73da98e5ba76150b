"""Amazon SNS: whether a topic exists, and how it is encrypted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from sagepack.aws.session import aws_call, error_code
from sagepack.decoding import convert

if TYPE_CHECKING:
    from sagepack.aws.session import Aws


class Topic(msgspec.Struct, rename="pascal", frozen=True):
    """The attributes of a topic that this program uses (API reference, GetTopicAttributes)."""

    kms_master_key_id: str | None = None


def describe_topic(aws: Aws, arn: str) -> Topic | None:
    """GetTopicAttributes, or None if there is no such topic.

    Raises:
        AccessDeniedError: the caller may not look at it.
    """
    import botocore.exceptions

    with aws_call("looking for the topic", arn):
        try:
            return convert(aws.client("sns").get_topic_attributes(TopicArn=arn)["Attributes"], Topic)
        except botocore.exceptions.ClientError as error:
            if error_code(error) in {"NotFound", "NotFoundException"}:
                return None
            raise
