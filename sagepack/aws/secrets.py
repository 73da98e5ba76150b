"""AWS Secrets Manager: the text of a secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from sagepack.aws.session import aws_call, error_code
from sagepack.decoding import convert
from sagepack.errors import UserError

if TYPE_CHECKING:
    from sagepack.aws.session import Aws


class _Secret(msgspec.Struct, rename="pascal"):
    """GetSecretValueResponse, as far as it is used: a secret is a text or bytes."""

    secret_string: str | None = None
    secret_binary: bytes | None = None

    def __post_init__(self) -> None:
        if self.secret_string is None and self.secret_binary is None:
            raise ValueError("neither text nor bytes")


def secret_text(aws: Aws, arn: str) -> str:
    """The text of the current version of a secret (GetSecretValue).

    Raises:
        UserError: there is no such secret, it holds no text, or the caller may not read it.
        RemoteError: Secrets Manager failed after retries.
    """
    import botocore.exceptions

    with aws_call("reading the secret", arn):
        try:
            answer = aws.client("secretsmanager").get_secret_value(SecretId=arn)
        except botocore.exceptions.ClientError as error:
            if error_code(error) != "ResourceNotFoundException":
                raise
            fix = "create it, or correct remote.token_secret"
            raise UserError("there is no such secret", where=arn, fix=fix) from error
        text = convert(answer, _Secret).secret_string
    if text is None:
        raise UserError("the secret holds bytes, not a text", where=arn, fix="store the token as text: `hf_...`")
    return text.strip()
