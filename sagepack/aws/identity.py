"""AWS STS and IAM: who calls, and who may assume a role."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from sagepack.aws.session import aws_call, error_code
from sagepack.decoding import convert

if TYPE_CHECKING:
    from sagepack.aws.session import Aws, Document


class Caller(msgspec.Struct, rename="pascal", frozen=True):
    """Who signs the requests (API reference, GetCallerIdentity)."""

    account: str
    arn: str


def caller(aws: Aws) -> Caller:
    """GetCallerIdentity, for which nobody needs a permission.

    Raises:
        CredentialsError: there are no credentials, or AWS does not accept them.
    """
    with aws_call("asking AWS who the caller is"):
        return convert(aws.client("sts").get_caller_identity(), Caller)


def trust_policy(aws: Aws, role_arn: str) -> Document | None:
    """The policy that says who may assume a role (GetRole); None if there is no such role.

    Raises:
        AccessDeniedError: the caller may not look at the role.
    """
    import botocore.exceptions

    with aws_call("looking for the role", role_arn):
        try:
            role = aws.client("iam").get_role(RoleName=role_arn.rpartition("/")[2])["Role"]
        except botocore.exceptions.ClientError as error:
            if error_code(error) == "NoSuchEntity":
                return None
            raise
        # Roles are found by their names, which differ from that of another path only by their ARN.
        return dict(role["AssumeRolePolicyDocument"]) if role["Arn"] == role_arn else None
