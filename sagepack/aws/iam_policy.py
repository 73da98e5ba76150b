"""The parts of IAM policy documents: ARNs, texts without wildcards, statements. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sagepack.aws.s3_types import S3Uri

Statement = dict[str, Any]


@dataclass(frozen=True)
class Arns:
    """The ARNs of an account and region.

    Attributes:
        partition: `aws`, `aws-cn`, ...
        region, account: of resources that have them in their ARN.
    """

    partition: str
    region: str
    account: str

    def of(self, service: str, resource: str, account: str | None = None) -> str:
        """The ARN of a resource of the region; `resource` may have wildcards."""
        return f"arn:{self.partition}:{service}:{self.region}:{account or self.account}:{resource}"

    def role(self, path_and_name: str) -> str:
        """The ARN of a role."""
        return f"arn:{self.partition}:iam::{self.account}:role/{path_and_name}"

    def bucket(self, location: S3Uri) -> str:
        """The ARN of the bucket of a location."""
        return f"arn:{self.partition}:s3:::{literal(location.bucket)}"

    def objects(self, location: S3Uri, *below: str) -> list[str]:
        """The ARNs of what is below a prefix; `below` are keys there, with wildcards."""
        return [f"{self.bucket(location)}/{key_pattern(location, name)}" for name in below]

    def listing(self, sid: str, location: S3Uri, *below: str) -> Statement:
        """The permission to list what is below a prefix, and to be told that an object there does not exist.

        Without `s3:ListBucket` S3 answers 403, not 404, for a missing object; the condition then applies to its key.
        """
        condition = {"StringLike": {"s3:prefix": [key_pattern(location, name) for name in below]}}
        return statement(sid, ["s3:ListBucket"], [self.bucket(location)], condition)

    def key(self, sid: str, actions: Sequence[str], key: str) -> Statement:
        """The permission to use a KMS key, which may be named by its id, its ARN or an alias."""
        alias = re.search(r"(?:^|:)(alias/.*)", key)
        if alias is None:
            return statement(sid, actions, [key if key.startswith("arn:") else self.of("kms", f"key/{key}")])
        # A resource cannot be an alias: the statement is about all keys, on the condition that the key has this alias.
        # (kms:RequestAlias would not do: S3 and SageMaker decrypt without naming the alias.)
        condition = {"ForAnyValue:StringEquals": {"kms:ResourceAliases": alias[1]}}
        return statement(sid, actions, [self.of("kms", "key/*")], condition)


def statement(
    sid: str, actions: Iterable[str], resources: Sequence[str], condition: dict[str, Any] | None = None
) -> Statement:
    """A statement that allows actions on resources."""
    found = {"Sid": sid, "Effect": "Allow", "Action": sorted(actions), "Resource": list(resources)}
    return {**found, "Condition": condition} if condition else found


def document(statements: Iterable[Statement]) -> dict[str, Any]:
    """A policy document."""
    return {"Version": "2012-10-17", "Statement": list(statements)}


def merged(statements: Iterable[Statement]) -> list[Statement]:
    """The same permissions in fewer statements: those about the same resources, under the same condition, become one.

    A policy has few characters (IAM user guide, "IAM and AWS STS quotas"): 6,144 if it is a managed one.
    """
    found: list[Statement] = []
    for one in statements:
        about = one["Resource"], one.get("Condition")
        same = next((each for each in found if (each["Resource"], each.get("Condition")) == about), None)
        if same is None:
            found.append(dict(one))
        else:
            same["Action"] = sorted({*same["Action"], *one["Action"]})
    return found


def key_pattern(location: S3Uri, below: str) -> str:
    """A pattern of keys below a prefix."""
    return f"{literal(location.child('').key)}{below}"


def literal(text: str) -> str:
    """`text` for a policy, in which `*`, `?` and `$` have a special meaning (IAM user guide, "Policy variables")."""
    return re.sub(r"[*?$]", lambda match: f"${{{match[0]}}}", text)


def concrete(pattern: str) -> str:
    """A resource that a pattern stands for, such as an object below a prefix or a stream of a log group; `*` stays `*`."""
    if pattern == "*":
        return pattern
    pattern = re.sub(r":\*$", ":log-stream:any", pattern)
    return re.sub(r"\$\{([*?$])\}|\*", lambda match: match[1] or "any", pattern)
