"""Amazon SNS: whether a topic exists."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sagepack.aws.session import aws_call, error_code

if TYPE_CHECKING:
    from sagepack.aws.session import Aws


def has_topic(aws: Aws, arn: str) -> bool:
    """Whether a topic exists (GetTopicAttributes).

    Raises:
        AccessDeniedError: the caller may not look at it.
    """
    import botocore.exceptions

    with aws_call("looking for the topic", arn):
        try:
            aws.client("sns").get_topic_attributes(TopicArn=arn)
        except botocore.exceptions.ClientError as error:
            if error_code(error) in {"NotFound", "NotFoundException"}:
                return False
            raise
        return True
