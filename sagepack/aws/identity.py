"""AWS STS and IAM: who calls, and who may assume a role."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from sagepack.aws.session import aws_call, error_code
from sagepack.decoding import convert

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sagepack.aws.session import Aws, Document


class Caller(msgspec.Struct, rename="pascal", frozen=True):
    """Who signs the requests (API reference, GetCallerIdentity)."""

    account: str
    arn: str


def caller(aws: Aws) -> Caller:
    """Who calls, as AWS said when this command first asked with the same credentials. Nobody needs a permission for it.

    Raises:
        CredentialsError: there are no credentials, or AWS does not accept them.
    """
    return aws.once(_ask_for_caller)


def _ask_for_caller(aws: Aws) -> Caller:
    """GetCallerIdentity."""
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


class _ResourceDecision(msgspec.Struct, rename="pascal"):
    eval_resource_name: str
    eval_resource_decision: str


class _Decision(msgspec.Struct, rename="pascal"):
    eval_action_name: str
    eval_decision: str
    eval_resource_name: str = "*"
    resource_specific_results: tuple[_ResourceDecision, ...] = ()

    @property
    def denied(self) -> list[str]:
        """The resources for which it is not `allowed`."""
        each = [(one.eval_resource_name, one.eval_resource_decision) for one in self.resource_specific_results]
        whole = [(self.eval_resource_name, self.eval_decision)]
        return [resource for resource, decision in each or whole if decision != "allowed"]


def denied_actions(aws: Aws, role_arn: str, actions: Sequence[str], resources: Sequence[str]) -> list[str]:
    """What the policies of a role do not allow it (SimulatePrincipalPolicy), as `action on resource`.

    Policies of resources, such as those of buckets and keys, are not looked at: they may allow more.

    Raises:
        AccessDeniedError: the caller may not simulate.
    """
    with aws_call("simulating the role's policies", role_arn):
        pages = aws.client("iam").get_paginator("simulate_principal_policy")
        found = pages.paginate(PolicySourceArn=role_arn, ActionNames=list(actions), ResourceArns=list(resources))
        decisions = [convert(entry, _Decision) for page in found for entry in page["EvaluationResults"]]
        return [f"{one.eval_action_name} on {resource}" for one in decisions for resource in one.denied]
